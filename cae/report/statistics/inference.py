"""Differences of means with their tests and intervals, and other tests that reports use.

Imports of scipy and scikit-learn are inside the functions: they take about a second, and most
reports do not need them.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Key = TypeVar("Key", bound=Hashable)

NORMAL_QUANTILE = 1.959964
"""Upper end of 95 % intervals of normal distributions, in standard deviations."""
UPPER_QUANTILE = 0.975
"""Upper end of all t intervals, which are 95 % intervals."""
PERMUTATIONS = 9_999
"""Number of random permutations, if there are more possible ones than these."""
SPEARMAN_VARIANCE = 1.06
"""Of Fisher's transformation of a rank correlation, times n - 3 (Fieller et al. 1957)."""
FOREST_TREES = 25
SHUFFLES = 5
"""How often each column is shuffled per bootstrap."""


@dataclass(frozen=True, kw_only=True)
class MeanDifference:
    """The difference of two means, first minus second, and what a t-test of it needs."""

    first_mean: float
    second_mean: float
    first_count: int
    second_count: int
    """Sizes of both samples. Of pairs, both are the number of pairs."""
    is_paired: bool
    standard_error: float = math.nan
    """Of the difference; NaN if a sample has one value."""
    degrees_of_freedom: float = math.nan

    @property
    def is_testable(self) -> bool:
        """Whether both samples have several values."""
        return min(self.first_count, self.second_count) > 1

    @property
    def varies(self) -> bool:
        """Whether the samples, or the differences of pairs, vary by more than rounding errors."""
        return self.standard_error > 1e-12 * max(abs(self.first_mean), abs(self.second_mean))

    @property
    def value(self) -> float:
        """The difference; exactly 0 if it is only a rounding error."""
        if self.t() == 0:
            return 0.0
        return self.first_mean - self.second_mean

    def t(self, shift: float = 0.0) -> float:
        """Return the t statistic of the difference minus `shift`.

        It is infinite if there is a difference and the samples do not vary. What is below 1e-12 of
        the means is regarded as a rounding error.
        """
        difference = self.first_mean - self.second_mean - shift
        rounding_error = 1e-12 * max(abs(self.first_mean), abs(self.second_mean), abs(shift))
        if abs(difference) <= rounding_error:
            return 0.0
        if self.standard_error <= rounding_error:
            return math.copysign(math.inf, difference)
        return difference / self.standard_error

    def p_value(self, shift: float = 0.0) -> float:
        """Return the two-sided p value of the difference minus `shift`."""
        return min(1.0, 2 * min(self.p_above(shift), self.p_below(shift)))

    def p_above(self, shift: float) -> float:
        """Return the p value of the one-sided test whether the difference is above `shift`."""
        return self._tail(self.t(shift))

    def p_below(self, shift: float) -> float:
        """Return the p value of the one-sided test whether the difference is below `shift`."""
        return self._tail(-self.t(shift))

    def _tail(self, t: float) -> float:
        """Return the probability of a larger statistic; NaN if the difference is not testable.

        Samples that do not vary have no t distribution: then it is that of a permutation test, of
        the signs of pairs or of the groups of values. Equal values of a coarse metric, such as an
        accuracy on 100 images, are no certainty.
        """
        if not math.isinf(t) or not self.is_testable:
            return t_tail(t, self.degrees_of_freedom)
        if t < 0:
            return 1.0
        if self.is_paired:
            return 0.5**self.first_count
        return 1 / math.comb(self.first_count + self.second_count, self.first_count)

    def interval(self, comparisons: int = 1) -> tuple[float, float]:
        """Return the 95 % t interval of the difference; NaN if it is not testable.

        `comparisons`: how many intervals contain their differences together with 95 % (Bonferroni).
        """
        difference = self.first_mean - self.second_mean
        return t_interval(difference, self.standard_error, self.degrees_of_freedom, comparisons)


def t_interval(
    mean: float, standard_error: float, degrees_of_freedom: float, comparisons: int = 1
) -> tuple[float, float]:
    """Return the 95 % t interval of a mean; wider if it is one of several."""
    from scipy import stats

    half_width = 0.0
    if standard_error:
        upper_quantile = 1 - (1 - UPPER_QUANTILE) / comparisons
        quantile = float(stats.t.ppf(upper_quantile, degrees_of_freedom))
        half_width = quantile * standard_error
    return mean - half_width, mean + half_width


def t_tail(t: float, degrees_of_freedom: float) -> float:
    """Return the probability that a t-distributed number is larger than `t`."""
    from scipy import stats

    return float(stats.t.sf(t, degrees_of_freedom))


