"""Whether a printed number agrees with our runs.

A report prints the result of one run, or a mean with a standard deviation of several; we have a few
seeds. A single run agrees if it lies in the 95 % prediction interval of our runs (Hahn & Meeker,
"Statistical Intervals", 1991), a mean if Welch's test does not reject equality. Both become easier
the noisier the runs are: a margin that was declared before the runs limits that, by two one-sided
tests (TOST, Schuirmann 1987). Without one, an interval larger than the number shows nothing. The
printed number may be rounded: half a unit of its last digit is added to every interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

LEVEL = 0.05
"""Of the tests: intervals are 95 % intervals."""
ROUNDING = 1e-9
"""Relative. A difference as large as the tolerance is within it, despite rounding errors."""


class Agreement(StrEnum):
    """How a printed number and our runs compare."""

    AGREES = "agrees"
    DIFFERS = "differs"
    INCONCLUSIVE = "inconclusive"
    """Not different, and not equal within the declared margin either; without a margin: the
    interval is larger than the number."""
    ONE_SEED = "one seed"
    """One run of ours, which is not equal to the printed digits."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Our runs."""

    mean: float
    sd: float
    """Standard deviation (n - 1); NaN with one run."""
    count: int


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A number in a publication."""

    value: float
    half_unit: float = 0.0
    """Half a unit of its last digit."""
    sd: float = math.nan
    """Standard deviation of the publication's runs, of which `value` is the mean. NaN: one run."""
    count: int = 1
    """Number of these runs."""
    margin: float = math.nan
    """Largest difference without importance, declared before our runs. NaN: none."""

    @property
    def is_mean(self) -> bool:
        """Whether it is a mean of several runs with a known deviation."""
        return self.count > 1 and math.isfinite(self.sd)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The result of comparing both."""

    agreement: Agreement
    tolerance: float
    """Half of the 95 % interval of the difference, rounding included: larger differences are
    significant. With one run of ours, half a unit of the last printed digit."""


def compare(ours: Sample, printed: Printed) -> Comparison:
    """Compare our runs with a printed number."""
    from scipy import special

    distance = abs(ours.mean - printed.value)
    if ours.count < 2:
        agreement = Agreement.ONE_SEED
        if distance <= printed.half_unit * (1 + ROUNDING):
            agreement = Agreement.AGREES
        return Comparison(agreement=agreement, tolerance=printed.half_unit)
    error, degrees_of_freedom = _standard_error(ours, printed)
    # Quantiles of Student's t
    two_sided = float(special.stdtrit(degrees_of_freedom, 1 - LEVEL / 2))
    one_sided = float(special.stdtrit(degrees_of_freedom, 1 - LEVEL))
    tolerance = two_sided * error + printed.half_unit
    agreement = Agreement.AGREES
    if distance > tolerance * (1 + ROUNDING):
        agreement = Agreement.DIFFERS
    elif math.isfinite(printed.margin):
        is_equivalent = distance + one_sided * error + printed.half_unit <= printed.margin
        if tolerance > printed.margin or not is_equivalent:
            agreement = Agreement.INCONCLUSIVE
    elif printed.value and tolerance > abs(printed.value):
        agreement = Agreement.INCONCLUSIVE  # 0 and twice the number would agree as well
    return Comparison(agreement=agreement, tolerance=tolerance)


def _standard_error(ours: Sample, printed: Printed) -> tuple[float, float]:
    """The standard error of the difference, and its degrees of freedom."""
    our_part = ours.sd**2 / ours.count
    if not printed.is_mean:
        # The printed run varies as ours do.
        return math.sqrt(ours.sd**2 + our_part), ours.count - 1
    their_part = printed.sd**2 / printed.count
    total = our_part + their_part
    if total == 0:
        return 0.0, ours.count - 1
    # Welch-Satterthwaite
    denominator = our_part**2 / (ours.count - 1) + their_part**2 / (printed.count - 1)
    return math.sqrt(total), total**2 / denominator
