"""A sweep that ranks by a metric of which higher values are better, without `mode`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cae.report.data import tables
from cae.run.paths import RunDir
from cae.run.ranking import ranking
from cae.run.trial_state import TrialState

SWEEP = '''"""Ranked by PSNR."""

from ray import tune

from cae import ASHA, Adam, ConvAutoencoder, Digits, Reconstruct, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=256, val_images=32, test_images=32),
        task=Reconstruct(),
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(lr=1e-2),
        epochs=2,
    ),
    space={"optimizer.lr": tune.grid_search([1e-2, 1e-6, 1e-7, 1e-8])},
    metric="val_psnr",
    scheduler=ASHA(grace_epochs=1, reduction_factor=2, min_trials=1),
)
'''


@pytest.mark.slow
def test_the_best_trial_has_the_highest_psnr_and_is_not_stopped(
    tmp_path: Path, run_sweep: Callable[..., RunDir]
) -> None:
    path = tmp_path / "psnr.py"
    path.write_text(SWEEP)
    run = run_sweep(path)
    sweep = run.read_sweep()
    assert sweep.mode == "max"
    records = run.records()
    psnrs = {}
    for number, record in records.items():
        psnrs[number] = max(metrics["val_psnr"] for metrics in record.epochs.values())
    highest = max(psnrs, key=psnrs.__getitem__)
    assert records[highest].state == TrialState.FINISHED
    assert TrialState.STOPPED in {record.state for record in records.values()}
    (first, *_) = ranking(records.values(), sweep, "val_psnr", None)
    assert first.record.number == highest
    assert first.value == psnrs[highest]
    results = tables.read([run])
    assert results.mode == "max"
    assert results.ranked["trial"].iloc[0] == highest
    (best_by_loss, *_) = ranking(records.values(), sweep, "val_loss", None)
    assert best_by_loss.record.number == highest