def paired_difference(first: Floats, second: Floats) -> MeanDifference:
    """Compare pairs of values (paired t-test)."""
    count = len(first)
    difference = MeanDifference(
        first_mean=float(np.mean(first)),
        second_mean=float(np.mean(second)),
        first_count=count,
        second_count=count,
        is_paired=True,
    )
    if not difference.is_testable:
        return difference
    return replace(
        difference,
        standard_error=float(np.std(first - second, ddof=1)) / math.sqrt(count),
        degrees_of_freedom=count - 1,
    )


def welch_difference(first: Floats, second: Floats) -> MeanDifference:
    """Compare two samples that may have different variances (Welch's t-test)."""
    difference = MeanDifference(
        first_mean=float(np.mean(first)),
        second_mean=float(np.mean(second)),
        first_count=len(first),
        second_count=len(second),
        is_paired=False,
    )
    if not difference.is_testable:
        return difference
    # Squared standard error of each mean.
    a = float(np.var(first, ddof=1)) / len(first)
    b = float(np.var(second, ddof=1)) / len(second)
    degrees_of_freedom = float(min(len(first), len(second)) - 1)
    if a + b:
        degrees_of_freedom = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1))
    return replace(
        difference, standard_error=math.sqrt(a + b), degrees_of_freedom=degrees_of_freedom
    )


@dataclass(frozen=True, kw_only=True)
class SignedRankTest:
    """Wilcoxon's signed-rank test of paired differences."""

    statistic: float
    """Sum of the ranks of positive differences minus that of negative ones; differences that are 0
    are dropped (Wilcoxon 1945)."""
    p_value: float
    """Two-sided."""
    pseudomedian: float
    """Median of the means of all pairs of differences (Hodges and Lehmann 1963): an estimate of the
    difference with the sign of the statistic, if the test is significant."""
    interval: tuple[float, float]
    """95 % interval of the pseudomedian, by the normal approximation of the statistic."""


def wilcoxon(first: Floats, second: Floats) -> SignedRankTest:
    """Compare pairs of values, of which at least one differs, by their signed ranks."""
    from scipy import stats

    differences = first - second
    nonzero = differences[differences != 0]
    ranks = stats.rankdata(np.abs(nonzero))
    rows, columns = np.triu_indices(len(differences))
    walsh_averages = (differences[rows] + differences[columns]) / 2
    return SignedRankTest(
        statistic=float((np.sign(nonzero) * ranks).sum()),
        p_value=float(stats.wilcoxon(first, second).pvalue),
        pseudomedian=float(np.median(walsh_averages)),
        interval=_signed_rank_interval(walsh_averages, len(differences)),
    )


