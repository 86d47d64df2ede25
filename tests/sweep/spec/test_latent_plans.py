"""Sweeps that rank by a metric of the latent code, and sweeps without its measures."""

from __future__ import annotations

from typing import Any

import pytest

from cae import Classifier, Classify, Trial
from cae.sweep.spec.plan import make_plan
from cae.sweep.spec.sweep import Sweep
from cae.trial.latent.declaration import latent_metrics
from tests.sweep.spec.plans import BASE, errors_of, load, plan_of


def test_a_sweep_may_rank_by_a_latent_metric_of_the_validation_images() -> None:
    plan = plan_of({}, {"metric": "val_probe_accuracy"})
    assert plan.mode == "max"


def test_the_directions_of_all_latent_metrics_are_recorded() -> None:
    directions = plan_of({}).directions
    assert directions["probe_accuracy"] == "max"
    assert directions["probe_accuracy_pca"] == "none"
    assert set(latent_metrics()) <= set(directions)


def test_a_metric_of_the_end_is_refused_with_that_of_every_epoch() -> None:
    (message,) = errors_of({}, {"metric": "test_probe_accuracy"})
    assert "did you mean 'val_probe_accuracy'?" in message
    (message,) = errors_of({}, {"metric": "probe_accuracy"})
    assert "did you mean 'val_probe_accuracy'?" in message


def test_a_floor_is_no_metric_of_a_sweep() -> None:
    (message,) = errors_of({}, {"metric": "val_probe_accuracy_pca"})
    assert "is not a metric of these trials" in message


def test_a_latent_metric_needs_the_measures_and_classes() -> None:
    (message,) = errors_of({}, {"metric": "val_probe_accuracy", "latent": False})
    assert message == (
        "metric = 'val_probe_accuracy': latent = False turns off the measures of the latent code"
    )
    (message,) = errors_of(
        {"dataset.classes": [3]},
        {"metric": "val_knn_accuracy"},
        settings={"dataset.train_images": 20, "dataset.val_images": 5, "dataset.test_images": 5},
    )
    assert message == "metric = 'val_knn_accuracy': the images of digits have one class"


def test_a_classifier_has_no_latent_metrics() -> None:
    trial = Trial(
        dataset=BASE.dataset,
        task=Classify(),
        arch=Classifier(encoder_filters=(4,), pool_after=(1,)),
        optimizer=BASE.optimizer,
    )
    sweep = Sweep(base=trial, metric="val_probe_accuracy")
    with pytest.raises(Exception, match="is not a metric of these trials"):
        make_plan(sweep, load)


@pytest.mark.parametrize("latent", [True, False])
def test_the_measures_are_no_part_of_the_identity_of_a_trial(latent: bool) -> None:
    (planned,) = plan_of({}, {"latent": latent}).trials
    (expected,) = plan_of({}).trials
    assert planned.hash == expected.hash
    assert "latent" not in planned.trial.flat()


@pytest.mark.parametrize("where", ["settings", "budget"])
def test_a_budget_and_the_command_line_turn_the_measures_off(where: str) -> None:
    options: dict[str, Any] = {"settings": {"latent": False}}
    sweep: dict[str, Any] = {}
    if where == "budget":
        sweep = {"budgets": {"quick": {"latent": False}}}
        options = {"budget": "quick"}
    assert plan_of({}, sweep).sweep.latent
    assert not plan_of({}, sweep, **options).sweep.latent


def test_another_value_of_latent_is_an_error() -> None:
    (message,) = errors_of({}, settings={"latent": "off"})
    assert message == "latent = 'off': should be True or False"
