"""Sweeps with several losses and noise levels: early stopping, `best` and the export per group."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cae.cli.app import app
from cae.run.paths import RunDir
from cae.run.ranking import rank_by_group
from cae.run.trial_state import TrialState

RunSweep = Callable[..., RunDir]

SWEEP = '''"""Learning rates of one loss."""

from ray import tune

from cae import ASHA, Adam, ConvAutoencoder, Digits, {task}, Sweep, Trial
{own}

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=64, val_images=32, test_images=32),
        task={call},
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(lr=1e-2),
        epochs=2,
    ),
    space={space},
    scheduler=ASHA(grace_epochs=1, reduction_factor=2, min_trials=2),
)
'''
RATES = '{"optimizer.lr": tune.grid_search([1e-2, 2e-2])}'
NOISE = (
    '{"task.noise_factor": tune.grid_search([0.1, 0.9]), '
    '"optimizer.lr": tune.grid_search([1e-2, 2e-2])}'
)
OWN_LOSS = """

class ScaledReconstruct(Reconstruct):
    def criterion(self, output, target):
        return {scale} * super().criterion(output, target)
"""


def write_sweep(path: Path, call: str = "Reconstruct()", space: str = RATES, own: str = "") -> Path:
    task = "Reconstruct"
    if call.startswith("Denoise"):
        task = "Denoise"
    path.write_text(SWEEP.format(call=call, space=space, own=own, task=task))
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_a_changed_loss_has_rungs_of_its_own(tmp_path: Path, run_sweep: RunSweep) -> None:
    """All L1 values are above the cutoff of the squared errors."""
    path = write_sweep(tmp_path / "losses.py")
    run_sweep(path)
    run = run_sweep(path, settings={"task.loss": "l1"})
    records = run.records()
    squared = [record for record in records.values() if record.config["task.loss"] == "mse"]
    absolute = [record for record in records.values() if record.config["task.loss"] == "l1"]
    assert len(squared) == len(absolute) == 2
    lowest = min(record.epochs[1]["val_loss"] for record in absolute)
    assert lowest > max(record.epochs[1]["val_loss"] for record in squared)
    # The first two trials of a group always continue.
    assert {record.state for record in absolute} == {TrialState.FINISHED}
    assert len({record.group for record in records.values()}) == 2


@pytest.mark.slow
def test_an_edited_loss_has_rungs_of_its_own(tmp_path: Path, run_sweep: RunSweep) -> None:
    path = tmp_path / "scaled.py"
    for scale in (1, 100):
        write_sweep(path, "ScaledReconstruct()", own=OWN_LOSS.format(scale=scale))
        run = run_sweep(path)
    records = run.records()
    assert len(records) == 4
    assert {record.state for record in records.values()} == {TrialState.FINISHED}
    keys = [record.group.key for record in records.values()]
    assert keys[0] == keys[1] != keys[2] == keys[3]


@pytest.fixture
def denoising(tmp_path: Path, run_sweep: RunSweep) -> RunDir:
    return run_sweep(write_sweep(tmp_path / "noise.py", "Denoise()", NOISE))


def test_best_shows_and_exports_the_best_of_a_group(denoising: RunDir, tmp_path: Path) -> None:
    rankings = rank_by_group(denoising.records().values(), denoising.read_sweep(), "val_loss", None)
    best = {ranking.label: ranking.trials[0].record.number for ranking in rankings}
    labels = ["task.noise_factor = 0.1", "task.noise_factor = 0.9"]
    assert list(best) == labels

    shown = call("best", denoising)
    assert shown.exit_code == 0
    assert "The trials are in 2 groups that are not comparable" in shown.stdout
    for label, number in best.items():
        assert f"{label}\ntrial {number}: val_loss" in shown.stdout

    status = json.loads(call("status", denoising, "--json").stdout)
    assert status["best"] is None
    assert {group["group"]: group["trial"] for group in status["groups"]} == best

    folder = tmp_path / "model"
    refused = call("best", denoising, "-o", folder)
    assert refused.exit_code == 2
    assert "--where task.noise_factor=0.1" in refused.stderr
    assert "--where task.noise_factor=0.9" in refused.stderr
    assert f"trial {best[labels[1]]}" in refused.stderr
    assert not folder.exists()

    exported = call("best", denoising, "--where", "task.noise_factor=0.9", "-o", folder)
    assert exported.exit_code == 0, exported.output
    assert json.loads((folder / "model.json").read_text())["trial"] == best[labels[1]]

    other = next(number for number in denoising.records() if number not in best.values())
    by_number = call("best", denoising, "--trial", other, "-o", tmp_path / "other")
    assert by_number.exit_code == 0, by_number.output
    assert json.loads((tmp_path / "other" / "model.json").read_text())["trial"] == other

    quiet = call("best", denoising, "--quiet")
    paths = [Path(line) for line in quiet.stdout.splitlines()]
    assert [path.parent.name for path in paths] == [f"{number:04d}" for number in best.values()]
    assert "not comparable" in quiet.stderr

    together = call("best", denoising, "--across-groups", "--quiet")
    assert len(together.stdout.splitlines()) == 1
    assert "Ranked over 2 groups that differ in task.noise_factor" in together.stderr


def test_options_that_choose_trials_in_two_ways_are_an_error(denoising: RunDir) -> None:
    refused = call("best", denoising, "--trial", 1, "--where", "seed=0", "--across-groups")
    assert refused.exit_code == 2
    assert "--trial 1: cannot be combined with --where and --across-groups" in refused.stderr
