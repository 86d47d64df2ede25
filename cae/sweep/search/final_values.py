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


def estimate_final(
    curve: Curve, epochs: int, others: Sequence[Curve], marks: Sequence[int]
) -> float:
    """The lowest cost that a trial would have reached at its last epoch.

    From its last epoch to the next mark, and from each mark to the next one, its cost changes by
    the median of the changes of the trials that went so far. Where none did, it does not change.

    Args:
        curve: The trial's own curve; at least one epoch.
        epochs: Epochs that the trial has in all.
        others: The curves of all trials.
        marks: Epochs at which trials may be stopped, ascending.
    """
    steps = [len(curve), *(mark for mark in marks if len(curve) < mark < epochs), epochs]
    estimate = curve[-1]
    for start, end in itertools.pairwise(steps):
        changes = [other[end - 1] - other[start - 1] for other in others if len(other) >= end]
        if changes and start < end:
            estimate += statistics.median(changes)
    return estimate
