"""Differences with their tests and intervals, Holm's correction, permuted rank correlations, importances: what claims are judged by."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

PERMUTATIONS = 9_999
"""Of more arrangements than these, so many are drawn."""


class Contrast(NamedTuple):
    """Two means, and the standard error and degrees of freedom of their difference (NaN where there are too few trials: `few`)."""

    this: float
    that: float
    error: float
    freedom: float
    test: str
    used: list[Any]
    few: str = ""
    note: str = ""

    @property
    def gap(self) -> float:
        return 0.0 if self.t() == 0 else self.this - self.that

    def t(self, shift: float = 0.0) -> float:
        """The t statistic of a difference beyond `shift`: infinite where nothing is spread and there is one."""
        gap, nothing = (
            self.this - self.that - shift,
            1e-12 * max(abs(self.this), abs(self.that), abs(shift)),
        )
        if self.error <= nothing or abs(gap) <= nothing:
            return 0.0 if abs(gap) <= nothing else math.copysign(math.inf, gap)
        return gap / self.error

    def p(self, shift: float = 0.0) -> float:
        return min(1.0, 2 * tail(abs(self.t(shift)), self.freedom))

    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference; NaN where there are too few trials."""
        return around(self.this - self.that, self.error, self.freedom)


def around(centre: float, error: float, freedom: float) -> tuple[float, float]:
    """The 95 % t interval round a mean of this standard error."""
    from scipy import stats

    half = float(stats.t.ppf(0.975, freedom)) * error if error else 0.0
    return centre - half, centre + half


def tail(t: float, freedom: float) -> float:
    from scipy import stats  # takes a second to import, and only claims and one section need it

    return float(stats.t.sf(t, freedom))


def paired(left: Floats, right: Floats, what: str, used: list[Any]) -> Contrast:
    count, means = len(left), (float(np.mean(left)), float(np.mean(right)))
    if count < 2:
        return Contrast(*means, math.nan, math.nan, "none", used, "One seed")
    error = float(np.std(left - right, ddof=1)) / math.sqrt(count)
    return Contrast(*means, error, count - 1, f"paired t-test ({count} {what})", used)


def welch(this: Floats, that: Floats, used: list[Any], note: str = "") -> Contrast:
    """Two samples whose spreads may differ."""
    means, counts = (float(np.mean(this)), float(np.mean(that))), (len(this), len(that))
    if min(counts) < 2:
        few = (
            "One seed each"
            if counts == (1, 1)
            else f"{counts[0]} against {counts[1]} trial{'' if counts[1] == 1 else 's'}"
        )
        return Contrast(*means, math.nan, math.nan, "none", used, few, note)
    a, b = (
        float(np.var(side, ddof=1)) / count
        for side, count in zip((this, that), counts, strict=True)
    )
    freedom = (
        (a + b) ** 2 / (a**2 / (counts[0] - 1) + b**2 / (counts[1] - 1))
        if a + b
        else min(counts) - 1
    )
    return Contrast(*means, math.sqrt(a + b), float(freedom), "Welch's t-test", used, note=note)


def holm(ps: dict[str, float]) -> dict[str, float]:
    """P values by Holm's step-down correction for their number."""
    order = sorted(ps, key=lambda name: ps[name])
    steps = itertools.accumulate(
        (min(1.0, ps[name] * (len(ps) - place)) for place, name in enumerate(order)), max
    )
    return dict(zip(order, steps, strict=True))


def spearman(x: Floats, y: Floats, blocks: Sequence[Any]) -> tuple[float, float, float, str]:
    """Spearman's rank correlation within blocks; its two-sided p by permutation; the least p that so many trials can give; how."""
    from scipy import stats

    groups = [
        np.flatnonzero(np.array([block == key for block in blocks]))
        for key in dict.fromkeys(blocks)
    ]
    pairs = [
        tuple(stats.rankdata(side[group]) - (len(group) + 1) / 2 for side in (x, y))
        for group in groups
    ]
    scale = math.sqrt(sum(float(a @ a) for a, _ in pairs) * sum(float(b @ b) for _, b in pairs))
    ways = math.prod(math.factorial(len(a)) for a, _ in pairs)
    ties = math.prod(
        math.factorial(count) for a, _ in pairs for count in Counter(a.tolist()).values()
    )
    totals, random, exact = np.zeros(1), np.random.default_rng(0), ways <= PERMUTATIONS
    for a, b in pairs:
        if exact:
            totals = np.add.outer(totals, np.array(list(itertools.permutations(b))) @ a).ravel()
        else:
            totals = totals + np.array([random.permutation(b) @ a for _ in range(PERMUTATIONS)])
    seen = sum(float(a @ b) for a, b in pairs)
    beyond = int(np.sum(np.abs(totals) >= abs(seen) - 1e-9))
    p = beyond / len(totals) if exact else (1 + beyond) / (1 + len(totals))
    return (
        seen / scale if scale else 0.0,
        p,
        min(1.0, 2 * ties / ways),
        "exact permutation" if exact else f"{PERMUTATIONS:,} permutations",
    )


@functools.lru_cache(maxsize=8)
def bootstrapped(x: bytes, y: bytes, columns: int, count: int) -> Floats:
    """`importances` of `count` bootstraps (rows) by column, of arrays of doubles; several claims ask the same of the same trials."""
    random, values = np.random.default_rng(0), np.frombuffer(y)
    table = np.frombuffer(x).reshape(-1, columns)
    return np.array([importances(table, values, random) for _ in range(count)])


def importances(x: Floats, y: Floats, random: np.random.Generator) -> Floats:
    """By how much the squared error on the trials that one bootstrap left out grows when a column is shuffled, column by column."""
    from sklearn.ensemble import RandomForestRegressor

    drawn = random.integers(0, len(y), len(y))
    out = np.setdiff1d(np.arange(len(y)), drawn)
    sheets = np.tile(x[out], (x.shape[1] * 5 + 1, 1, 1))
    for place in range(1, len(sheets)):
        sheets[place, :, (place - 1) // 5] = random.permutation(sheets[place, :, (place - 1) // 5])
    forest = RandomForestRegressor(25, random_state=int(random.integers(2**31))).fit(
        x[drawn], y[drawn]
    )
    errors = np.mean(
        (forest.predict(sheets.reshape(-1, x.shape[1])).reshape(len(sheets), -1) - y[out]) ** 2,
        axis=1,
    )
    return np.asarray(errors[1:].reshape(-1, 5).mean(axis=1) - errors[0], dtype=float)
