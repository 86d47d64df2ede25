"""Sweeps that rank by a metric of the latent code, and sweeps without its measures."""

from __future__ import annotations

from typing import Any

import pytest

from cae import BetterThan, Classifier, Classify, Compares, SmallestRows, Trial
from cae.sweep.spec.claims import Claim
from cae.sweep.spec.latent_columns import reasons_without_columns
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


def lr_claim(metric: str) -> Claim:
    return BetterThan(
        id="C", text="x", metric=metric, this={"optimizer.lr": 0.1}, that={"optimizer.lr": 0.2}
    )


UNITS_CLAIM = SmallestRows(id="C", text="x", table="latent_units", column="kl", rows=["1"])
PAIR_CLAIM = Compares(
    id="C", text="x", left="test_loss", op="<", right="test_probe_accuracy_random_encoder"
)


@pytest.mark.parametrize(
    "claim",
    [lr_claim("test_probe_accuracy"), lr_claim("val_knn_accuracy"), UNITS_CLAIM, PAIR_CLAIM],
)
@pytest.mark.parametrize("obstacle", ["", "turned off", "no encoder", "one class"])
def test_trials_lack_columns_of_the_latent_code_for_a_reason(obstacle: str, claim: Claim) -> None:
    settings: dict[str, Any] = {}
    if obstacle == "one class":
        settings = {"dataset.classes": [3]}
        settings |= {"dataset.train_images": 20, "dataset.val_images": 5, "dataset.test_images": 5}
    sweep: dict[str, Any] = {"latent": obstacle != "turned off"}
    if sweep["latent"] and obstacle != "one class":
        sweep["metric"] = "val_knn_accuracy"
    plan = plan_of({}, sweep, settings=settings)
    (planned,) = plan.trials
    (images,) = plan.images.values()
    sizes = dict(planned.sizes)
    if obstacle == "no encoder":
        del sizes["latent_values"]
    reasons = reasons_without_columns(claim, planned.trial, sizes, images, plan.sweep)
    expected = {
        "": "",
        "turned off": "latent = False turns off the measures of the latent code",
        "no encoder": "the networks of ConvAutoencoder have no encoder",
        "one class": "the images of digits have one class",
    }[obstacle]
    if obstacle == "one class" and claim is UNITS_CLAIM:  # it compares no classes
        expected = ""
    if not expected:
        assert reasons == []
        return
    (reason,) = reasons
    assert reason.endswith(f" is not measured: {expected}")


def test_other_columns_than_those_of_the_latent_code_are_not_judged() -> None:
    plan = plan_of({}, {"latent": False})
    (planned,) = plan.trials
    (images,) = plan.images.values()
    claim = lr_claim("last_val_loss")
    assert reasons_without_columns(claim, planned.trial, {}, images, plan.sweep) == []
    claim = lr_claim("last_val_probe_accuracy")
    (reason,) = reasons_without_columns(
        claim, planned.trial, planned.sizes, images, plan_of({}).sweep
    )
    assert reason == (
        "last_val_probe_accuracy is not measured: only the metric of the sweep is measured in "
        "epochs"
    )
