"""Dependencies between trials: planned once, run first, listed, never ranked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune

from cae import (
    ASHA,
    Adam,
    Classifier,
    Classify,
    ConvAutoencoder,
    Denoise,
    Digits,
    Reconstruct,
    Sweep,
    Trial,
)
from cae.report.data import tables
from cae.report.page import build as page
from cae.run.events import TrialEnded, TrialStarted
from cae.run.paths import RunDir
from cae.run.ranking import ranking
from cae.sweep.spec.plan import Plan, make_plan
from cae.trial import checkpoint
from cae.trial.batches import DeviceImages
from cae.trial.config import ConfigError, from_flat
from cae.trial.training import train

DIGITS = Digits(size=8, train_images=96, val_images=32, test_images=32)
ENCODER = Trial(
    dataset=DIGITS,
    task=Reconstruct(),
    arch=ConvAutoencoder(
        encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
    ),
    optimizer=Adam(lr=1e-2),
    epochs=2,
)
TWO_STAGE = Trial(
    dataset=DIGITS,
    task=Classify(encoder=ENCODER),
    arch=Classifier(encoder_filters=(4, 2), pool_after=(1,), fc_units=8),
    optimizer=Adam(lr=1e-2),
    epochs=4,
)
FILE = '''"""Two classifiers on one encoder."""

from ray import tune

from cae import ASHA, Adam, Classifier, Classify, ConvAutoencoder, Digits, Reconstruct, Sweep, Trial

digits = Digits(size=8, train_images=96, val_images=32, test_images=32)
encoder = Trial(
    dataset=digits,
    task=Reconstruct(),
    arch=ConvAutoencoder(
        encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
    ),
    optimizer=Adam(lr={lr}),
    epochs=2,
)
sweep = Sweep(
    base=Trial(
        dataset=digits,
        task=Classify(encoder=encoder),
        arch=Classifier(encoder_filters=(4, 2), pool_after=(1,), fc_units=8),
        optimizer=Adam(lr=1e-2),
        epochs=4,
    ),
    space={space},
    metric="val_accuracy",
    mode="max",
    scheduler=ASHA(grace_epochs=1, reduction_factor=4, min_trials=1),
)
'''


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Sums of floats depend on the number of threads, in the last bit."""
    torch.set_num_threads(1)


def planned(base: Trial, space: Any, **options: Any) -> Plan:
    return make_plan(Sweep(base=base, space=space), lambda dataset: dataset.load([]), **options)


def test_a_dependency_is_planned_once_and_first() -> None:
    plan = planned(TWO_STAGE, {"arch.fc_units": tune.grid_search([4, 8])})
    assert [(one.number, one.is_dependency, one.dependencies) for one in plan.trials] == [
        (1, True, {}),
        (2, False, {"encoder": 1}),
        (3, False, {"encoder": 1}),
    ]
    assert plan.trials[0].trial == ENCODER


def test_an_axis_of_a_dependency_gives_several_dependencies() -> None:
    space = {
        "task.encoder.epochs": tune.grid_search([1, 2]),
        "arch.fc_units": tune.grid_search([4, 8]),
    }
    plan = planned(TWO_STAGE, space)
    assert [one.is_dependency for one in plan.trials] == [True, True, False, False, False, False]
    assert len({one.hash for one in plan.trials}) == 6
    needed = {one.number: one.trial.epochs for one in plan.trials[:2]}
    assert {
        (one.axes["task.encoder.epochs"], needed[one.dependencies["encoder"]])
        for one in plan.trials[2:]
    } == {(1, 1), (2, 2)}


def test_a_requested_dependency_is_one_trial() -> None:
    judge = TWO_STAGE.override({"epochs": 3})
    space = [{"task": "classify", "task.encoder.seed": tune.grid_search([0])}]
    assert len(planned(judge, space).trials) == 2
    both = Sweep(base=ENCODER, space=[{}, {"task": "denoise"}])
    assert not any(
        one.is_dependency for one in make_plan(both, lambda dataset: dataset.load([])).trials
    )


def test_dependencies_of_dependencies_come_first() -> None:
    judged = ENCODER.model_copy(update={"task": Denoise(judge=TWO_STAGE)})
    plan = planned(judged, {})
    assert [one.trial.task.name for one in plan.trials] == ["reconstruct", "classify", "denoise"]
    assert [one.dependencies for one in plan.trials] == [{}, {"encoder": 1}, {"judge": 2}]


def test_a_flat_configuration_with_a_dependency_round_trips() -> None:
    flat = TWO_STAGE.flat()
    assert flat["task.encoder.arch.encoder_filters"] == [4, 2]
    assert from_flat(flat) == TWO_STAGE
    assert TWO_STAGE.override({"task.encoder.arch.encoder_filters.1": 4}) == TWO_STAGE


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (
            TWO_STAGE,
            {"task.encoder.epohcs": 3},
            "task.encoder: epohcs is not a parameter of a trial; did you mean epochs?",
        ),
        (
            TWO_STAGE,
            {"task.encoder.arch.encoder_filters": [4, 3]},
            "task.encoder: the encoder of its arch is not the one of this trial's arch",
        ),
        (TWO_STAGE, {"task.classes": 3}, "task.classes = 3"),
        (
            ENCODER.model_copy(update={"task": Denoise(judge=ENCODER)}),
            {},
            "task.judge has the task 'reconstruct': should be a trial with task 'classify'",
        ),
    ],
)
def test_a_dependency_that_does_not_fit_is_an_error_of_the_plan(
    base: Trial, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match="(?s)" + re.escape(message)):
        planned(base, {}, settings=changes)


