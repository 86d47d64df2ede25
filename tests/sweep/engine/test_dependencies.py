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
from cae.trial.config import from_flat
from cae.trial.messages import ConfigError
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
SWEEP_FILE = '''"""Two classifiers on one encoder."""

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


def plan_trials(base: Trial, space: Any, **options: Any) -> Plan:
    return make_plan(Sweep(base=base, space=space), lambda dataset: dataset.load([]), **options)


def test_a_dependency_is_planned_once_and_first() -> None:
    plan = plan_trials(TWO_STAGE, {"arch.fc_units": tune.grid_search([4, 8])})
    assert [(trial.number, trial.is_dependency, trial.dependencies) for trial in plan.trials] == [
        (1, True, {}),
        (2, False, {"encoder": 1}),
        (3, False, {"encoder": 1}),
    ]
    assert plan.trials[0].trial == ENCODER


def test_each_value_of_a_dependency_parameter_is_a_dependency_of_its_own() -> None:
    space = {
        "task.encoder.epochs": tune.grid_search([1, 2]),
        "arch.fc_units": tune.grid_search([4, 8]),
    }
    plan = plan_trials(TWO_STAGE, space)
    dependencies = plan.trials[:2]
    requested = plan.trials[2:]
    assert all(trial.is_dependency for trial in dependencies)
    assert not any(trial.is_dependency for trial in requested)
    assert len({trial.hash for trial in plan.trials}) == 6
    for trial in requested:
        dependency = dependencies[trial.dependencies["encoder"] - 1]
        assert dependency.trial.epochs == trial.axes["task.encoder.epochs"]


def test_a_dependency_with_an_axis_of_one_value_is_planned_once() -> None:
    space = [{"task": "classify", "task.encoder.seed": tune.grid_search([0])}]
    plan = plan_trials(TWO_STAGE.override({"epochs": 3}), space)
    assert [trial.is_dependency for trial in plan.trials] == [True, False]


def test_trials_without_dependencies_are_not_dependencies() -> None:
    plan = plan_trials(ENCODER, [{}, {"task": "denoise"}])
    assert [trial.is_dependency for trial in plan.trials] == [False, False]


def test_dependencies_of_dependencies_come_first() -> None:
    denoiser = ENCODER.model_copy(update={"task": Denoise(judge=TWO_STAGE)})
    trials = plan_trials(denoiser, {}).trials
    assert [trial.trial.task.name for trial in trials] == ["reconstruct", "classify", "denoise"]
    assert [trial.dependencies for trial in trials] == [{}, {"encoder": 1}, {"judge": 2}]


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
            "task.encoder: its encoder differs from the encoder of this trial's arch",
        ),
        (TWO_STAGE, {"task.classes": 3}, "task.classes = 3"),
        (
            ENCODER.model_copy(update={"task": Denoise(judge=ENCODER)}),
            {},
            "task.judge has the task 'reconstruct': should be a trial with task 'classify'",
        ),
        (
            ENCODER.model_copy(update={"task": Denoise(judge=TWO_STAGE)}),
            {"task.judge.task.classes": 12},
            "task.judge predicts 12 classes, but digits has 10: set task.judge.task.classes to 10",
        ),
    ],
)
def test_an_invalid_dependency_is_a_config_error(
    base: Trial, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        plan_trials(base, {}, settings=changes)


def test_a_dependency_has_to_be_a_trial() -> None:
    with pytest.raises(ValueError, match=r"should be a Trial"):
        Classify(encoder=Reconstruct())


def test_the_encoder_is_frozen_in_the_first_stage_and_trained_in_the_second(
    tmp_path: Path,
) -> None:
    images = DeviceImages.load(DIGITS.load([]), torch.device("cpu"))
    list(train(ENCODER, images, tmp_path / "encoder"))
    pretrained = checkpoint.load(tmp_path / "encoder" / checkpoint.BEST).network
    encoders = []  # the weights of the encoder after each epoch; it is frozen in epochs 1 and 2
    for _ in train(
        TWO_STAGE, images, tmp_path / "two", dependencies={"encoder": tmp_path / "encoder"}
    ):
        network = checkpoint.load(tmp_path / "two" / checkpoint.LAST).network
        encoders.append(
            {name: tensor for name, tensor in network.items() if name.startswith("encoder.")}
        )
    for name, tensor in encoders[0].items():
        assert torch.equal(tensor, pretrained[name])
        assert torch.equal(tensor, encoders[1][name])
    assert any(not torch.equal(tensor, encoders[1][name]) for name, tensor in encoders[3].items())


@pytest.mark.parametrize("interrupted_after", [1, 2, 3])
def test_a_resumed_two_stage_trial_reports_the_same_metrics(
    interrupted_after: int, tmp_path: Path
) -> None:
    images = DeviceImages.load(DIGITS.load([]), torch.device("cpu"))
    dependencies = {"encoder": tmp_path / "encoder"}
    list(train(ENCODER, images, tmp_path / "encoder"))
    expected = list(train(TWO_STAGE, images, tmp_path / "expected", dependencies=dependencies))
    interrupted = train(TWO_STAGE, images, tmp_path / "resumed", dependencies=dependencies)
    for _ in range(interrupted_after):
        next(interrupted)
    interrupted.close()
    resumed = list(train(TWO_STAGE, images, tmp_path / "resumed", dependencies=dependencies))
    losses = [epoch.row["val_loss"] for epoch in resumed]
    assert losses == [epoch.row["val_loss"] for epoch in expected]
    assert resumed[-1].final == expected[-1].final
    assert resumed[-1].tables == expected[-1].tables


@pytest.fixture
def write_sweep_file(tmp_path: Path) -> Callable[..., Path]:
    def write(lr: str = "1e-2", space: str = '{"arch.fc_units": tune.grid_search([4, 8])}') -> Path:
        path = tmp_path / "stages.py"
        path.write_text(SWEEP_FILE.replace("{lr}", lr).replace("{space}", space))
        return path

    return write


def test_a_dependency_runs_first_and_is_not_ranked(
    write_sweep_file: Callable[..., Path], run_sweep: Callable[..., RunDir]
) -> None:
    run = run_sweep(write_sweep_file())
    records = run.records()
    assert [record.is_dependency for record in records.values()] == [True, False, False]
    assert records[1].state == "finished"
    assert records[1].last_epoch == 2
    assert len(records[1].starts) == 1
    started = [event.trial for event in run.events() if isinstance(event, TrialStarted)]
    ended = [event.trial for event in run.events() if isinstance(event, TrialEnded)]
    assert started[0] == ended[0] == 1
    ranked = ranking(records.values(), run.read_sweep(), "val_accuracy", "max")
    assert {trial.record.number for trial in ranked} == {2, 3}
    results = tables.read([run])
    assert set(results.ranked["trial"]) == {2, 3}
    assert results.trials["needed_by"].tolist() == ["2, 3", None, None]
    assert "confusion" in page.build(run).read_text()


@pytest.mark.slow
def test_repeating_a_sweep_trains_neither_dependencies_nor_other_trials(
    write_sweep_file: Callable[..., Path], run_sweep: Callable[..., RunDir]
) -> None:
    run = run_sweep(write_sweep_file())
    journal = run.journal.read_text()
    run_sweep(write_sweep_file())
    assert run.journal.read_text() == journal


@pytest.mark.slow
def test_a_wider_space_does_not_train_the_dependency_again(
    write_sweep_file: Callable[..., Path], run_sweep: Callable[..., RunDir]
) -> None:
    run_sweep(write_sweep_file(space='{"arch.fc_units": tune.grid_search([4])}'))
    run = run_sweep(write_sweep_file(space='{"arch.fc_units": tune.grid_search([4, 8])}'))
    records = run.records()
    assert [(record.is_dependency, len(record.starts)) for record in records.values()] == [
        (True, 1),
        (False, 1),
        (False, 1),
    ]


def test_a_trial_with_a_failed_dependency_fails(
    write_sweep_file: Callable[..., Path], run_sweep: Callable[..., RunDir]
) -> None:
    run = run_sweep(write_sweep_file(lr="1e38"))
    records = run.records()
    assert records[1].state == "diverged"
    for number in (2, 3):
        assert records[number].state == "failed"
        assert records[number].reason == "dependency failed: trial 1 (task.encoder) diverged"


def test_asha_does_not_stop_dependencies() -> None:
    judge = ASHA(grace_epochs=1, min_trials=1).create_judge(2, "val_loss", "min", exempt={7})
    assert judge.report(1, 1, 0.1) is None
    assert judge.report(7, 1, 9.0) is None
    assert judge.merits == {1: [-0.1]}
