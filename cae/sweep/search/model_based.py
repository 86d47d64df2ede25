"""Model-based search: the next point is the one with the largest expected improvement.

A Gaussian process predicts the final value of every candidate from the results so far (Jones et al.
1998, Efficient Global Optimization). Trials that early stopping ended count with the value that
they would have reached. A suggestion is a function of the candidates and of the results: it uses no
random numbers and no state of its own, so that a resumed sweep continues as if it had not been
interrupted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeInt, PositiveInt
from typing_extensions import override

from cae.run.formatting import count_of, format_value
from cae.sweep.search.base import (
    INITIAL,
    MODEL,
    NO_MODEL,
    Candidates,
    Search,
    Suggestion,
    TrialResult,
)
from cae.sweep.search.features import Matrix, features
from cae.sweep.search.final_values import Curve, FinalValues, lowest_so_far

MIN_SPREAD = 1e-12
"""Costs that differ less, relative to the largest one, are equal."""
MIN_FOR_OUTLIERS = 4
OUTLIER = 3.0
"""Costs that are so many interquartile ranges above the upper quartile are outliers (Tukey)."""
INTERVAL = 1.96
"""Standard deviations on both sides of the mean that contain 95 % of a normal distribution."""


class ModelBased(Search):
    """Points that a model of the results so far expects to improve the best value most.

    It needs `samples` or `--max-trials`: how many trials to run. Trials of several comparability
    groups take turns.
    """

    name: ClassVar[str] = "model-based"
    learns: ClassVar[bool] = True

    initial_trials: PositiveInt = 4
    """Trials of each comparability group before the model is used: points in random order."""
    candidates: PositiveInt = 2000
    """A search space with more points, or with random dimensions, is represented by so many."""
    seed: NonNegativeInt = 0
    """Another seed gives another initial design and, of random dimensions, other candidates."""

    @override
    def summary(self) -> str:
        first = count_of(self.initial_trials, "point")
        return f"{first} in random order, then the largest expected improvement"

    def suggest(self, candidates: Candidates, results: Sequence[TrialResult]) -> Suggestion | None:
        """The next candidate; None if all have been suggested.

        Args:
            candidates: The points, in the random order of the initial design.
            results: One for each candidate that was suggested before, in that order.
        """
        suggested = {result.candidate for result in results}
        remaining = [index for index in range(len(candidates.points)) if index not in suggested]
        if not remaining:
            return None
        group = _next_group(candidates, remaining, results)
        remaining = [index for index in remaining if candidates.group(index) == group]
        own = [result for result in results if candidates.group(result.candidate) == group]
        if len(own) < self.initial_trials:
            reason = f"initial design, {len(own) + 1} of {self.initial_trials}"
            return Suggestion(remaining[0], INITIAL, reason)
        return _suggest(candidates, remaining, own)


def _next_group(
    candidates: Candidates, remaining: Sequence[int], results: Sequence[TrialResult]
) -> str:
    """The group with the fewest trials, of those with a candidate left; the first of equal ones."""
    counts = Counter(candidates.group(result.candidate) for result in results)
    groups = dict.fromkeys(candidates.group(index) for index in remaining)
    return min(groups, key=lambda group: counts[group])


def _suggest(
    candidates: Candidates, remaining: Sequence[int], results: Sequence[TrialResult]
) -> Suggestion:
    """The largest expected improvement, or the next point if there is nothing to learn from."""
    transform = _Transform(results, candidates.mode)
    curves = {result.candidate: transform.curve(result) for result in results}
    final_values = FinalValues(list(curves.values()), candidates.rungs)
    known: list[int] = []
    costs: list[float] = []
    diverged: list[int] = []
    pending: list[int] = []
    for result in results:
        curve = curves[result.candidate]
        if result.is_diverged:
            diverged.append(result.candidate)
        elif curve:
            known.append(result.candidate)
            costs.append(final_values.estimate(curve, result.epochs))
        elif not result.has_ended:
            pending.append(result.candidate)
    costs = _without_outliers(costs)
    known += diverged
    costs += [max(costs, default=0.0)] * len(diverged)
    if not costs or max(costs) - min(costs) <= MIN_SPREAD * max(map(abs, costs)):
        return Suggestion(remaining[0], NO_MODEL, _nothing_to_learn(len(costs)))
    return _largest_improvement(candidates, remaining, known, costs, pending, transform)


def _nothing_to_learn(count: int) -> str:
    if count == 0:
        return "the next point in random order, because no trial has a value yet"
    return "the next point in random order, because all trials have (nearly) the same value so far"


def _without_outliers(costs: Sequence[float]) -> list[float]:
    """Costs in which very large ones are as large as the largest usual one.

    One trial that nearly diverged would make all others look alike.
    """
    if len(costs) < MIN_FOR_OUTLIERS:
        return list(costs)
    lower, upper = np.quantile(costs, [0.25, 0.75])
    limit = float(upper + OUTLIER * (upper - lower))
    return [min(cost, limit) for cost in costs]


def _largest_improvement(
    candidates: Candidates,
    remaining: Sequence[int],
    known: Sequence[int],
    costs: Sequence[float],
    pending: Sequence[int],
    transform: _Transform,
) -> Suggestion:
    from cae.sweep.search.surrogate import predict  # imports scikit-learn, which takes a second

    matrix = _features(candidates)
    prediction = predict(matrix[known], np.array(costs), matrix[pending], matrix[remaining])
    improvements = expected_improvement(
        prediction.mean, prediction.deviation, prediction.lowest_known
    )
    best = int(improvements.argmax())
    mean = prediction.center + prediction.scale * float(prediction.mean[best])
    deviation = prediction.scale * float(prediction.deviation[best])
    bounds = [
        transform.value(mean - INTERVAL * deviation),
        transform.value(mean + INTERVAL * deviation),
    ]
    low, high = sorted(bounds)
    value = transform.value(mean)
    improvement = float(improvements[best])
    return Suggestion(
        candidate=remaining[best],
        method=MODEL,
        reason=(
            f"model of {count_of(len(costs), 'trial')}: {format_value(value)} expected "
            f"({format_value(low)} to {format_value(high)}), expected improvement "
            f"{improvement:.2g} standard deviations"
        ),
        mean=value,
        low=low,
        high=high,
        expected_improvement=improvement,
    )


def _features(candidates: Candidates) -> Matrix:
    if "features" not in candidates.cache:
        candidates.cache["features"] = features(candidates.points)
    matrix: Matrix = candidates.cache["features"]
    return matrix


def expected_improvement(
    mean: npt.NDArray[np.float64], deviation: npt.NDArray[np.float64], lowest: float
) -> npt.NDArray[np.float64]:
    """By how much normal distributions are expected to be below the lowest cost so far."""
    from scipy.stats import norm

    gain = lowest - mean
    scaled = gain / np.maximum(deviation, 1e-12)
    improvement: npt.NDArray[np.float64] = gain * norm.cdf(scaled) + deviation * norm.pdf(scaled)
    return improvement


class _Transform:
    """Values of the metric as costs, and back.

    The cost of an error is its logarithm: errors of 0.01 and 0.1 differ as much as those of 0.1 and
    1. A metric of which larger values are better, or with values that are not positive, is not
    transformed, except for its sign.
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
