"""`prune`: which checkpoints are deleted, and that the rest works as before."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cae.cli.app import app
from cae.errors import RunError
from cae.run.events import EpochFinished, TrialPlanned
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from cae.sweep.prune import _amount, plan_pruning, prune
from tests.run.events import ended, epoch, planned, record, session, started, write

NAMES = ("best", "last", "previous", "previous-best")
STATES = {
    1: TrialState.FINISHED,
    2: TrialState.FINISHED,
    3: TrialState.STOPPED,
    4: TrialState.FAILED,
    5: TrialState.DIVERGED,
    6: None,
}
LOSSES = {1: 0.3, 2: 0.1, 3: 0.2, 4: 0.05, 5: 0.6, 6: 0.7}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run with trials in all kinds of states; each has every checkpoint."""
    monkeypatch.chdir(tmp_path)
    run = RunDir(Path("runs/small"))
    run.path.mkdir(parents=True)
    run.sweep_json.write_text('{"metric": "val_loss", "mode": "min"}')
    write(run, session(*STATES))
    for number, state in STATES.items():
        write(run, planned(number), started(number), epoch(1, LOSSES[number], number))
        if state is not None:
            write(run, ended(state, number))
        run.trial(number).mkdir(parents=True)
        for name in NAMES:
            (run.trial(number) / f"{name}.safetensors").write_bytes(b"x" * 1000)
    return run


def checkpoints(run: RunDir, number: int) -> set[str]:
    return {path.stem for path in run.trial(number).glob("*.safetensors")}


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["prune", "small", *arguments])


def test_only_the_best_trial_keeps_its_weights_and_unfinished_ones_keep_everything(
    run: RunDir,
) -> None:
    result = call("--yes")
    assert result.exit_code == 0, result.output
    left = {number: checkpoints(run, number) for number in STATES}
    assert left == {1: set(), 2: {"best"}, 3: set(), 4: set(NAMES), 5: set(), 6: set(NAMES)}
    assert "15 checkpoints of 4 trials, 0.0 MB" in result.output
    assert "best weights of trial 2" in result.output
    assert "nothing to delete" in call("--yes").output


def test_a_number_of_trials_can_be_kept(run: RunDir) -> None:
    assert call("--keep", "2", "--yes").exit_code == 0
    assert checkpoints(run, 2) == checkpoints(run, 3) == {"best"}
    assert checkpoints(run, 1) == set()


@pytest.mark.parametrize(
    ("objective", "kept"), [("parameters", [1, 2, 4]), ("seconds", [2, 3]), (None, [2])]
)
def test_the_front_of_a_search_with_two_objectives_is_kept(
    tmp_path: Path, objective: str | None, kept: list[int]
) -> None:
    run = RunDir(tmp_path / "front")
    run.path.mkdir()
    search = {"name": "model-based", "second_objective": objective}
    run.sweep_json.write_text(json.dumps({"metric": "val_psnr", "mode": "max", "search": search}))
    # Trial 3 is worse and larger than trial 1; trial 5 did not finish.
    quality = {1: (20.0, 500, 9.0), 2: (30.0, 900, 7.0), 3: (19.0, 600, 2.0), 4: (10.0, 100, 5.0)}
    quality[5] = (25.0, 50, 1.0)
    write(run, session(*quality))
    for number, (psnr, parameters, seconds) in quality.items():
        plan = TrialPlanned(
            trial=number,
            hash=str(number),
            config={"epochs": 1},
            axes={},
            sizes={"parameters": parameters},
        )
        metrics = {"val_psnr": psnr, "seconds": seconds}
        write(run, plan, started(number), EpochFinished(trial=number, epoch=1, metrics=metrics))
        state = TrialState.FINISHED
        if number == 5:
            state = TrialState.STOPPED
        write(run, ended(state, number))
        run.trial(number).mkdir(parents=True)
        (run.trial(number) / "best.safetensors").write_bytes(b"x")
    pruning = plan_pruning(run, 1)
    assert pruning.kept == kept
    assert sorted([*pruning.kept, *pruning.files]) == [1, 2, 3, 4, 5]


def test_seconds_are_summed_over_the_measured_epochs() -> None:
    """As on the page. Regression: an epoch without a time removed the trial from the front."""
    one = record(1, losses=(0.3, 0.2, 0.1), seconds=2.0)
    del one.epochs[2]["seconds"]
    assert _amount(one, "seconds") == 4.0
    assert _amount(one, "parameters") == pytest.approx(math.nan, nan_ok=True)
    assert _amount(record(2), "seconds") == pytest.approx(math.nan, nan_ok=True)


def test_weights_that_other_trials_depend_on_are_kept(run: RunDir) -> None:
    dependent = TrialPlanned(
        trial=7, hash="h7", config={"epochs": 2}, axes={}, sizes={}, dependencies={"judge": 1}
    )
    write(run, dependent)
    prune(run, plan_pruning(run, 1))
    assert checkpoints(run, 1) == {"best"}


@pytest.mark.parametrize("arguments", [("--dry-run",), ()])
def test_nothing_is_deleted_without_a_confirmation(run: RunDir, arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert result.exit_code == (0 if arguments else 2)
    assert all(checkpoints(run, number) == set(NAMES) for number in STATES)


@pytest.mark.parametrize("keep", ["0", "-1", "two", ""])
def test_an_invalid_number_is_an_error(run: RunDir, keep: str) -> None:
    result = call(f"--keep={keep}", "--yes")
    assert result.exit_code == 2
    assert "should be best, or a number" in result.output
    assert checkpoints(run, 1) == set(NAMES)


def test_a_running_sweep_is_left_alone(run: RunDir) -> None:
    pruning = plan_pruning(run, 1)
    with run.lock(), pytest.raises(RunError):
        prune(run, pruning)
    assert checkpoints(run, 1) == set(NAMES)


def test_a_run_without_any_value_keeps_no_weights_of_ended_trials(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    run.sweep_json.write_text('{"metric": "val_loss", "mode": "min"}')
    write(run, session(1), planned(1), started(1), ended(TrialState.DIVERGED, 1))
    run.trial(1).mkdir(parents=True)
    (run.trial(1) / "last.safetensors").touch()
    assert plan_pruning(run, 1).files == {1: ["last.safetensors"]}
