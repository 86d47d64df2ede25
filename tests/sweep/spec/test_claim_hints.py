from __future__ import annotations

from typing import Any

import pytest
from ray import tune

from cae.sweep.spec.claim_hints import hints_about_claims
from cae.sweep.spec.claims import BetterThan, Conditions, SmallestAt
from tests.sweep.spec.plans import plan_of

SPACE = {
    "arch.encoder_filters": tune.grid_search([(4, 2), (8, 2)]),
    "optimizer.lr": tune.grid_search([1e-3, 2e-3]),
}


def hints_of(this: dict[str, Any], that: dict[str, Any], **options: Any) -> list[str]:
    claim = BetterThan(id="one", text="-", metric="val_loss", this=this, that=that)
    return plan_of(SPACE, {"claims": [claim]}, **options).hints


@pytest.mark.parametrize(
    ("this", "that"),
    [
        ({"arch.encoder_filters": (4, 2)}, {"arch.encoder_filters": [8, 2]}),
        ({"arch.encoder_filters.1": 4}, {"arch.encoder_filters.1": 8}),
        ({"optimizer.lr": 0.001}, {"optimizer.lr": 0.002}),
        ({"optimizer.lr": 0.001}, {"augmentation": "no_augmentation", "arch.skips": False}),
    ],
)
def test_conditions_that_trials_meet_have_no_hint(
    this: dict[str, Any], that: dict[str, Any]
) -> None:
    assert hints_of(this, that) == []


def test_a_value_that_no_trial_has_is_pointed_out_with_the_nearest_one() -> None:
    (hint,) = hints_of({"optimizer.lr": 0.001}, {"arch": "conv_autoencoders"})
    assert hint.startswith("claim one: no trial has arch = conv_autoencoders")
    assert hint.endswith("did you mean conv_autoencoder?")


def test_a_number_is_not_a_truth_value() -> None:
    (hint,) = hints_of({"optimizer.lr": 0.001}, {"arch.skips": 0})
    assert "arch.skips = 0" in hint


def test_a_value_of_the_full_sweep_that_the_budget_changes_has_no_hint() -> None:
    base_epochs: Conditions = {"epochs": 4}
    claim = BetterThan(
        id="one", text="-", metric="val_loss", this=base_epochs, that={"optimizer.lr": 0.002}
    )
    sweep = {"claims": [claim], "budgets": {"short": {"epochs": 1}}}
    assert plan_of(SPACE, sweep, budget="short").hints == []


def test_the_value_of_an_extreme_is_a_condition() -> None:
    claim = SmallestAt(id="one", text="-", metric="val_loss", axis="optimizer.lr", value=0.5)
    (hint,) = plan_of(SPACE, {"claims": [claim]}).hints
    assert "the values are 0.001, 0.002" in hint


def test_many_claims_are_counted() -> None:
    claims = []
    for number in range(5):
        claims.append(
            SmallestAt(id=str(number), text="-", metric="val_loss", axis="epochs", value=77)
        )
    assert len(plan_of(SPACE, {"claims": claims}).hints) == 3


def test_a_value_that_only_trials_of_the_run_have_has_no_hint() -> None:
    claim = SmallestAt(id="one", text="-", metric="val_loss", axis="optimizer.lr", value=0.002)
    grown = plan_of(SPACE, {"claims": [claim]})
    configs = [planned.trial.flat() for planned in grown.trials]
    first = [planned.trial for planned in grown.trials if planned.axes["optimizer.lr"] == 0.001]
    assert hints_about_claims([claim], first, {})
    assert hints_about_claims([claim], first, {}, configs) == []
