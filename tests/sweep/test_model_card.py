"""The model card of an exported model."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from cae.run.events import TrialEnded, TrialStarted
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.sweep_json import SweepDescription
from cae.run.trial_state import StopCause, TrialState
from cae.sweep.export import code_files
from cae.sweep.model_card import (
    CardFacts,
    mean_interval,
    metrics_over_seeds,
    model_card,
    unfinished_seeds,
)
from cae.trial.pixel_format import PixelFormat


def record(number: int, seed: int, loss: float, **changes: Any) -> Record:
    config = {"dataset": "mnist", "task": "reconstruct", "arch": "conv_autoencoder", "seed": seed}
    end = TrialEnded(
        trial=number, state=TrialState.FINISHED, reason="", metrics={"test_loss": loss + 1}
    )
    return Record(
        number,
        f"{number:x}",
        config | changes,
        {},
        {},
        state=TrialState.FINISHED,
        epochs={1: {"val_loss": loss + 9}, 2: {"val_loss": loss}},
        end=end,
        fingerprint="f" * 12,
    )


def test_seeds_of_the_same_configuration_are_taken_at_their_best_epochs() -> None:
    records = [record(1, 0, 0.1), record(2, 1, 0.3), record(3, 0, 0.2, arch="dense_autoencoder")]
    values = metrics_over_seeds(records[0], records, "val_loss", "min")
    assert values == {"val_loss": [0.1, 0.3], "test_loss": [1.1, 1.3]}
    assert metrics_over_seeds(records[2], records, "val_loss", "min") == {}


@pytest.mark.parametrize("state", [TrialState.STOPPED, TrialState.DIVERGED, TrialState.RUNNING])
def test_seeds_that_did_not_finish_are_counted_and_not_averaged(state: TrialState) -> None:
    """Regression: the best of a stopped seed's few epochs was averaged with those of full training,
    and a configuration whose other seeds diverged was "trained with one seed"."""
    records = [record(1, 0, 0.1), record(2, 1, 0.3), record(3, 2, 0.9), record(4, 3, 0.5)]
    records[2].state = state
    records[2].starts.append(TrialStarted(trial=3, epoch=0))
    records[3].state = TrialState.PENDING
    values = metrics_over_seeds(records[0], records, "val_loss", "min")
    assert values == {"val_loss": [0.1, 0.3], "test_loss": [1.1, 1.3]}
    assert unfinished_seeds(records[0], records) == 1
    assert unfinished_seeds(records[0], records[:2]) == 0
    description = {"run": "digits", "epoch": 2, "metrics": {"val_loss": 0.1}}
    sweep = SweepDescription(name="digits")
    facts = CardFacts("load", [], [], seeds=values, unfinished_seeds=1)
    assert "1 seed did not finish, and the means may be too good" in model_card(
        description, records[0], sweep, facts
    )
    alone = model_card(description, records[0], sweep, replace(facts, seeds={}))
    assert "Fewer than two seeds of the configuration finished, and 1 seed did not" in alone
    assert "trained with one seed" not in alone


def test_a_seed_that_its_patience_ended_counts_as_finished() -> None:
    records = [record(1, 0, 0.1), record(2, 1, 0.3)]
    seed = records[1]
    assert seed.end is not None
    seed.state = TrialState.STOPPED
    seed.starts.append(TrialStarted(trial=2, epoch=0))
    seed.end = replace(seed.end, state=TrialState.STOPPED, stopped_by=StopCause.PATIENCE)
    assert metrics_over_seeds(records[0], records, "val_loss", "min")["val_loss"] == [0.1, 0.3]
    assert unfinished_seeds(records[0], records) == 0
    seed.end = replace(seed.end, stopped_by=StopCause.SCHEDULER)
    assert metrics_over_seeds(records[0], records, "val_loss", "min") == {}
    assert unfinished_seeds(records[0], records) == 1


def test_a_seed_that_is_extended_has_the_test_metrics_of_its_best_epoch() -> None:
    records = [record(1, 0, 0.1), record(2, 1, 0.3)]
    extended = records[1]
    assert extended.end is not None
    extended.earlier_end = replace(extended.end, best_epoch=2)
    extended.end = None
    extended.state = TrialState.RUNNING
    values = metrics_over_seeds(records[0], records, "val_loss", "min")
    assert values == {"val_loss": [0.1, 0.3], "test_loss": [1.1, 1.3]}
    extended.epochs[3] = {"val_loss": 0.2}  # its weights have not been tested
    extended.forget_statistics()
    values = metrics_over_seeds(records[0], records, "val_loss", "min")
    assert values == {"val_loss": [0.1, 0.2]}


def test_names_and_values_stay_in_their_cells() -> None:
    one = record(1, 0, 0.1, **{"task.loss": "0.8*mse + 0.2*ssim | <b>", "dataset.path": "a\nb[1]"})
    description = {"run": "<i>run</i>", "epoch": 2, "metrics": {"val_loss": 0.1}}
    sweep = SweepDescription(name="digits", title="Digits <script>\n# other")
    card = model_card(description, one, sweep, CardFacts("load", [], [], seeds={}))
    assert r"| task.loss | 0.8\*mse + 0.2\*ssim \| &lt;b> |" in card
    assert r"| dataset.path | a b\[1\] |" in card
    assert "# Digits &lt;script> # other: trial 1\n" in card
    assert "run &lt;i>run&lt;/i>, the weights" in card


def test_the_interval_is_that_of_students_t() -> None:
    values = [0.1, 0.3, 0.4]
    expected = stats.t.interval(0.95, 2, loc=sum(values) / 3, scale=stats.sem(values))
    assert mean_interval(values) == pytest.approx(expected)


def test_the_card_has_intervals_data_and_licence() -> None:
    one = record(1, 0, 0.1)
    description = {
        "run": "digits",
        "epoch": 2,
        "metrics": {"val_loss": 0.1, "test_loss": 1.1, "seconds": 3.0},
        "pixels": PixelFormat().to_json(),
        "re_evaluated": {"val_loss": 0.1},
    }
    facts = CardFacts(
        how_to_load="import cae; model = cae.load_model('FOLDER')",
        files=["model.onnx", "encoder.onnx"],
        notes=["no file of the decoder: a network with skips"],
        seeds={"val_loss": [0.1, 0.3], "test_loss": [1.1, 1.3]},
        verdicts=["Of 1 claim: 1 supported.", "- supported: A is better than B."],
    )
    card = model_card(description, one, SweepDescription(name="digits", title="Digits"), facts)
    low, high = mean_interval([0.1, 0.3])
    assert f"| val_loss | 0.1 | 0.2 | {low:.4g} to {high:.4g} |" in card
    assert math.isclose((low + high) / 2, 0.2)
    for text in (
        "# Digits: trial 1",
        "MNIST: 60,000 + 10,000 handwritten digits",
        "CC BY-SA 3.0",
        f"`{'f' * 12}`",
        "Of 2 seeds",
        "There is no file of the decoder: a network with skips.",
        "`model.onnx`, `encoder.onnx`",
        "## Verdicts",
        "\n\nOf 1 claim: 1 supported.\n\n- supported: A is better than B.\n\n## Limits",
    ):
        assert text in card, text
    assert "seconds" not in card
    without = replace(facts, verdicts=())
    other = model_card(description, one, SweepDescription(name="digits"), without)
    assert "## Verdicts" not in other
    assert "not evaluated again" not in card


def test_only_code_inside_the_run_is_copied(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text("secret")
    run = RunDir(tmp_path / "run")
    name = "0123456789ab"
    snapshot = run.code / name
    snapshot.mkdir(parents=True)
    (snapshot / "sweep.py").write_text("mine")
    (snapshot / "link.py").symlink_to(outside / "secret.py")
    (snapshot / "folder").symlink_to(outside)
    own = record(1, 0, 0.1)
    own.code = "abc"
    own.code_snapshot = name
    assert code_files(run, own) == {"sweep.py": b"mine"}
    (run.code / "ba9876543210").symlink_to(outside)
    for hostile in ("../../outside", "ba9876543210", str(outside), "."):
        own.code_snapshot = hostile
        assert code_files(run, own) == {}
