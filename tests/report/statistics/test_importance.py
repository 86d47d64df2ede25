"""Importance of parameters, on runs whose values are known functions of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.page.sections.importance import importance_section
from cae.report.statistics.importance import ImportanceVerdict, analyze_importance

Writer = Callable[..., Any]
ValueOf = Callable[[int, int, int], float]
"""The value of a trial with a kernel size, a number of filters, and a parameter without effect."""


def run_with_values(writer: Writer, value_of: ValueOf, trials: int = 90) -> Results:
    run = writer()
    settings = list(itertools.product([3, 5, 7], [8, 16, 32], range(10)))[:trials]
    run.session(list(range(1, len(settings) + 1)))
    for number, (kernel, filters, idle) in enumerate(settings, 1):
        axes = {"arch.kernel_size": kernel, "arch.filters": filters, "arch.idle": idle}
        run.trial(number, axes)
        run.start(number)
        run.epoch(number, 1, value_of(kernel, filters, idle))
        run.end(number, "finished")
    return tables.read([run.close()])


def test_the_order_of_importance_is_that_of_the_effects(writer: Writer) -> None:
    random = np.random.default_rng(0)

    def value_of(kernel: int, filters: int, _idle: int) -> float:
        return kernel + filters / 32 + 0.1 * float(random.normal())

    results = run_with_values(writer, value_of)
    (analysis,) = analyze_importance(results)
    assert analysis.is_computed
    assert analysis.r2 > 0.8
    parameters = analysis.importance["parameter"].tolist()
    assert parameters == ["arch.kernel_size", "arch.filters", "arch.idle"]
    assert analysis.importance["low"].iloc[1] > 0
    assert analysis.importance["low"].iloc[2] < 0.01
    verdict = importance_section(results).verdict
    assert "arch.kernel_size" in verdict
    assert "additive" in verdict


def test_an_interaction_is_found(writer: Writer) -> None:
    def value_of(kernel: int, filters: int, idle: int) -> float:
        are_both_small_or_large = (kernel == 3) == (filters == 8)
        return float(are_both_small_or_large) + 0.01 * idle + 1

    (analysis,) = analyze_importance(run_with_values(writer, value_of))
    strongest = analysis.pairs.iloc[0]
    assert {strongest["a"], strongest["b"]} == {"arch.kernel_size", "arch.filters"}
    assert strongest["of_joint"] > 0.1


def test_noise_has_no_importance(writer: Writer) -> None:
    random = np.random.default_rng(0)
    results = run_with_values(writer, lambda *_: 1 + float(random.normal()) ** 2)
    (analysis,) = analyze_importance(results)
    assert analysis.verdict == ImportanceVerdict.POOR_PREDICTION
    assert len(analysis.importance) == 0


def test_few_configurations_have_no_importance(writer: Writer) -> None:
    results = run_with_values(writer, lambda kernel, *_: float(kernel), trials=12)
    (analysis,) = analyze_importance(results)
    assert analysis.verdict == ImportanceVerdict.TOO_FEW_CONFIGURATIONS
    assert analysis.min_configurations == 20
