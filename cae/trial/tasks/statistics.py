"""Statistics of the final evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def total(values: Iterable[float]) -> float:
    """Return the sum, rounded after each addition.

    The built-in sum() rounds in another way since Python 3.12: the metrics of a trial would depend
    on the version.
    """
    result = 0.0
    for value in values:
        result += value
    return result


def rank_correlation(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's rank correlation."""
    from scipy.stats import spearmanr  # takes a second to import

    return float(spearmanr(left, right).statistic)
