from __future__ import annotations

from typing import Any

import pytest
from ray import tune

from cae.run.selection import parse_conditions
from cae.sweep.spec.claim_hints import hints_about_chosen, hints_about_claims
from cae.sweep.spec.claims import (
    BetterThan,
    Claim,
    Compares,
    Conditions,
    MoreImportantThan,
    RisesWith,
    SmallestAt,
)
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


RATE = "optimizer.lr"
FILTERS = "arch.encoder_filters"


def claims_about_rates() -> list[Claim]:
    """The first three need both learning rates, the last two do not."""
    common: dict[str, Any] = {"text": "-", "metric": "val_loss"}
    left: dict[str, Any] = {"text": "-", "left": "val_loss", "op": "<", "right": "train_loss"}
    return [
        BetterThan(id="pair", this={RATE: 0.001}, that={RATE: 0.002}, **common),
        SmallestAt(id="extreme", axis=RATE, value=0.001, **common),
        RisesWith(id="trend", axis=RATE, **common),
        BetterThan(id="filters", this={FILTERS: (4, 2)}, that={FILTERS: (8, 2)}, **common),
        Compares(id="same trial", where={RATE: 0.001}, **left),
    ]


def hints_where(claims: list[Claim], *conditions: str) -> list[str]:
    return plan_of(SPACE, {"claims": claims}, where=parse_conditions(conditions)).hints


def test_claims_whose_trials_the_conditions_leave_out_are_counted_in_one_line() -> None:
    """The user left them out on purpose: no nearest value is proposed."""
    claims = claims_about_rates()
    assert plan_of(SPACE, {"claims": claims}).hints == []
    (hint,) = hints_where(claims, f"{RATE}=0.001")
    assert hint == "3 of 5 claims need trials that --where leaves out"
    (hint,) = hints_where(claims[:1], f"{RATE}=0.001")
    assert hint == "1 of 1 claim needs trials that --where leaves out"
    assert hints_where(claims[3:], f"{RATE}=0.001") == []
    (hint,) = hints_where(claims, f"{RATE}=0.002")
    assert hint.startswith("4 of 5 claims ")


def test_both_sides_of_a_claim_have_to_meet_its_other_conditions() -> None:
    """Each value is in the chosen trials, but not together with the condition."""
    claim = BetterThan(
        id="one",
        text="-",
        metric="val_loss",
        where={RATE: 0.002},
        this={FILTERS: (4, 2)},
        that={FILTERS: (8, 2)},
    )
    trials = [planned.trial for planned in plan_of(SPACE).trials]
    chosen = []
    for trial in trials:
        settings = trial.flat()
        if settings[RATE] == 0.001 or settings[FILTERS] == [4, 2]:
            chosen.append(trial)
    assert len(chosen) == 3
    assert len(hints_about_chosen([claim], trials, chosen, {})) == 1
    assert hints_about_chosen([claim], trials, trials, {}) == []


def test_a_claim_that_the_whole_sweep_cannot_test_keeps_its_hint() -> None:
    claim = SmallestAt(id="one", text="-", metric="val_loss", axis=RATE, value=0.5)
    (hint,) = hints_where([claim], f"{RATE}=0.001")
    assert hint == plan_of(SPACE, {"claims": [claim]}).hints[0]
    assert "the values are 0.001, 0.002" in hint


def test_trials_that_the_run_holds_are_not_left_out() -> None:
    (claim, *_) = claims_about_rates()
    trials = [planned.trial for planned in plan_of(SPACE).trials]
    chosen = [trial for trial in trials if trial.optimizer.parameters()["lr"] == 0.001]
    assert len(hints_about_chosen([claim], trials, chosen, {})) == 1
    assert hints_about_chosen([claim], trials, chosen, {}, [t.flat() for t in trials]) == []


def test_an_axis_that_the_sweep_does_not_vary_is_not_left_out() -> None:
    claim = MoreImportantThan(id="one", text="-", metric="val_loss", axis="arch.kernel_size")
    assert hints_where([claim], f"{RATE}=0.001") == []
