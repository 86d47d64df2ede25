"""`run --notify`: a command of the user's at the end of a sweep."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cae.cli import notify
from cae.cli.notify import notify_user
from cae.errors import RunError
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from cae.sweep.engine import interruptions, ray_compat
from tests.run.events import ended, epoch, planned, session, started, write


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run with a finished trial."""
    run = RunDir(tmp_path / "small")
    run.path.mkdir()
    run.sweep_json.write_text('{"metric": "val_loss", "mode": "min"}')
    write(run, session(1), planned(1), started(1), epoch(1, 0.5, 1), ended(TrialState.FINISHED, 1))
    return run


def test_the_command_gets_the_status_the_reason_and_the_exit_code(
    run: RunDir, tmp_path: Path
) -> None:
    variables = "$CAE_SWEEP_RUN|$CAE_SWEEP_REASON|$CAE_SWEEP_EXIT_CODE"
    notify_user(f'cat > {tmp_path}/status; echo "{variables}" > {tmp_path}/variables', run, "x", 1)
    assert json.loads((tmp_path / "status").read_text())["states"] == {"finished": 1}
    assert (tmp_path / "variables").read_text() == f"{run.location()}|x|1\n"


def test_a_command_that_fails_is_reported(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    notify_user("exit 7", run, "complete", 0)
    assert capsys.readouterr().err == "--notify exit 7: exit code 7\n"


def test_a_command_runs_although_the_status_cannot_be_read(
    run: RunDir,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def unreadable(unread: RunDir) -> None:
        raise RunError(f"{unread.name}: the disk does not respond")

    monkeypatch.setattr(notify, "run_status", unreadable)
    notify_user(f"cat > {tmp_path}/status", run, "aborted", 3)
    assert (tmp_path / "status").read_text() == ""
    assert "the status cannot be read: small: the disk" in capsys.readouterr().err


def test_the_process_ends_without_ray_although_the_notification_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(interruptions, "_exit_immediately", codes.append)
    monkeypatch.setattr(ray_compat, "kill_ray", lambda: None)

    def fail(reason: str) -> None:
        raise ValueError(reason)

    events: list[object] = []
    recorder: Any = SimpleNamespace(journal=SimpleNamespace(append_last=events.append))
    with pytest.raises(ValueError, match="raylet"):
        interruptions.exit_after_ray_death(recorder, fail, "raylet")
    assert codes == [3]
    assert len(events) == 1