def test_a_dependency_has_to_be_a_trial() -> None:
    with pytest.raises(ValueError, match=r"should be a Trial"):
        Classify(encoder=Reconstruct())


def test_the_encoder_is_frozen_in_the_first_stage_and_trained_in_the_second(
    tmp_path: Path,
) -> None:
    images = DeviceImages.load(DIGITS.load([]), torch.device("cpu"))
    list(train(ENCODER, images, tmp_path / "encoder"))
    pretrained = checkpoint.load(tmp_path / "encoder" / checkpoint.BEST).network
    encoders = []
    for epoch in train(
        TWO_STAGE, images, tmp_path / "two", dependencies={"encoder": tmp_path / "encoder"}
    ):
        network = checkpoint.load(tmp_path / "two" / checkpoint.LAST).network
        encoders.append(
            {name: tensor for name, tensor in network.items() if name.startswith("encoder.")}
        )
        assert epoch.row["train_loss"] > 0
    for name, tensor in encoders[0].items():
        assert torch.equal(tensor, pretrained[name])
        assert torch.equal(tensor, encoders[1][name])
    assert any(not torch.equal(tensor, encoders[1][name]) for name, tensor in encoders[3].items())


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupted_two_stage_trial_ends_with_the_same_numbers(
    after: int, tmp_path: Path
) -> None:
    images = DeviceImages.load(DIGITS.load([]), torch.device("cpu"))
    dependencies = {"encoder": tmp_path / "encoder"}
    list(train(ENCODER, images, tmp_path / "encoder"))
    whole = list(train(TWO_STAGE, images, tmp_path / "whole", dependencies=dependencies))
    going = train(TWO_STAGE, images, tmp_path / "cut", dependencies=dependencies)
    for _ in range(after):
        next(going)
    going.close()
    cut = list(train(TWO_STAGE, images, tmp_path / "cut", dependencies=dependencies))
    assert [epoch.row["val_loss"] for epoch in cut] == [epoch.row["val_loss"] for epoch in whole]
    assert cut[-1].final == whole[-1].final
    assert cut[-1].tables == whole[-1].tables


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def file(lr: str = "1e-2", space: str = '{"arch.fc_units": tune.grid_search([4, 8])}') -> Path:
        path = tmp_path / "stages.py"
        path.write_text(FILE.replace("{lr}", lr).replace("{space}", space))
        return path

    return file


def test_a_dependency_runs_first_and_is_not_ranked(
    write: Callable[..., Path], run_sweep: Callable[..., RunDir]
) -> None:
    run = run_sweep(write())
    records = run.records()
    assert [record.is_dependency for record in records.values()] == [True, False, False]
    assert (records[1].state, records[1].last_epoch, len(records[1].starts)) == ("finished", 2, 1)
    started = [event.trial for event in run.events() if isinstance(event, TrialStarted)]
    ended = [event.trial for event in run.events() if isinstance(event, TrialEnded)]
    assert started[0] == ended[0] == 1
    assert {
        one.record.number
        for one in ranking(records.values(), run.read_sweep(), "val_accuracy", "max")
    } == {2, 3}
    results = tables.read([run])
    assert set(results.ranked["trial"]) == {2, 3}
    assert results.trials["needed_by"].tolist() == ["2, 3", None, None]
    html = page.build(run).read_text()
    assert "confusion" in html
    before = run.journal.read_text()
    run_sweep(write())
    assert run.journal.read_text() == before


def test_a_wider_space_does_not_train_the_dependency_again(
    write: Callable[..., Path], run_sweep: Callable[..., RunDir]
) -> None:
    run_sweep(write(space='{"arch.fc_units": tune.grid_search([4])}'))
    run = run_sweep(write(space='{"arch.fc_units": tune.grid_search([4, 8])}'))
    records = run.records()
    assert [(record.is_dependency, len(record.starts)) for record in records.values()] == [
        (True, 1),
        (False, 1),
        (False, 1),
    ]


def test_a_trial_with_a_failed_dependency_fails(
    write: Callable[..., Path], run_sweep: Callable[..., RunDir]
) -> None:
    run = run_sweep(write(lr="1e38"))
    records = run.records()
    assert records[1].state == "diverged"
    assert [(record.state, record.reason) for number, record in records.items() if number > 1] == [
        ("failed", "dependency failed: trial 1 (task.encoder) diverged")
    ] * 2


def test_asha_does_not_judge_dependencies() -> None:
    judge = ASHA(grace_epochs=1, min_trials=1).create_judge(2, "val_loss", "min", exempt={7})
    assert judge.report(1, 1, 0.1) is None
    assert judge.report(7, 1, 9.0) is None
    assert judge.merits == {1: [-0.1]}
