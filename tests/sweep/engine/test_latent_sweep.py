"""A real sweep whose trials are ranked by, and compared in, measures of their latent code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.cli.plan_text import change_lines
from cae.report.data import tables
from cae.report.statistics.claims.judge import judge_claims
from cae.run.events import EpochFinished
from cae.run.paths import RunDir
from cae.run.ranking import ranking
from cae.sweep.engine import session
from cae.sweep.engine.session import Prepared
from cae.trial.latent.declaration import latent_metrics

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


def prepare(path: Path) -> Prepared:
    return session.prepare(session.select(path, path.parent / "run", "full", None, None, None, ""))


@pytest.mark.slow
def test_trials_are_ranked_and_compared_by_their_latent_codes(
    tmp_path: Path, run_sweep: Callable[..., RunDir]
) -> None:
    path = tmp_path / "latent_sizes.py"
    path.write_text(SWEEP.replace("LATENT", "False"))
    run = run_sweep(path)
    unmeasured = run.records()
    for record in unmeasured.values():
        assert "test_loss" in record.final_metrics
        assert not set(record.final_metrics) & {f"test_{name}" for name in latent_metrics()}
    assert not list(run.path.glob("trials/*/latent.npz"))

    # Trials that finished without the measures get them on request, from their checkpoints.
    path.write_text(SWEEP.replace("LATENT", "True"))
    plan = prepare(path).plan
    assert plan.unmeasured_latent == sorted(unmeasured)
    assert not plan.remaining
    (line,) = change_lines(plan)
    assert line.endswith(
        "trials 1, 2, 3, 4, 5, 6: --retry latent measures it from their checkpoints"
    )
    run = run_sweep(path, measures_latent=True)
    records = run.records()
    epochs = [event for event in run.events() if isinstance(event, EpochFinished)]
    assert len(epochs) == sum(record.last_epoch for record in unmeasured.values())
    for number, record in records.items():
        before = unmeasured[number].final_metrics
        assert record.final_metrics | before == record.final_metrics
        assert record.epochs == unmeasured[number].epochs
    assert not prepare(path).plan.unmeasured_latent
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
    plan = prepare(path).plan
    assert not plan.remaining
    assert not plan.unmeasured_latent
