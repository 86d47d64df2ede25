"""Model-based search: the next point is the one with the largest expected improvement.

A Gaussian process predicts the final cost of every candidate from the results so far (Jones et al.
1998, Efficient Global Optimization). The cost is the value of the metric, transformed so that lower
is better (`CostTransform`). A trial that early stopping ended counts with an estimate of its final
cost. With a second objective, the improvement is that of the hypervolume of the Pareto front. A
suggestion is a function of the candidates and of the results, without random numbers or other
state: a resumed sweep has the same suggestions as an undisturbed one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveInt
from typing_extensions import override

from cae.run.formatting import count_of, format_value
from cae.run.pareto import pareto_front
from cae.sweep.search.base import (
    INITIAL,
    MODEL,
    NO_MODEL,
    Candidates,
    Search,
    Suggestion,
    TrialResult,
)
from cae.sweep.search.costs import CostTransform, are_equal, without_outliers
from cae.sweep.search.features import Matrix, features
from cae.sweep.search.final_values import FinalValues
from cae.sweep.search.hypervolume import (
    Normal,
    Vector,
    expected_hypervolume_improvement,
    worst_point,
)

INTERVAL = 1.96
"""A normal distribution has 95 % of its mass within this many standard deviations of its mean."""
SECONDS = "seconds"
"""The second objective that is measured; the others are known before a trial is trained."""

SecondObjective = Literal["parameters", "latent_values", "megaflops", "seconds"]
"""What the sweep's metric is traded against: number of parameters, size of the latent code, cost of
the forward pass, or seconds of training. Lower is better."""


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
    second_objective: SecondObjective | None = None
    """The search looks for the Pareto front of the sweep's metric and this one: the networks that
    no other network beats in both. None: for the best value of the metric."""

    @override
    def summary(self) -> str:
        text = f"{count_of(self.initial_trials, 'point')} in random order, then the largest "
        text += "expected improvement"
        if self.second_objective is None:
            return text
        return f"{text} of the hypervolume of the metric and {self.second_objective}"

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
        observed = _observations(candidates, own)
        if not observed.costs:
            return _next_in_order(remaining, "no trial has a value yet")
        if are_equal(observed.costs):
            cause = "all trials have (nearly) the same value so far"
            return _next_in_order(remaining, cause)
        if self.second_objective == SECONDS and not _has_seconds(observed):
            return _next_in_order(remaining, "no trial has measured its seconds yet")
        return _largest_improvement(candidates, remaining, observed, self.second_objective)


def _next_group(
    candidates: Candidates, remaining: Sequence[int], results: Sequence[TrialResult]
) -> str:
    """The group with the fewest trials, of those with a remaining candidate."""
    counts = Counter(candidates.group(result.candidate) for result in results)
    groups = dict.fromkeys(candidates.group(index) for index in remaining)
    return min(groups, key=lambda group: counts[group])


@dataclass(frozen=True)
class _Observations:
    """The trials of a comparability group whose values are observed, and those that are pending."""

    tried: list[int]
    """Indices of the candidates with a cost."""
    costs: list[float]
    """Their costs, estimates of final ones included."""
    is_diverged: list[bool]
    """Whether a cost is that of a diverged trial."""
    seconds: list[float]
    """Seconds of training of each, all epochs; NaN where they are not observed."""
    pending: list[int]
    """Indices of candidates whose trials have no value yet."""
    transform: CostTransform
    """Converts predicted costs to values of the metric."""


def _observations(candidates: Candidates, results: Sequence[TrialResult]) -> _Observations:
    """Estimate the final cost of each trial of a comparability group; diverged ones are last."""
    transform = CostTransform(results, candidates.mode)
    curves = {result.candidate: transform.curve(result) for result in results}
    final_values = FinalValues(list(curves.values()), candidates.rungs)
    measured = [result for result in results if curves[result.candidate] and not result.is_diverged]
    diverged = [result for result in results if result.is_diverged]
    pending = [
        result for result in results if not curves[result.candidate] and not result.has_ended
    ]
    costs: list[float] = []
    for result in measured:
        costs.append(final_values.estimate(curves[result.candidate], result.epochs))
    if costs:
        costs = without_outliers(costs)
        costs += [max(costs)] * len(diverged)
        measured += diverged
    return _Observations(
        tried=[result.candidate for result in measured],
        costs=costs,
        is_diverged=[result.is_diverged for result in measured],
        seconds=[result.seconds for result in measured],
        pending=[result.candidate for result in pending],
        transform=transform,
    )


def _has_seconds(observed: _Observations) -> bool:
    """Whether the seconds of a trial that did not diverge are observed."""
    for seconds, is_diverged in zip(observed.seconds, observed.is_diverged, strict=True):
        if math.isfinite(seconds) and not is_diverged:
            return True
    return False


def _next_in_order(remaining: Sequence[int], cause: str) -> Suggestion:
    return Suggestion(remaining[0], NO_MODEL, f"the next point in random order, because {cause}")


def _largest_improvement(
    candidates: Candidates,
    remaining: Sequence[int],
    observed: _Observations,
    second_objective: SecondObjective | None,
) -> Suggestion:
    """The candidate with the largest expected improvement.

    Args:
        candidates: The candidates of all groups.
        remaining: Indices of the candidates to choose from.
        observed: The observed trials of their group.
        second_objective: None: the metric is the only one.
    """
    from cae.sweep.search.surrogate import predict  # imports scikit-learn, which takes a second

    matrix = _features(candidates)
    points = list(remaining)
    if second_objective is not None:
        points += observed.pending
    costs = np.array(observed.costs)
    prediction = predict(matrix[observed.tried], costs, matrix[observed.pending], matrix[points])
    predicted = Normal(prediction.mean, prediction.deviation)
    if second_objective is None:
        improvements = predicted.expected_shortfall(prediction.lowest_known)
    else:
        improvements = _hypervolume_improvements(
            candidates,
            points,
            observed,
            (costs - prediction.center) / prediction.scale,
            predicted,
            is_measured=second_objective == SECONDS,
        )
    best = int(improvements[: len(remaining)].argmax())
    mean = prediction.center + prediction.scale * float(prediction.mean[best])
    deviation = prediction.scale * float(prediction.deviation[best])
    bounds = [
        observed.transform.value(mean - INTERVAL * deviation),
        observed.transform.value(mean + INTERVAL * deviation),
    ]
    low = min(bounds)
    high = max(bounds)
    value = observed.transform.value(mean)
    improvement = float(improvements[best])
    reason = (
        f"model of {count_of(len(costs), 'trial')}: {format_value(value)} expected "
        f"({format_value(low)} to {format_value(high)}), expected improvement {improvement:.2g}"
    )
    if second_objective is None:
        reason += " standard deviations"
    else:
        reason += f" of the hypervolume with {second_objective}"
    return Suggestion(
        candidate=remaining[best],
        method=MODEL,
        reason=reason,
        mean=value,
        low=low,
        high=high,
        expected_improvement=improvement,
    )


def _hypervolume_improvements(
    candidates: Candidates,
    points: Sequence[int],
    observed: _Observations,
    costs: Vector,
    predicted: Normal,
    *,
    is_measured: bool,
) -> Vector:
    """The expected improvement of the hypervolume by each point.

    Diverged trials are no part of the front; pending ones are, with their predicted values.

    Args:
        candidates: The candidates of all groups.
        points: Indices of the points, the pending ones last.
        observed: The observed trials of their group.
        costs: The standardized costs of the trials that are observed.
        predicted: The standardized costs of the points.
        is_measured: Whether the second objective is measured, in contrast to known in advance.
    """
    if is_measured:
        second_known, second = _predict_seconds(candidates, points, observed)
    else:
        second_known, second = _known_in_advance(candidates, points, observed)
    is_valid = ~np.array(observed.is_diverged) & np.isfinite(second_known)
    values = list(zip(costs[is_valid], second_known[is_valid], strict=True))
    reference = worst_point(values)
    first_pending = len(points) - len(observed.pending)
    for mean, second_mean in zip(
        predicted.mean[first_pending:], second.mean[first_pending:], strict=True
    ):
        if mean < reference[0] and second_mean < reference[1]:
            values.append((mean, second_mean))
    return expected_hypervolume_improvement(predicted, second, pareto_front(values), reference)


def _known_in_advance(
    candidates: Candidates, points: Sequence[int], observed: _Observations
) -> tuple[Vector, Normal]:
    """The standardized second objective of the known trials, and that of points."""
    amounts = _logarithms(np.array(candidates.amounts))
    own = amounts[[*observed.tried, *points]]
    scale = float(own.std()) or 1.0
    standardized = (amounts - own.mean()) / scale
    second = standardized[list(points)]
    return standardized[observed.tried], Normal(second, np.zeros_like(second))


def _predict_seconds(
    candidates: Candidates, points: Sequence[int], observed: _Observations
) -> tuple[Vector, Normal]:
    """The standardized seconds of the known trials (NaN where missing), and those of points."""
    from cae.sweep.search.surrogate import predict

    seconds = _logarithms(np.array(observed.seconds))
    has_seconds = np.flatnonzero(np.isfinite(seconds))
    if not len(has_seconds) or are_equal(list(seconds[has_seconds])):
        return np.where(np.isfinite(seconds), 0.0, np.nan), _all_equal(len(points))
    matrix = _features(candidates)
    tried = [observed.tried[index] for index in has_seconds]
    prediction = predict(
        matrix[tried], seconds[has_seconds], matrix[observed.pending], matrix[list(points)]
    )
    standardized = (seconds - prediction.center) / prediction.scale
    return standardized, Normal(prediction.mean, prediction.deviation)


def _all_equal(count: int) -> Normal:
    return Normal(np.zeros(count), np.zeros(count))


def _logarithms(amounts: Vector) -> Vector:
    """The logarithms, if all amounts are positive: networks differ by orders of magnitude."""
    if (amounts[np.isfinite(amounts)] > 0).all():
        return np.log(amounts)
    return amounts


def _features(candidates: Candidates) -> Matrix:
    """The features of all candidates, candidates x columns, computed once."""
    if "features" not in candidates.cache:
        candidates.cache["features"] = features(candidates.points)
    matrix: Matrix = candidates.cache["features"]
    return matrix
