"""Pareto fronts of two objectives of which lower values are better. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

Point = tuple[float, float]
"""The values of both objectives."""


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """The points that no other point beats in one objective without being worse in the other.

    They are sorted by the second objective: it increases, and the first one decreases. Equal points
    occur once; points that are not finite are ignored.
    """
    finite = [point for point in points if math.isfinite(point[0]) and math.isfinite(point[1])]
    front: list[Point] = []
    for first, second in sorted(finite, key=lambda point: (point[1], point[0])):
        if not front or first < front[-1][0]:
            front.append((first, second))
    return front


def hypervolume(front: Sequence[Point], reference: Point) -> float:
    """The area between a front and a reference point that is worse in both objectives.

    Args:
        front: As `pareto_front` returns it; points beyond the reference point do not count.
        reference: The worst value of each objective.
    """
    area = 0.0
    height = reference[0]
    for first, second in front:
        if first < height and second < reference[1]:
            area += (height - first) * (reference[1] - second)
            height = first
    return area
