"""Conditions of `--where` that choose some trials of a sweep."""

from __future__ import annotations

from ray import tune

from cae.run.choices import Choices
from cae.sweep.spec.planned_trial import PlannedTrial
from tests.sweep.spec.plans import plan_of

KERNEL = "arch.kernel_size"
FILTERS = "arch.encoder_filters.1"
GRID = {
    KERNEL: tune.grid_search([3, 5]),
    FILTERS: tune.grid_search([4, 8]),
    "arch.pooling": tune.grid_search(["max", "average"]),
}
NAMES = [KERNEL, FILTERS, "arch.pooling"]


def choices_of(trials: list[PlannedTrial]) -> Choices[PlannedTrial]:
    return Choices(trials, lambda trial: trial.selectable_values)


def chosen_texts(trials: list[PlannedTrial], all_trials: list[PlannedTrial]) -> list[str]:
    conditions, selected = choices_of(all_trials).choose(trials, NAMES)
    assert all(trial in selected for trial in trials)
    return [str(condition) for condition in conditions]


def test_conditions_choose_exactly_the_trials_and_are_few() -> None:
    trials = plan_of(GRID).trials
    large = [trial for trial in trials if trial.axes[KERNEL] == 5]
    assert chosen_texts(large, trials) == [f"{KERNEL}=5"]
    assert chosen_texts(trials, trials) == []
    one = [trial for trial in large if trial.axes[FILTERS] == 8][:1]
    pooling = one[0].axes["arch.pooling"]
    texts = chosen_texts(one, trials)
    assert texts == [f"{KERNEL}=5", f"{FILTERS}=8", f"arch.pooling={pooling}"]


def test_a_condition_that_follows_from_a_later_one_is_left_out() -> None:
    """Kernel size 3 excludes trials, and all with 16 filters have it."""
    space = [
        {KERNEL: tune.grid_search([3, 5]), FILTERS: tune.grid_search([4, 8])},
        {KERNEL: 3, FILTERS: 16},
    ]
    trials = plan_of(space).trials
    widest = [trial for trial in trials if trial.axes[FILTERS] == 16]
    conditions, selected = choices_of(trials).choose(widest, [KERNEL, FILTERS])
    assert [str(condition) for condition in conditions] == [f"{FILTERS}=16"]
    assert selected == widest


def test_trials_that_are_no_product_of_values_are_chosen_with_others() -> None:
    trials = plan_of(GRID).trials
    corners = [
        trial for trial in trials if (trial.axes[KERNEL], trial.axes[FILTERS]) in ((3, 4), (5, 8))
    ]
    conditions, selected = choices_of(trials).choose(corners, NAMES)
    assert conditions == []
    assert len(selected) == 8


def test_a_parameter_that_a_chosen_trial_lacks_is_no_condition() -> None:
    space = [{"optimizer": "sgd", "optimizer.momentum": 0.5}, {"optimizer": "adam"}]
    trials = plan_of(space).trials
    conditions, selected = choices_of(trials).choose(trials, ["optimizer.momentum"])
    assert (conditions, len(selected)) == ([], 2)
    sgd = [trial for trial in trials if trial.trial.optimizer.name == "sgd"]
    conditions, selected = choices_of(trials).choose(sgd, ["optimizer.momentum"])
    assert [str(condition) for condition in conditions] == ["optimizer.momentum=0.5"]
    assert selected == sgd