def _signed_rank_interval(walsh_averages: Floats, count: int) -> tuple[float, float]:
    """Return the Walsh averages between which the pseudomedian lies (Hollander & Wolfe 1999)."""
    ordered = np.sort(walsh_averages)
    spread = math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    outside = round(count * (count + 1) / 4 - NORMAL_QUANTILE * spread)
    outside = max(0, min(outside, (len(ordered) - 1) // 2))
    return float(ordered[outside]), float(ordered[-1 - outside])


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Correct p values for their number by Holm's step-down procedure."""
    corrected: dict[Key, float] = {}
    largest = 0.0
    ordered = sorted(p_values, key=lambda name: p_values[name])
    for index, name in enumerate(ordered):
        remaining = len(p_values) - index
        largest = max(largest, min(1.0, p_values[name] * remaining))
        corrected[name] = largest
    return corrected


@dataclass(frozen=True, kw_only=True)
class RankCorrelation:
    """Spearman's rank correlation within blocks, tested by permutation within blocks."""

    coefficient: float
    """From -1 to 1; 0 if one of the variables is constant."""
    p_value: float
    """Two-sided."""
    min_p_value: float
    """The smallest p value that a sample of this size can have."""
    is_exact: bool
    """Whether the test uses all possible permutations, and not random ones."""


def rank_correlation(x: Floats, y: Floats, blocks: Sequence[Hashable]) -> RankCorrelation:
    """Correlate the ranks of two variables within blocks of equal trials.

    A permutation test is exact for few trials and needs no distribution.
    """
    pairs = [
        (_centered_ranks(x[members]), _centered_ranks(y[members]))
        for members in _block_members(blocks)
    ]
    x_squares = sum(float(a @ a) for a, _ in pairs)
    y_squares = sum(float(b @ b) for _, b in pairs)
    scale = math.sqrt(x_squares * y_squares)
    product = sum(float(a @ b) for a, b in pairs)
    permutations = math.prod(math.factorial(len(a)) for a, _ in pairs)
    is_exact = permutations <= PERMUTATIONS
    if is_exact:
        products = _all_products(pairs)
    else:
        products = _random_products(pairs)
    as_extreme = int(np.sum(np.abs(products) >= abs(product) - 1e-9))
    if is_exact:
        p_value = as_extreme / len(products)
    else:
        p_value = (1 + as_extreme) / (1 + len(products))
    coefficient = 0.0
    if scale:
        coefficient = product / scale
    return RankCorrelation(
        coefficient=coefficient,
        p_value=p_value,
        min_p_value=min(1.0, 2 * math.prod(_tied_orders(a) for a, _ in pairs) / permutations),
        is_exact=is_exact,
    )


def correlation_interval(coefficient: float, count: int) -> tuple[float, float] | None:
    """Return Fisher's 95 % interval of a rank correlation of `count` pairs.

    None for few pairs, and for equal ranks: the transformation is infinite.
    """
    if count <= 3 or abs(coefficient) >= 1:
        return None
    half_width = NORMAL_QUANTILE * math.sqrt(SPEARMAN_VARIANCE / (count - 3))
    center = math.atanh(coefficient)
    return math.tanh(center - half_width), math.tanh(center + half_width)


def _block_members(blocks: Sequence[Hashable]) -> list[npt.NDArray[np.intp]]:
    """Return the indices of each block."""
    members = []
    for key in dict.fromkeys(blocks):
        members.append(np.flatnonzero(np.array([block == key for block in blocks])))
    return members


def _centered_ranks(values: Floats) -> Floats:
    from scipy import stats

    ranks: Floats = stats.rankdata(values) - (len(values) + 1) / 2
    return ranks


def _tied_orders(ranks: Floats) -> int:
    """Return how many permutations leave the ranks as they are."""
    return math.prod(math.factorial(count) for count in Counter(ranks.tolist()).values())


def _all_products(pairs: list[tuple[Floats, Floats]]) -> Floats:
    """Return the sum over blocks of the product of ranks, for each permutation of all blocks."""
    products: Floats = np.zeros(1)
    for a, b in pairs:
        of_block = np.array(list(itertools.permutations(b))) @ a
        products = np.add.outer(products, of_block).ravel()
    return products


def _random_products(pairs: list[tuple[Floats, Floats]]) -> Floats:
    """Return the same for random permutations of each block."""
    products: Floats = np.zeros(1)
    random = np.random.default_rng(0)
    for a, b in pairs:
        products = products + np.array([random.permutation(b) @ a for _ in range(PERMUTATIONS)])
    return products


@functools.lru_cache(maxsize=8)
def bootstrap_importance(x: bytes, y: bytes, columns: int, bootstraps: int) -> Floats:
    """Return `permutation_importance` of each bootstrap: bootstraps x columns.

    x and y are the bytes of arrays of doubles, because arrays are no keys of a cache. Several
    claims use the same trials.
    """
    random = np.random.default_rng(0)
    table = np.frombuffer(x).reshape(-1, columns)
    values = np.frombuffer(y)
    return np.array([permutation_importance(table, values, random) for _ in range(bootstraps)])


def permutation_importance(x: Floats, y: Floats, random: np.random.Generator) -> Floats:
    """Return the importance of each column of `x` (trials x columns) for a random forest.

    The forest is fitted to one bootstrap of the trials. The importance of a column is the increase
    of the squared error on the trials outside the bootstrap when the column is shuffled.
    """
    from sklearn.ensemble import RandomForestRegressor

    columns = x.shape[1]
    drawn = random.integers(0, len(y), len(y))
    left_out = np.setdiff1d(np.arange(len(y)), drawn)
    # One copy of the left-out trials as they are, then `SHUFFLES` copies per column. Predicting
    # all copies together is much faster than one by one.
    copies = np.tile(x[left_out], (columns * SHUFFLES + 1, 1, 1))
    for index in range(1, len(copies)):
        column = (index - 1) // SHUFFLES
        copies[index, :, column] = random.permutation(copies[index, :, column])
    forest = RandomForestRegressor(FOREST_TREES, random_state=int(random.integers(2**31)))
    forest.fit(x[drawn], y[drawn])
    predictions = forest.predict(copies.reshape(-1, columns)).reshape(len(copies), -1)
    errors = np.mean((predictions - y[left_out]) ** 2, axis=1)
    shuffled_errors = errors[1:].reshape(-1, SHUFFLES).mean(axis=1)
    return np.asarray(shuffled_errors - errors[0], dtype=float)


def false_discovery_rates(p_values: Sequence[float]) -> list[float]:
    """Return the q value of each p value (Benjamini & Hochberg 1995).

    If all tests with q below 0.05 are taken as discoveries, about 5 % of them are false.
    """
    from scipy import stats

    if not p_values:
        return []
    return [float(rate) for rate in stats.false_discovery_control(p_values)]
