"""Checkpoints of ended trials: what is let go, and what stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cae.errors import UserError
from cae.run.paths import RunDir
from cae.run.ranking import ranking
from cae.run.records import Record
from cae.sweep.engine.retention import KEPT_STOPPED, let_go
from cae.sweep.export import export

FILES = {"best.safetensors", "last.safetensors", "previous.safetensors", "samples.npz"}


def made(run: RunDir, number: int, state: str, loss: float) -> Record:
    folder = run.trial(number)
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).touch()
    return Record(
        number, f"{number:x}", {"epochs": 4}, {}, {}, state=state, epochs={1: {"val_loss": loss}}
    )


@pytest.mark.parametrize(
    ("state", "left"),
    [
        ("finished", FILES - {"previous.safetensors"}),
        ("stopped", {"best.safetensors", "samples.npz"}),
    ]
    + [(state, FILES) for state in ("failed", "oom", "diverged", "killed")],
)
def test_what_may_be_asked_for_again_stays(state: str, left: set[str], tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    let_go(run, {1: made(run, 1, state, 0.1)}, 1, "val_loss", "min")
    assert {path.name for path in run.trial(1).iterdir()} == left


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_stopped_trials_keep_their_weights(mode: str, tmp_path: Path) -> None:
    run, records = RunDir(tmp_path), {}
    losses = [((number * 7) % 13) / 10 for number in range(13)]
    for number, loss in enumerate(losses, 1):
        records[number] = made(run, number, "stopped", loss)
        let_go(run, records, number, "val_loss", mode)
    kept = [
        losses[number - 1]
        for number in records
        if (run.trial(number) / "best.safetensors").exists()
    ]
    assert sorted(kept) == sorted(sorted(losses, reverse=mode == "max")[:KEPT_STOPPED])


def test_weights_that_were_let_go_are_told_where_they_are_asked_for(
    sweep_file: Callable[..., Path],
    run_sweep: Callable[..., RunDir],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cae.sweep.engine.retention.KEPT_STOPPED", 1)
    space = "{'optimizer.lr': tune.grid_search([1e-2, 9e-3, 8e-3, 1e-5, 2e-5, 3e-5, 4e-5])}"
    run = run_sweep(
        sweep_file(
            space, epochs=3, more="scheduler=ASHA(grace_epochs=1, reduction_factor=2, min_trials=2)"
        )
    )
    ranked = ranking(run.records().values(), run.read_sweep(), "val_loss", None)
    assert ranked[-1].record.state == "stopped"
    with pytest.raises(UserError, match="of stopped trials, the best 10 keep their weights"):
        export(run, ranked[-1], Path("model"), [])
    export(run, ranked[0], Path("model"), [])
