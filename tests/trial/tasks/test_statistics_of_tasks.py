"""Statistics that are the same in every version of Python."""

from __future__ import annotations

from cae.trial.tasks.statistics import total


def test_a_total_is_rounded_after_each_addition() -> None:
    """Python 3.12 and later return exactly 1.0 from sum()."""
    assert total([0.1] * 10) == 0.9999999999999999
