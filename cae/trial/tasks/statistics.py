"""Statistics of the final evaluation."""

from __future__ import annotations

from collections.abc import Sequence


def rank_correlation(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's rank correlation."""
    from scipy.stats import spearmanr  # takes a second to import

    return float(spearmanr(left, right).statistic)
