"""The comparison of the best configuration, on runs whose answer is known."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.statistics.best import (
    BestVerdict,
    Setting,
    compare_configurations,
    distinguishing_settings,
    own_settings,
    smallest_tied,
    suggested_seeds,
)
from cae.report.statistics.leaders import find_leaders
from tests.report.planted_runs import configurations_with_seeds
from tests.report.synthetic_runs import MakeWriter


def test_a_difference_larger_than_the_spread_of_seeds_is_significant(
    writer: MakeWriter,
) -> None:
    results = configurations_with_seeds(writer, [0.010, 0.020, 0.021], 5, 0.0005)
    comparison = compare_configurations(results)
    assert comparison.verdict == BestVerdict.BETTER
    assert comparison.tied == []
    assert comparison.table["probability"].iloc[0] > 0.99
    assert comparison.table["difference_low"].iloc[1] > 0


def test_equal_configurations_are_tied(writer: MakeWriter) -> None:
    results = configurations_with_seeds(writer, [0.010, 0.010, 0.030], 4, 0.001)
    comparison = compare_configurations(results)
    assert comparison.verdict == BestVerdict.TIED
    assert len(comparison.tied) == 1
    assert comparison.table["probability"].sum() == pytest.approx(1)


def test_the_smallest_of_tied_configurations_is_that_with_the_fewest_parameters(
    writer: MakeWriter,
) -> None:
    """Networks are larger the higher the number of their trial."""
    results = configurations_with_seeds(writer, [0.010, 0.010, 0.030], 4, 0.001)
    comparison = compare_configurations(results)
    smallest = smallest_tied(results, comparison)
    assert smallest is not None
    first_trials = [comparison.table["trials"].iloc[row][0] for row in (0, *comparison.tied)]
    parameters = results.trials.loc[first_trials, "parameters"].tolist()
    assert smallest.parameters == min(parameters)
    assert comparison.table["trials"].iloc[smallest.row][0] == min(first_trials)


def test_one_seed_per_configuration_is_unknown(writer: MakeWriter) -> None:
    results = configurations_with_seeds(writer, [0.01, 0.02], 1, 0.0)
    comparison = compare_configurations(results)
    assert comparison.verdict == BestVerdict.UNKNOWN
    assert comparison.table["difference"].tolist() == pytest.approx([0.0, 0.01])
    assert math.isnan(comparison.table["probability"].iloc[0])
    assert suggested_seeds(results) == 3


def mixed_seeds(writer: Callable[..., Any], values: list[list[float]]) -> Results:
    """A run of one configuration per list, with a seed per value."""
    run = writer(seeds=3)
    trials = [
        (kernel, seed, value)
        for kernel, of_seeds in enumerate(values)
        for seed, value in enumerate(of_seeds)
    ]
    run.session(list(range(1, len(trials) + 1)))
    for number, (kernel, seed, value) in enumerate(trials, start=1):
        axes = {"arch.kernel_size": kernel, "optimizer.lr": 0.1 * (kernel % 2)}
        run.trial(number, axes, seed=seed)
        run.start(number)
        run.epoch(number, 1, value)
        run.end(number, "finished", best_epoch=1, metrics={})
    return tables.read([run.close()])


def test_a_configuration_with_one_seed_is_compared_by_the_pooled_spread(
    writer: MakeWriter,
) -> None:
    """Regression: it was not compared, and "better than each of the others" included it."""
    values = [[0.10, 0.12, 0.11], [0.20, 0.22, 0.21], [0.115]]
    comparison = compare_configurations(mixed_seeds(writer, values))
    assert comparison.verdict == BestVerdict.TIED
    assert comparison.tied == [1]
    row = comparison.table.iloc[1]
    assert row["difference"] == pytest.approx(0.005)
    # Pooled: standard deviation 0.01 with 4 degrees of freedom, whose t quantile is 2.776.
    half_width = 2.776 * 0.01 * math.sqrt(1 + 1 / 3)
    assert row["difference_low"] == pytest.approx(0.005 - half_width, abs=1e-4)
    assert row["difference_high"] == pytest.approx(0.005 + half_width, abs=1e-4)
    assert comparison.table["probability"].sum() == pytest.approx(1)


def test_a_far_worse_configuration_with_one_seed_is_worse(writer: MakeWriter) -> None:
    values = [[0.10, 0.12, 0.11], [0.20, 0.22, 0.21], [0.4]]
    assert compare_configurations(mixed_seeds(writer, values)).verdict == BestVerdict.BETTER


def test_every_configuration_is_compared_with_the_best(writer: MakeWriter) -> None:
    """Regression: of 1,536 only the 200 next ones were, and the page counted all as worse."""
    values = [[0.1, 0.101]] + [[0.2, 0.201 + 1e-5 * number] for number in range(201)]
    comparison = compare_configurations(mixed_seeds(writer, [*values, [0.1, 0.9]]))
    last = len(comparison.table) - 1
    assert comparison.verdict == BestVerdict.TIED
    assert comparison.tied == [last]
    assert comparison.table["difference_low"].iloc[last] < 0


def test_seeds_that_differ_by_the_same_amount_are_not_certain(writer: MakeWriter) -> None:
    """Regression: two seeds of an error rate with the same difference had p = 0."""
    values = [[0.10, 0.11], [0.11, 0.12], [0.70, 0.80]]
    comparison = compare_configurations(mixed_seeds(writer, values))
    # Pooled over three configurations with one degree of freedom each.
    deviation = math.sqrt((0.005**2 * 2 + 0.005**2 * 2 + 0.05**2 * 2) / 3)
    row = comparison.table.iloc[1]
    assert row["difference"] == pytest.approx(0.01)
    width = row["difference_high"] - row["difference_low"]
    assert width == pytest.approx(2 * stats.t.ppf(0.975, 3) * deviation)
    assert comparison.verdict == BestVerdict.TIED


def test_the_probability_agrees_with_the_paired_comparison(writer: MakeWriter) -> None:
    """Regression: a seed that is bad for all configurations made both equally probable."""
    shifts = [0.0, 0.5, 1.0, 0.3]
    noise = [0.001, -0.001, 0.0005, 0.0]
    first = [1 + shift for shift in shifts]
    second = [1.01 + shift + error for shift, error in zip(shifts, noise, strict=True)]
    comparison = compare_configurations(mixed_seeds(writer, [first, second]))
    assert comparison.verdict == BestVerdict.BETTER
    assert comparison.table["probability"].iloc[0] > 0.97


def test_trials_of_edited_code_are_no_further_seeds(writer: MakeWriter) -> None:
    """Regression: two seeds of a network before it was edited and two after were four seeds."""
    run = writer(seeds=2)
    run.session([1, 2, 3, 4])
    for number in (1, 2, 3, 4):
        code = "before"
        if number > 2:
            code = "after"
        run.trial(number, {"arch.kernel_size": 3}, code=code, seed=number % 2)
        run.start(number)
        run.epoch(number, 1, 0.01 * number)
        run.end(number, "finished", best_epoch=1, metrics={})
    table = compare_configurations(tables.read([run.close()])).table
    assert table["n"].tolist() == [2, 2]
    assert table["trials"].tolist() == [[0, 1], [2, 3]]


def test_more_seeds_are_suggested_than_any_configuration_has(writer: MakeWriter) -> None:
    """Regression: three, although a command had added five to the leaders."""
    results = mixed_seeds(functools.partial(writer, "added"), [[0.1] * 5, [0.2]])
    assert suggested_seeds(results) == 7


def test_equal_configurations_with_mixed_seeds_are_rarely_called_better(
    writer: MakeWriter,
) -> None:
    random = np.random.default_rng(0)
    better = 0
    runs = 200
    for number in range(runs):
        values = [list(random.normal(1, 0.1, seeds)) for seeds in (3, 3, 1)]
        results = mixed_seeds(functools.partial(writer, f"run{number}"), values)
        better += compare_configurations(results).verdict == BestVerdict.BETTER
    assert better / runs < 0.08


def test_the_leaders_are_chosen_by_conditions(writer: MakeWriter) -> None:
    values = [[0.10, 0.12, 0.11], [0.9], [0.115], [0.8], [0.7], [0.6], [0.65], [0.75]]
    results = mixed_seeds(writer, values)
    leaders = find_leaders(results, compare_configurations(results))
    assert leaders is not None
    assert leaders.count == 2
    assert [str(condition) for condition in leaders.conditions] == [
        "arch.kernel_size=0",
        "arch.kernel_size=2",
    ]


def test_conditions_cannot_choose_among_two_configurations(writer: MakeWriter) -> None:
    results = mixed_seeds(writer, [[0.1], [0.2]])
    assert find_leaders(results, compare_configurations(results)) is None


def test_a_run_without_finished_trials_has_no_best_configuration(writer: MakeWriter) -> None:
    run = writer()
    run.session([1])
    run.trial(1, {"arch.kernel_size": 3})
    comparison = compare_configurations(tables.read([run.close()]))
    assert comparison.verdict == BestVerdict.NONE
    assert len(comparison.compared) == 0


def test_a_configuration_with_a_failed_seed_is_not_compared(writer: MakeWriter) -> None:
    kernels = {1: 3, 2: 3, 3: 5, 4: 5}
    run = writer(seeds=2)
    run.session(list(kernels))
    for number, kernel in kernels.items():
        run.trial(number, {"arch.kernel_size": kernel}, seed=number % 2)
        run.start(number)
        if number == 1:
            run.epoch(number, 1, math.nan)
            run.end(number, "diverged")
        else:
            run.epoch(number, 1, 0.01 * number)
            run.end(number, "finished")
    comparison = compare_configurations(tables.read([run.close()]))
    assert comparison.table["is_complete"].tolist() == [True, False]
    assert comparison.table["n"].tolist() == [2, 1]
    assert comparison.table["requested"].tolist() == [2, 2]
    assert len(comparison.compared) == 1


def test_trials_are_distinguished_by_their_unusual_settings(writer: MakeWriter) -> None:
    """The number of pools is determined by the number of layers, so it is left out."""
    usual: dict[str, Any] = {
        "arch.kernel_size": 3,
        "arch.layers": 2,
        "arch.pools": 1,
        "optimizer.lr": 0.01,
        "optimizer": "adam",
    }
    changes: list[dict[str, Any]] = [
        {},
        {"arch.kernel_size": 5},
        {"arch.layers": 4, "arch.pools": 3},
        {"optimizer.lr": 0.1},
        {"optimizer": "sgd"},
    ]
    run = writer()
    run.session(list(range(1, len(changes) + 1)))
    for number, change in enumerate(changes, 1):
        run.trial(number, usual | change)
    results = tables.read([run.close()])
    assert distinguishing_settings(results, list(results.trials.index)).settings == [
        [],
        [Setting("arch.kernel_size", 5)],
        [Setting("arch.layers", 4)],
        [Setting("optimizer.lr", 0.1)],
        [Setting("optimizer", "sgd")],
    ]
    two_trials = distinguishing_settings(results, [0, 1])
    assert two_trials.parameters == ["arch.kernel_size"]
    assert two_trials.settings == [
        [Setting("arch.kernel_size", 3)],
        [Setting("arch.kernel_size", 5)],
    ]
    assert "arch.pools" not in [setting.parameter for setting in own_settings(results, 0)]
