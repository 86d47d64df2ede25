"""The trials that a claim compares: the cheapest set that is equal in all other settings."""

from __future__ import annotations

from collections.abc import Sequence

from ray import tune

from cae import BetterThan, FallsWith, SmallestAt, Threshold
from cae.sweep.spec.claim_trials import trials_for_claim
from cae.sweep.spec.claims import Claim
from cae.sweep.spec.plan import Plan
from cae.sweep.spec.planned_trial import PlannedTrial
from tests.sweep.spec.plans import plan_of

KERNEL = "arch.kernel_size"
GRID = {
    KERNEL: tune.grid_search([3, 5]),
    "epochs": tune.grid_search([4, 2]),
    "seed": tune.grid_search([0, 1]),
}


def cost(trials: Sequence[PlannedTrial]) -> float:
    return float(sum(trial.trial.epochs for trial in trials))


def chosen(claim: Claim, plan: Plan) -> list[tuple[object, int, int]]:
    """Kernel size, epochs and seed of the chosen trials."""
    trials = trials_for_claim(claim, plan.listed, plan.overrides, cost)
    settings: list[tuple[object, int, int]] = []
    for planned in trials:
        flat = planned.trial.flat()
        settings.append((flat[KERNEL], planned.trial.epochs, planned.trial.seed))
    return settings


def test_two_groups_are_compared_in_the_cheapest_equal_settings() -> None:
    claim = BetterThan(id="C", text="x", metric="val_loss", this={KERNEL: 3}, that={KERNEL: 5})
    assert chosen(claim, plan_of(GRID)) == [(3, 2, 0), (5, 2, 0)]


def test_conditions_limit_the_trials() -> None:
    claim = SmallestAt(
        id="C", text="x", metric="val_loss", axis=KERNEL, value=3, where={"epochs": 4}
    )
    assert chosen(claim, plan_of(GRID)) == [(3, 4, 0), (5, 4, 0)]


def test_a_condition_on_the_full_value_is_met_by_that_of_the_budget() -> None:
    claim = FallsWith(id="C", text="x", metric="val_loss", axis=KERNEL, where={"epochs": 4})
    plan = plan_of({KERNEL: tune.grid_search([3, 5])}, settings={"epochs": 1})
    assert chosen(claim, plan) == [(3, 1, 0), (5, 1, 0)]


def test_a_claim_about_the_best_trial_needs_all_configurations() -> None:
    claim = Threshold(id="C", text="x", metric="val_loss", op="<", bound=1)
    assert len(chosen(claim, plan_of(GRID))) == 4


def test_a_sweep_without_one_side_has_no_trials_for_the_claim() -> None:
    claim = BetterThan(id="C", text="x", metric="val_loss", this={KERNEL: 3}, that={KERNEL: 7})
    assert chosen(claim, plan_of(GRID)) == []
