"""How many seeds would decide a claim: the power of its test, from the observed effect and spread.

An estimate: the observed effect and its spread are taken for the true ones. With few seeds both are
uncertain, so that the number may be wrong by a factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from cae.report.statistics.claims.verdict import ALPHA
from cae.report.statistics.inference import SPEARMAN_VARIANCE, MeanDifference

POWER = 0.8
"""Probability of a significant test that is aimed at."""
MAX_FACTOR = 10_000
"""More times the observations are not considered."""
WILCOXON_EFFICIENCY = 3 / math.pi
"""Of the signed-rank test relative to the t-test, for normal differences."""

PowerOf = Callable[[float], float]
"""The power of a test with so many times the observations."""


def sufficient_factor(power: PowerOf) -> float | None:
    """Return the smallest factor of the observations with enough power, to 1 %.

    None if MAX_FACTOR times the observations are not enough.
    """
    low = 1.0
    high = 2.0
    while power(high) < POWER:
        low = high
        high *= 2
        if low > MAX_FACTOR:
            return None
    while high - low > 0.01 * low:
        middle = (low + high) / 2
        if power(middle) < POWER:
            low = middle
        else:
            high = middle
    return high


def difference_power(
    difference: MeanDifference, shift: float = 0.0, comparisons: int = 1, efficiency: float = 1.0
) -> PowerOf:
    """Return the power of a two-sided t-test of `difference - shift`.

    Args:
        difference: The observed one; it has to be testable.
        shift: What is subtracted from the difference.
        comparisons: Of how many comparisons it is one (Bonferroni, at most Holm's correction).
        efficiency: Of the test that is used, relative to the t-test.
    """
    from scipy import stats

    alpha = ALPHA / comparisons

    def power(factor: float) -> float:
        factor = factor * efficiency
        degrees_of_freedom = _degrees_of_freedom(difference, factor)
        effect = abs(difference.value - shift) * math.sqrt(factor) / difference.standard_error
        critical = float(stats.t.ppf(1 - alpha / 2, degrees_of_freedom))
        return _noncentral_tail(critical, degrees_of_freedom, effect)

    return power


def equivalence_power(difference: MeanDifference, margin: float) -> PowerOf:
    """Return the power of two one-sided tests (TOST) of a difference within a margin."""
    from scipy import stats

    def power(factor: float) -> float:
        degrees_of_freedom = _degrees_of_freedom(difference, factor)
        error = difference.standard_error / math.sqrt(factor)
        critical = float(stats.t.ppf(1 - ALPHA, degrees_of_freedom))
        distance = abs(difference.value)
        near = _noncentral_tail(critical, degrees_of_freedom, (margin - distance) / error)
        far = _noncentral_tail(critical, degrees_of_freedom, (margin + distance) / error)
        return max(0.0, near + far - 1)

    return power


def sufficient_pairs_of_ranks(coefficient: float) -> int:
    """Return how many observations a rank correlation needs to be significant.

    By Fisher's transformation; 3 if the ranks are equal.
    """
    from scipy import stats

    if abs(coefficient) >= 1:
        return 3
    quantiles = float(stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(POWER))
    return math.ceil(3 + SPEARMAN_VARIANCE * (quantiles / math.atanh(abs(coefficient))) ** 2)


def _degrees_of_freedom(difference: MeanDifference, factor: float) -> float:
    """Return those with so many times the observations."""
    if difference.is_paired:
        return max(1.0, difference.first_count * factor - 1)
    return max(1.0, (difference.degrees_of_freedom + 2) * factor - 2)


def _noncentral_tail(critical: float, degrees_of_freedom: float, effect: float) -> float:
    """Return the probability that a noncentral t is larger than a critical value."""
    from scipy import stats

    if effect > critical + 40:  # certain; the exact computation would overflow
        return 1.0
    return float(stats.nct.sf(critical, degrees_of_freedom, effect))
