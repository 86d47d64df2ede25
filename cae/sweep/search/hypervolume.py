"""The expected improvement of the hypervolume of a Pareto front (Emmerich et al. 2011)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cae.run.pareto import Point

Vector = npt.NDArray[np.float64]
TINY = 1e-12
"""Replaces a standard deviation of zero in a quotient."""
MARGIN = 0.1
"""The reference point is worse than the worst values by this share of their range, so that a point
with the worst value of one objective counts, too."""


@dataclass(frozen=True)
class Normal:
    """Independent normal distributions of m values, such as the predictions of m points."""

    mean: Vector
    """Means, m."""
    deviation: Vector
    """Standard deviations, m; 0 for values that are known."""

    def expected_shortfall(self, limit: float) -> Vector:
        """The expected value of `max(0, limit - value)`, m; 0 for a limit of minus infinity.

        With the lowest value so far as the limit this is the expected improvement.
        """
        from scipy.stats import norm

        if limit == -math.inf:
            return np.zeros_like(self.mean)
        gain = limit - self.mean
        scaled = gain / np.maximum(self.deviation, TINY)
        shortfall: Vector = gain * norm.cdf(scaled) + self.deviation * norm.pdf(scaled)
        return shortfall


def expected_hypervolume_improvement(
    first: Normal, second: Normal, front: Sequence[Point], reference: Point
) -> Vector:
    """By how much each of m points is expected to increase the hypervolume of a front.

    The value of the second objective divides the plane into strips. In each strip between two
    points of the front, a new point adds what its first objective is below that of the front, over
    the part of the strip that is above its second objective. Both objectives are independent, so
    the expected area is the product of the expected height and the expected width.

    Args:
        first: The first objective of the m points.
        second: Their second objective.
        front: As `pareto_front` returns it, within the reference point.
        reference: The worst value of each objective; the area is measured up to it.
    """
    heights = [reference[0], *[point[0] for point in front]]
    edges = [-math.inf, *[point[1] for point in front], reference[1]]
    improvement = np.zeros_like(first.mean)
    for height, (start, end) in zip(heights, itertools.pairwise(edges), strict=True):
        width = second.expected_shortfall(end) - second.expected_shortfall(start)
        improvement += first.expected_shortfall(height) * width
    return improvement


def worst_point(points: Sequence[Point]) -> Point:
    """A reference point that is worse than all points in both objectives.

    Args:
        points: At least one.
    """
    worst: list[float] = []
    for values in zip(*points, strict=True):
        low = float(min(values))
        high = float(max(values))
        worst.append(high + MARGIN * ((high - low) or 1.0))
    return worst[0], worst[1]
