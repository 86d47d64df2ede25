"""Plans of extensions whose last checkpoints were deleted, by `prune` for example."""

from __future__ import annotations

from pathlib import Path

import pytest

from cae import Sweep
from cae.cli.plan_text import change_lines
from cae.run.paths import RunDir
from cae.sweep.engine.known_run import find_lost_checkpoints
from cae.sweep.spec.plan import Plan, make_plan
from tests.sweep.spec.test_matching import BASE, load
from tests.sweep.spec.test_trained_points import trained


def extension(epochs_done: int) -> Plan:
    """Two trials with more epochs than they have."""
    space = {"optimizer.lr": {"grid_search": [0.1, 0.2]}}
    records = trained(make_plan(Sweep(base=BASE, space=space), load))
    for record in records.values():
        record.epochs = {epoch: {"val_loss": 0.1} for epoch in range(1, epochs_done + 1)}
    longer = BASE.override({"epochs": BASE.epochs + 2})
    return make_plan(Sweep(base=longer, space=space), load, records=records)


@pytest.mark.parametrize("name", ["last", "previous"])
def test_a_trial_without_a_checkpoint_starts_again(tmp_path: Path, name: str) -> None:
    run = RunDir(tmp_path)
    run.trial(1).mkdir(parents=True)
    (run.trial(1) / f"{name}.safetensors").touch()
    (run.trial(1) / "best.safetensors").touch()
    plan = find_lost_checkpoints(run, extension(BASE.epochs))
    assert [trial.done_epochs for trial in plan.trials] == [BASE.epochs, 0]
    assert change_lines(plan)[-1] == (
        "1 trial trained again from the first epoch, because the last checkpoint is missing: "
        "trial 2"
    )


def test_a_trial_without_finished_epochs_does_not_start_again(tmp_path: Path) -> None:
    plan = find_lost_checkpoints(RunDir(tmp_path), extension(0))
    assert not any(trial.starts_again for trial in plan.trials)
