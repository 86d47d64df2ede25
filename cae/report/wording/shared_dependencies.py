"""A sentence about trials from whose weights several seeds start."""

from __future__ import annotations

from collections.abc import Sequence

from cae.report import formatting

MAX_NAMED = 3


def shared_dependencies_sentence(numbers: Sequence[int]) -> str:
    """What the seeds do not repeat; empty if they repeat everything."""
    if not numbers:
        return ""
    trials = "trial"
    if len(numbers) > 1:
        trials = "trials"
    listed = formatting.listed([str(number) for number in numbers], MAX_NAMED)
    return (
        f"The seeds of a configuration start from the same trained weights ({trials} {listed}): "
        "the spread of that training is not in these numbers."
    )
