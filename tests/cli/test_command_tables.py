"""Logs of trials and requests to the process that runs a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from cae.cli.tables import print_runs_and_sweeps, request_kill, request_stop, trial_log
from cae.errors import RunError
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from tests.run.events import ended, epoch, planned, session, started, write


@pytest.mark.parametrize(
    ("trials", "known"), [([], "it has no trials yet"), ([2, 3], "it has trials 2 to 3")]
)
def test_an_unknown_trial_is_an_error_with_the_known_numbers(
    trials: list[int], known: str, tmp_path: Path
) -> None:
    run = RunDir(tmp_path)
    write(run, session(*trials), *[planned(number) for number in trials])
    message = f"trial 1 is not in {run}: {known}"
    with pytest.raises(RunError) as of_log:
        trial_log(run, 1)
    assert str(of_log.value) == message
    with run.lock(), pytest.raises(RunError) as of_kill:
        request_kill(run, 1)
    assert str(of_kill.value) == message


def test_the_log_of_a_trial_has_its_output_and_its_end(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    write(run, session(1), planned(), started(), ended(TrialState.FAILED))
    assert trial_log(run, 1) == "nothing was printed\nfailed: the reason"
    run.trial(1).mkdir(parents=True)
    (run.trial(1) / "log.txt").write_text("epoch 1: val_loss=0.5\n")
    assert trial_log(run, 1) == "epoch 1: val_loss=0.5\nfailed: the reason"


def test_a_run_that_is_not_running_cannot_be_stopped(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not running: there is nothing to stop"):
        request_stop(RunDir(tmp_path))


def test_a_run_is_one_line_of_a_list_that_is_not_printed_to_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run = RunDir(tmp_path / "runs" / ("long name " * 20).strip())
    run.path.mkdir(parents=True)
    run.sweep_json.write_text("{}")
    print_runs_and_sweeps(tmp_path / "runs", tmp_path / "sweeps")
    lines = [line for line in capsys.readouterr().out.splitlines() if "long name" in line]
    assert len(lines) == 1
    assert run.name in lines[0]


def test_brackets_of_a_group_are_no_markup_in_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDir(tmp_path / "runs" / "photos")
    run.path.mkdir(parents=True)
    run.sweep_json.write_text('{"metric": "val_loss", "mode": "min"}')
    write(run, session(1, 2))
    for number, path in ((1, "photos[raw]"), (2, "photos[/raw]")):
        plan = planned(number)
        plan.config = {"epochs": 2, "dataset.path": path}
        write(run, plan, started(number), epoch(1, 0.5, number), ended(number=number))
    print_runs_and_sweeps(tmp_path / "runs", tmp_path / "sweeps")
    output = capsys.readouterr().out
    assert "at dataset.path = photos[raw] (trial 1)" in output
    assert "at dataset.path = photos[/raw] (trial 2)" in output
