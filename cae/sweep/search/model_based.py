"""Model-based search: the next point is the one with the largest expected improvement.

A Gaussian process predicts the final cost of every candidate from the results so far (Jones et al.
1998, Efficient Global Optimization). The cost is the value of the metric, transformed so that lower
is better (`_Transform`). A trial that early stopping ended counts with an estimate of its final
cost. A suggestion is a function of the candidates and of the results, without random numbers or
other state: a resumed sweep has the same suggestions as an undisturbed one.
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
"""With fewer costs no cost is an outlier."""
OUTLIER = 3.0
"""A cost is an outlier if it is more than this many interquartile ranges above the upper quartile
(Tukey's fences)."""
INTERVAL = 1.96
"""A normal distribution has 95 % of its mass within this many standard deviations of its mean."""


class ModelBased(Search):
    """The point with the largest expected improvement, by a model of the results so far.

    `samples` or `--max-trials` has to set how many trials to run. The next trial is one of the
    comparability group with the fewest trials.
    """

    name: ClassVar[str] = "model-based"
    learns: ClassVar[bool] = True

    initial_trials: PositiveInt = 4
    """Trials of each comparability group in random order, before the model is used."""
    candidates: PositiveInt = 2000
    """If the search space has more points, or random dimensions: the number of points, drawn at
    random, among which the search chooses."""
    seed: NonNegativeInt = 0
    """The seed of the initial design, and of the candidates if they are drawn at random."""

    @override
    def summary(self) -> str:
        first = count_of(self.initial_trials, "point")
        return f"{first} in random order, then the largest expected improvement"

    def suggest(self, candidates: Candidates, results: Sequence[TrialResult]) -> Suggestion | None:
        """The next candidate; None if all have been suggested.

        Args:
            candidates: The points, in the random order of the initial design.
            results: One per candidate that was suggested before, in the order of the suggestions.
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
    """The group with the fewest trials, of those with a remaining candidate."""
    counts = Counter(candidates.group(result.candidate) for result in results)
    groups = dict.fromkeys(candidates.group(index) for index in remaining)
    return min(groups, key=lambda group: counts[group])


def _suggest(
    candidates: Candidates, remaining: Sequence[int], results: Sequence[TrialResult]
) -> Suggestion:
    """The candidate with the largest expected improvement, or the next one without a model.

    Args:
        candidates: The candidates of all groups.
        remaining: Indices of the candidates of one group that were not suggested, in random order.
        results: The results of this group.
    """
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
    if not known:
        return _next_in_order(remaining, "no trial has a value yet")
    costs = _without_outliers(costs)
    largest = max(costs)
    for candidate in diverged:
        known.append(candidate)
        costs.append(largest)
    if largest - min(costs) <= MIN_SPREAD * max(map(abs, costs)):
        return _next_in_order(remaining, "all trials have (nearly) the same value so far")
    return _largest_improvement(candidates, remaining, known, costs, pending, transform)


def _next_in_order(remaining: Sequence[int], cause: str) -> Suggestion:
    return Suggestion(remaining[0], NO_MODEL, f"the next point in random order, because {cause}")


def _without_outliers(costs: Sequence[float]) -> list[float]:
    """The costs; those above the limit for outliers are reduced to it.

    Otherwise one trial that nearly diverged would make all others look alike.
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
    """The candidate with the largest expected improvement.

    Args:
        candidates: The candidates of all groups.
        remaining: Indices of the candidates to choose from.
        known: Indices of the candidates with a cost.
        costs: Their costs.
        pending: Indices of candidates whose trials have no value yet.
        transform: Converts predicted costs to values of the metric.
    """
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
    low = min(bounds)
    high = max(bounds)
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
    """The features of all candidates, candidates x columns, computed once."""
    if "features" not in candidates.cache:
        candidates.cache["features"] = features(candidates.points)
    matrix: Matrix = candidates.cache["features"]
    return matrix


def expected_improvement(
    mean: npt.NDArray[np.float64], deviation: npt.NDArray[np.float64], lowest: float
) -> npt.NDArray[np.float64]:
    """The expected value of `max(0, lowest - cost)` for normally distributed costs.

    Args:
        mean: The means of the costs, one per candidate.
        deviation: Their standard deviations.
        lowest: The lowest cost so far.
    """
    from scipy.stats import norm

    gain = lowest - mean
    scaled = gain / np.maximum(deviation, 1e-12)
    improvement: npt.NDArray[np.float64] = gain * norm.cdf(scaled) + deviation * norm.pdf(scaled)
    return improvement


class _Transform:
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
