"""`run --notify COMMAND`: what the command leaves behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from cae.cli import notify
from cae.run.paths import RunDir


def test_the_processes_of_a_hanging_command_end_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(notify, "NOTIFY_SECONDS", 2.0)
    monkeypatch.setattr(notify, "run_status", lambda _: _Status())
    pid = tmp_path / "pid"
    notify.notify_user(f"sleep 1000 & echo $! > {pid}; wait", RunDir(tmp_path), "complete", 0)
    assert "not finished within 2 s" in capsys.readouterr().err
    deadline = time.monotonic() + 60
    while _is_running(int(pid.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


class _Status:
    def to_json(self) -> dict[str, str]:
        return {}


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"
