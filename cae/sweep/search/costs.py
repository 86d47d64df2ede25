"""Costs: values of the sweep's metric, transformed so that lower ones are better."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cae.sweep.search.base import TrialResult
from cae.sweep.search.final_values import Curve, lowest_so_far

MIN_SPREAD = 1e-12
"""Costs that differ less, relative to the largest one, are equal."""
MIN_FOR_OUTLIERS = 4
"""With fewer costs no cost is an outlier."""
OUTLIER = 3.0
"""A cost is an outlier if it is more than this many interquartile ranges above the upper quartile
(Tukey's fences)."""


class CostTransform:
    """Converts values of the metric to costs, of which lower ones are better, and back.

    If lower values are better and all are positive, as those of an error, the cost is the
    logarithm: 0.01 and 0.1 differ as much as 0.1 and 1. Otherwise the cost is the value, negated if
    larger values are better.
    """

    def __init__(self, results: Sequence[TrialResult], mode: str) -> None:
        values = [value for result in results for value in result.values if math.isfinite(value)]
        self._sign = 1.0
        if mode == "max":
            self._sign = -1.0
        self._is_logarithmic = mode == "min" and all(value > 0 for value in values)

    def curve(self, result: TrialResult) -> Curve:
        """The lowest cost up to each epoch, until the first one without a finite value."""
        costs: list[float] = []
        for value in result.values:
            if not math.isfinite(value):
                break
            costs.append(self._cost(value))
        return lowest_so_far(costs)

    def _cost(self, value: float) -> float:
        if self._is_logarithmic:
            return math.log(value)
        return self._sign * value

    def value(self, cost: float) -> float:
        """The value of the metric for a cost."""
        if self._is_logarithmic:
            return math.exp(min(cost, 700.0))  # the largest exponent of a float is 709
        return self._sign * cost


def are_equal(costs: Sequence[float]) -> bool:
    """Whether costs do not differ by more than rounding."""
    return max(costs) - min(costs) <= MIN_SPREAD * max(map(abs, costs))


def without_outliers(costs: Sequence[float]) -> list[float]:
    """The costs; those above the limit for outliers are reduced to it.

    Otherwise one trial that nearly diverged would make all others look alike.
    """
    if len(costs) < MIN_FOR_OUTLIERS:
        return list(costs)
    lower, upper = np.quantile(costs, [0.25, 0.75])
    limit = float(upper + OUTLIER * (upper - lower))
    return [min(cost, limit) for cost in costs]
