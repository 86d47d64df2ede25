"""`run --watch`: the page is served as long as the process that runs the sweep."""

from __future__ import annotations

import http.client
import queue
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae.cli.watching import WatchedPage, check_watch
from cae.errors import UserError
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from tests.run.events import ended, epoch, planned, session, started, write

DEADLINE = 300.0


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run with a finished trial."""
    run = RunDir(tmp_path / "small")
    run.path.mkdir()
    run.sweep_json.write_text('{"metric": "val_loss", "mode": "min"}')
    write(run, session(1), planned(1), started(1), epoch(1, 0.5, 1), ended(TrialState.FINISHED, 1))
    return run


def request(address: str, path: str) -> str:
    host = address.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(host, timeout=DEADLINE)
    connection.request("GET", path)
    content = connection.getresponse().read().decode()
    connection.close()
    return content


def test_the_address_is_printed_and_the_server_ends_with_the_sweep(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end, a browser that reads the page gets its last version."""
    processes: list[subprocess.Popen[str]] = []
    popen: Callable[..., subprocess.Popen[str]] = subprocess.Popen

    def remember(*args: Any, **options: Any) -> subprocess.Popen[str]:
        processes.append(popen(*args, **options))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", remember)
    lines: queue.Queue[str] = queue.Queue()
    thread = WatchedPage(run, lines.put).start()
    line = lines.get(timeout=DEADLINE)
    address = line.removeprefix("page: ").partition(" ")[0]
    assert line == f"page: {address} (follows the sweep)"
    assert "Best is trial 1" in request(address, "/")
    first = request(address, "/version")
    write(run, planned(2, 3), started(2), epoch(1, 0.1, 2), ended(TrialState.FINISHED, 2))
    (process,) = processes
    assert process.stdin is not None
    process.stdin.close()  # as when the process that runs the sweep ends
    while request(address, "/version") == first:
        pass
    assert "Best is trial 2" in request(address, "/")
    assert process.wait(DEADLINE) == 0
    thread.join(DEADLINE)
    assert lines.empty()


def test_a_server_that_nobody_reads_ends_immediately(run: RunDir) -> None:
    command = [sys.executable, "-m", "cae.cli.watching", str(run.path)]
    result = subprocess.run(command, input="", capture_output=True, text=True, timeout=DEADLINE)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("http://127.0.0.1:")
    assert not run.report_html.exists()


def test_a_sweep_on_another_machine_is_not_served_here() -> None:
    with pytest.raises(UserError, match="cae-sweep report RUN --watch"):
        check_watch("http://head:8265")
    check_watch(None)
    check_watch("auto")
