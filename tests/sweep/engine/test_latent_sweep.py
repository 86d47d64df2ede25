"""A real sweep whose trials are ranked by, and compared in, measures of their latent code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from cae.cli.app import app
from cae.report.data import tables
from cae.report.statistics.claims.judge import judge_claims
from cae.run.paths import RunDir
from cae.run.ranking import ranking
from cae.run.records import Record

SWEEP = '''"""Latent sizes of digits."""

from ray import tune

from cae import Adam, BetterThan, DenseAutoencoder, Digits, Reconstruct, Sweep, Trial

UNITS = "arch.hidden_units"

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=512, val_images=64, test_images=256),
        task=Reconstruct(),
        arch=DenseAutoencoder(hidden_units=(16,)),
        optimizer=Adam(lr=1e-2),
        epochs=4,
    ),
    space={UNITS: tune.grid_search([[1], [16]])},
    seeds=3,
    latent=LATENT,
    claims=[
        BetterThan(
            id="wide",
            text="A linear probe reads more from 16 values than from one.",
            metric="test_probe_accuracy",
            this={UNITS: [16]},
            that={UNITS: [1]},
        ),
    ],
)
'''


def trained_epochs(records: dict[int, Record]) -> dict[int, int]:
    return {number: record.last_epoch for number, record in records.items()}


def test_trials_are_ranked_and_compared_by_their_latent_codes(
    tmp_path: Path, run_sweep: Callable[..., RunDir]
) -> None:
    path = tmp_path / "latent_sizes.py"
    path.write_text(SWEEP.replace("LATENT", "True"))
    run = run_sweep(path)
    records = run.records()
    values: dict[int, float] = {}
    for number, record in records.items():
        assert record.end is not None
        values[number] = record.end.metrics["test_probe_accuracy"]
    ranked = ranking(records.values(), run.read_sweep(), "test_probe_accuracy", None)
    assert [trial.value for trial in ranked] == sorted(values.values(), reverse=True)
    assert ranked[0].value > 0.7
    assert len(list(run.path.glob("trials/*/latent.npz"))) == len(records)
    losses = {
        record.sizes["latent_values"]: record.end.metrics["test_loss_pca"]
        for record in records.values()
        if record.end is not None
    }
    assert 0 < losses[16] < losses[1]

    results = tables.read([run])
    (claim,) = judge_claims(results)
    assert claim.verdict == "supported"
    pixels = results.trials["test_probe_accuracy_pixels"].astype(float)
    assert pixels.nunique() == 1  # a floor is the same for all trials

    best = CliRunner().invoke(app, ["best", str(run.path), "--metric", "test_probe_accuracy"])
    assert best.exit_code == 0, best.output
    assert "test_probe_accuracy" in best.stdout
    exported = CliRunner().invoke(app, ["best", str(run.path), "-o", str(tmp_path / "model")])
    assert exported.exit_code == 0, exported.output
    card = (tmp_path / "model" / "README.md").read_text()
    assert "Of 1 claim: 1 supported." in card
    assert "- supported: A linear probe reads more from 16 values than from one." in card

    # Turned off, the same trials answer: the measures are no part of a trial.
    path.write_text(SWEEP.replace("LATENT", "False"))
    run = run_sweep(path)
    assert trained_epochs(run.records()) == trained_epochs(records)
    for number, record in run.records().items():
        assert record.end is not None
        assert record.end.metrics["test_probe_accuracy"] == values[number]
