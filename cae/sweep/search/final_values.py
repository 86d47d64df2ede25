"""What trials would have reached at their last epoch, from the epochs that they trained."""

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
        curves: One per trial with a value.
        rungs: Epochs at which trials may be stopped, ascending.
    """

    def __init__(self, curves: Sequence[Curve], rungs: Sequence[int]) -> None:
        self._curves = curves
        self._rungs = rungs
        self._known_changes: dict[tuple[int, int], float] = {}

    def estimate(self, curve: Curve, epochs: int) -> float:
        """The lowest cost that a trial would have reached at its last epoch.

        From its last epoch to the next rung, and from each rung to the next one, its cost changes
        by the median of the changes of the trials that went so far. Where none did, it does not
        change.

        Args:
            curve: The trial's own curve; at least one epoch.
            epochs: Epochs that the trial has in all.
        """
        if len(curve) >= epochs:
            return curve[-1]
        rungs = [rung for rung in self._rungs if len(curve) < rung < epochs]
        steps = [len(curve), *rungs, epochs]
        return curve[-1] + sum(self._change(*step) for step in itertools.pairwise(steps))

    def _change(self, start: int, end: int) -> float:
        """The median change of the cost between two epochs."""
        if (start, end) not in self._known_changes:
            longer = [curve for curve in self._curves if len(curve) >= end]
            changes = [curve[end - 1] - curve[start - 1] for curve in longer]
            self._known_changes[start, end] = statistics.median(changes or [0.0])
        return self._known_changes[start, end]
