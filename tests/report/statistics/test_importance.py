"""Importance of parameters, on runs whose values are known functions of them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from cae.report.data import tables
from cae.report.data.axis import make_axis, settings_per_trial
from cae.report.statistics.compared_trials import PopulationKind
from cae.report.statistics.importance import (
    ImportanceVerdict,
    analyze_importance,
    means_at_settings,
    shown_analysis,
    to_matrix,
)
from tests.report.planted_runs import grid
from tests.report.synthetic_runs import MakeWriter


def test_the_order_of_importance_is_that_of_the_effects(writer: MakeWriter) -> None:
    random = np.random.default_rng(0)

    def value_of(kernel: int, filters: int, _idle: int) -> float:
        return kernel + filters / 32 + 0.1 * float(random.normal())

    (analysis,) = analyze_importance(grid(writer, value_of))
    assert analysis.verdict == ImportanceVerdict.COMPUTED
    assert analysis.r2 > 0.8
    parameters = analysis.importance["parameter"].tolist()
    assert parameters == ["arch.kernel_size", "arch.filters", "arch.idle"]
    assert analysis.importance["low"].iloc[1] > 0
    assert analysis.importance["low"].iloc[2] < 0.01


def test_additive_effects_have_no_interaction(writer: MakeWriter) -> None:
    (analysis,) = analyze_importance(grid(writer, lambda kernel, filters, _: kernel + filters / 8))
    assert analysis.pairs["of_joint"].max() < 0.1


def test_an_interaction_is_found(writer: MakeWriter) -> None:
    def value_of(kernel: int, filters: int, idle: int) -> float:
        are_both_small_or_large = (kernel == 3) == (filters == 8)
        return float(are_both_small_or_large) + 0.01 * idle + 1

    (analysis,) = analyze_importance(grid(writer, value_of))
    strongest = analysis.pairs.iloc[0]
    assert {strongest["first"], strongest["second"]} == {"arch.kernel_size", "arch.filters"}
    assert strongest["of_joint"] > 0.1


def test_noise_has_no_importance(writer: MakeWriter) -> None:
    random = np.random.default_rng(0)
    results = grid(writer, lambda *_: 1 + float(random.normal()) ** 2)
    (analysis,) = analyze_importance(results)
    assert analysis.verdict == ImportanceVerdict.POOR_PREDICTION
    assert analysis.r2 < 0.3
    assert len(analysis.importance) == 0


def test_few_configurations_have_no_importance(writer: MakeWriter) -> None:
    results = grid(writer, lambda kernel, *_: float(kernel), trials=12)
    (analysis,) = analyze_importance(results)
    assert analysis.verdict == ImportanceVerdict.TOO_FEW_CONFIGURATIONS
    assert analysis.min_configurations == 20
    assert math.isnan(analysis.r2)


def test_equal_values_have_no_importance(writer: MakeWriter) -> None:
    (analysis,) = analyze_importance(grid(writer, lambda *_: 0.01))
    assert analysis.verdict == ImportanceVerdict.EQUAL_VALUES


@pytest.mark.parametrize(
    ("axes", "verdict"),
    [
        ({}, ImportanceVerdict.NO_PARAMETER_VARIES),
        ({"arch.kernel_size": [3, 5]}, ImportanceVerdict.ONE_PARAMETER_VARIES),
    ],
)
def test_importance_needs_two_parameters_that_vary(
    writer: MakeWriter, axes: dict[str, list[int]], verdict: ImportanceVerdict
) -> None:
    run = writer()
    run.session([1, 2])
    for number in (1, 2):
        run.trial(number, {name: values[number - 1] for name, values in axes.items()})
        run.start(number)
        run.epoch(number, 1, 0.01 * number)
        run.end(number, "finished")
    (analysis,) = analyze_importance(tables.read([run.close()]))
    assert analysis.verdict == verdict


def test_seeds_of_a_configuration_are_one_observation(writer: MakeWriter) -> None:
    run = writer()
    run.session([1, 2, 3, 4])
    for number in (1, 2, 3, 4):
        run.trial(number, {"arch.kernel_size": 3 + number // 3}, seed=number)
        run.start(number)
        run.epoch(number, 1, 0.01 * number)
        run.end(number, "finished")
    (analysis,) = analyze_importance(tables.read([run.close()]))
    assert analysis.population.values.tolist() == pytest.approx([0.015, 0.035])


def test_all_trials_at_the_first_stop_are_analyzed_if_some_were_stopped(
    writer: MakeWriter,
) -> None:
    """Only the trials with the smallest kernel finish, so finished trials show no effect of it."""
    run = writer()
    settings = list(itertools.product([3, 5, 7], range(10)))
    run.session(list(range(1, len(settings) + 1)))
    for number, (kernel, filters) in enumerate(settings, 1):
        run.trial(number, {"arch.kernel_size": kernel, "arch.filters": filters})
        run.start(number)
        run.epoch(number, 1, 0.01 * kernel + 0.0001 * filters)
        if kernel == 3:
            run.epoch(number, 2, 0.02)
            run.end(number, "finished")
        else:
            run.end(number, "stopped", rung=1, value=0.05, cutoff=0.04)
    results = tables.read([run.close()])
    finished, same_epoch = analyze_importance(results)
    assert finished.population.kind == PopulationKind.FINISHED
    assert finished.verdict == ImportanceVerdict.ONE_PARAMETER_VARIES
    assert same_epoch.population.kind == PopulationKind.SAME_EPOCH
    assert same_epoch.population.epoch == 1
    assert shown_analysis(results) is same_epoch
    assert shown_analysis(results).importance["parameter"].iloc[0] == "arch.kernel_size"


def test_a_missing_setting_is_below_all_others() -> None:
    matrix = to_matrix([np.array([2.0, np.nan, 4.0]), np.array([0.0, 1.0, 2.0])])
    assert matrix.tolist() == [[2, 0], [1, 1], [4, 2]]


def test_means_at_settings_have_an_interval_from_three_values_on() -> None:
    kernels = pd.Series([5, 5, 3, 3, 3])
    axis = make_axis("arch.kernel_size", kernels, {})
    rows = means_at_settings(axis, settings_per_trial(axis), np.array([1.0, 2.0, 0.1, 0.2, 0.3]))
    assert rows["setting"].tolist() == ["3", "5"]
    assert rows["n"].tolist() == [3, 2]
    assert rows["mean"].tolist() == pytest.approx([0.2, 1.5])
    half_width = 4.302653 * 0.1 / math.sqrt(3)  # quantile of the t distribution, 2 degrees
    assert rows["high"].iloc[0] == pytest.approx(0.2 + half_width)
    assert math.isnan(rows["high"].iloc[1])
