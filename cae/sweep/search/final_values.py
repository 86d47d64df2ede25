"""Estimates of the final cost of trials that have not trained all their epochs."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

Curve = Sequence[float]
"""The lowest cost up to each epoch, from the first one."""


def lowest_so_far(costs: Sequence[float]) -> Curve:
    """The lowest cost up to each epoch."""
    return list(itertools.accumulate(costs, min))


class FinalValues:
    """Estimates from the curves of all trials of a comparability group.

    Args:
        curves: One per trial with at least one value.
        rungs: Epochs at which trials may be stopped, ascending.
    """

    def __init__(self, curves: Sequence[Curve], rungs: Sequence[int]) -> None:
        self._curves = curves
        self._rungs = rungs
        self._median_changes: dict[tuple[int, int], float] = {}

    def estimate(self, curve: Curve, epochs: int) -> float:
        """The lowest cost that a trial would have reached after all its epochs.

        The epochs that it did not train are divided at the rungs. In each part its cost changes by
        the median change of the trials that trained to the end of the part; without such trials it
        does not change.

        Args:
            curve: The trial's own curve, with at least one epoch.
            epochs: Epochs that the trial would have trained.
        """
        if len(curve) >= epochs:
            return curve[-1]
        rungs = [rung for rung in self._rungs if len(curve) < rung < epochs]
        cost = curve[-1]
        for start, end in itertools.pairwise([len(curve), *rungs, epochs]):
            cost += self._median_change(start, end)
        return cost

    def _median_change(self, start: int, end: int) -> float:
        """The median change of the cost between two epochs; 0 if no trial trained so long."""
        if (start, end) not in self._median_changes:
            longer = [curve for curve in self._curves if len(curve) >= end]
            changes = [curve[end - 1] - curve[start - 1] for curve in longer]
            median = 0.0
            if changes:
                median = statistics.median(changes)
            self._median_changes[start, end] = median
        return self._median_changes[start, end]
