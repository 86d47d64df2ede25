"""Checkpoints of ended trials: which are deleted, and which are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cae.errors import UserError
from cae.run.events import TrialEnded
from cae.run.metric_direction import Mode
from cae.run.paths import RunDir
from cae.run.ranking import ranking
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.engine.retention import KEPT_STOPPED_TRIALS, prune_checkpoints
from cae.sweep.export import export

FILES = {"best.safetensors", "last.safetensors", "previous.safetensors", "samples.npz"}


def ended_trial(run: RunDir, number: int, state: TrialState, loss: float) -> Record:
    folder = run.trial(number)
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).touch()
    return Record(
        number, f"{number:x}", {"epochs": 4}, {}, {}, state=state, epochs={1: {"val_loss": loss}}
    )


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (TrialState.FINISHED, FILES - {"previous.safetensors"}),
        (TrialState.STOPPED, {"best.safetensors", "samples.npz"}),
        (TrialState.FAILED, FILES),
        (TrialState.OUT_OF_MEMORY, FILES),
        (TrialState.DIVERGED, {"best.safetensors", "samples.npz"}),
        (TrialState.KILLED, FILES),
    ],
)
def test_the_state_of_a_trial_decides_which_checkpoints_are_kept(
    state: TrialState, kept: set[str], tmp_path: Path
) -> None:
    run = RunDir(tmp_path)
    prune_checkpoints(run, {1: ended_trial(run, 1, state, 0.1)}, 1, "val_loss", "min")
    assert {path.name for path in run.trial(1).iterdir()} == kept


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_stopped_trials_keep_their_weights(mode: Mode, tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    records: dict[int, Record] = {}
    losses = [((number * 7) % 13) / 10 for number in range(13)]
    for number, loss in enumerate(losses, 1):
        records[number] = ended_trial(run, number, TrialState.STOPPED, loss)
        prune_checkpoints(run, records, number, "val_loss", mode)
    kept = [
        losses[number - 1]
        for number in records
        if (run.trial(number) / "best.safetensors").exists()
    ]
    assert sorted(kept) == sorted(sorted(losses, reverse=mode == "max")[:KEPT_STOPPED_TRIALS])


def test_trials_that_their_patience_ended_keep_their_weights(tmp_path: Path) -> None:
    """They are trained to the end, and no matter how many there are."""
    run = RunDir(tmp_path)
    records: dict[int, Record] = {}
    for number in range(1, KEPT_STOPPED_TRIALS + 4):
        record = ended_trial(run, number, TrialState.STOPPED, number / 10)
        cause = "scheduler" if number == 1 else "patience"
        record.end = TrialEnded(
            trial=number, state=TrialState.STOPPED, reason="-", stopped_by=cause
        )
        records[number] = record
        prune_checkpoints(run, records, number, "val_loss", "max")
    for number in records:
        assert {path.name for path in run.trial(number).iterdir()} == {
            "best.safetensors",
            "samples.npz",
        }


def test_exporting_deleted_weights_is_an_error(
    sweep_file: Callable[..., Path],
    run_sweep: Callable[..., RunDir],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cae.sweep.engine.retention.KEPT_STOPPED_TRIALS", 1)
    space = "{'optimizer.lr': tune.grid_search([1e-2, 9e-3, 8e-3, 1e-5, 2e-5, 3e-5, 4e-5])}"
    run = run_sweep(
        sweep_file(
            space, epochs=3, more="scheduler=ASHA(grace_epochs=1, reduction_factor=2, min_trials=2)"
        )
    )
    ranked = ranking(run.records().values(), run.read_sweep(), "val_loss", None)
    assert ranked[-1].record.state == "stopped"
    with pytest.raises(UserError, match="stopped for their values, the best 10 keep their weights"):
        export(run, ranked[-1], Path("model"), [])
    export(run, ranked[0], Path("model"), [])
