"""Published numbers, our measurements of them, and the verdicts."""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from cae.report.statistics.agreement import Printed
from cae.run.published_rows import PublishedRow

Overrides = Mapping[str, Mapping[str, Any]]
"""Settings of a run that differ from the sweep's own: {parameter: {"full": ..., "here": ...}}.

"full" is the value in the sweep file, as in the report; "here" is the value in the run."""

NO_OVERRIDES: Overrides = MappingProxyType({})
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
MAX_EXPONENT = 300
"""Numbers with more digits are not computed with."""
BEST = "best"
"""In the column `trials`: no conditions, so the number is compared with the best trial."""


class PublishedVerdict(StrEnum):
    REPRODUCED = "reproduced"
    """The difference is not significant, and within the margin if one was declared."""
    BETTER = "better"
    """The difference is significant, on the better side."""
    WORSE = "worse"
    DIFFERS = "differs"
    """Significantly different, and neither side is better."""
    INCONCLUSIVE = "inconclusive"
    """Not different, and not equal within the declared margin either."""
    ONE_SEED = "one seed"
    """Measured with one seed, and not equal to the printed digits."""
    EQUAL = "equal"
    """A size or a setting as printed. One that is not DIFFERS."""
    NOT_COMPARABLE = "not comparable"
    """Measured with other settings than the report's, or the report prints no number."""
    NOT_RUN = "not run"
    """No finished trial of the run measures it."""
    CONTEXT = "context"
    """The number has no metric, so it is shown without a comparison."""

    @property
    def is_judged(self) -> bool:
        """Whether the number has a metric, so that a comparison was requested."""
        return self != PublishedVerdict.CONTEXT

    @property
    def is_compared(self) -> bool:
        """Whether the published number was compared with a measured one."""
        return self in _COMPARED

    @property
    def is_contradiction(self) -> bool:
        """Whether ours is significantly different, or another size or setting."""
        return self in _CONTRADICTIONS


_CONTRADICTIONS = frozenset(
    {PublishedVerdict.BETTER, PublishedVerdict.WORSE, PublishedVerdict.DIFFERS}
)
_COMPARED = frozenset(
    {
        PublishedVerdict.REPRODUCED,
        PublishedVerdict.BETTER,
        PublishedVerdict.WORSE,
        PublishedVerdict.DIFFERS,
        PublishedVerdict.INCONCLUSIVE,
        PublishedVerdict.ONE_SEED,
        PublishedVerdict.EQUAL,
    }
)


class NotComparable(StrEnum):
    """Why a measured number cannot be compared."""

    NO_NUMBER = "the report prints no single number"
    OTHER_SETTINGS = "the run has other settings than the report"
    SEVERAL_GROUPS = "its trials are not comparable with each other"
    """They are in several comparability groups: the row lacks a condition."""


class Condition(NamedTuple):
    name: str
    """Column of trials.csv."""
    value: str


@dataclass(frozen=True, kw_only=True)
class PublishedNumber(PublishedRow):
    """One row of a file of published numbers."""

    @property
    def is_percent(self) -> bool:
        return self.unit.strip().lower() in ("percent", "%") or self.value.strip().endswith("%")

    @property
    def conditions(self) -> list[Condition]:
        """Conditions that a trial has to meet to be compared with the number."""
        conditions: list[Condition] = []
        if not self.has_conditions:
            return conditions
        for text in self.trials.split(";"):
            name, _, value = text.partition("=")
            if name.strip():
                conditions.append(Condition(name.strip(), value.strip()))
        return conditions

    @property
    def has_conditions(self) -> bool:
        return self.trials.strip() not in ("", BEST)

    def printed(self) -> Printed:
        """The number, its rounding, deviation and margin; NaN if it is not one number."""
        value, half_unit = parse_printed(self.value)
        number = Printed(value=value, half_unit=half_unit)
        if self.published_sd and self.published_runs:
            number = replace(
                number, sd=float(self.published_sd), count=int(float(self.published_runs))
            )
        if self.margin:
            number = replace(number, margin=float(self.margin))
        return number


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Our value of a published number, over the seeds of one configuration."""

    mean: float
    sd: float
    """Standard deviation (n - 1); NaN with one seed."""
    trials: list[int]
    """Numbers of the trials, one per seed."""
    matching_configurations: int
    """How many configurations met the conditions; the best one by the sweep's metric is used. 0 if
    the number has no conditions."""
    missing_seeds: int = 0
    """Requested seeds of the configuration that have no value: they are not finished, or failed."""
    shared_dependencies: Sequence[int] = ()
    """Numbers of the trials from whose weights several of the seeds start."""


@dataclass(frozen=True, kw_only=True)
class PublishedComparison:
    """A published number, our measurement of it, and the verdict."""

    run: str
    published: PublishedNumber
    is_size: bool
    """Whether it is a size of the network, which does not depend on seeds, images or epochs."""
    is_setting: bool = False
    """Whether it is a parameter of the trial, such as the number of epochs, or a metric that is
    declared not to depend on training, such as the loss of a baseline."""
    verdict: PublishedVerdict
    published_value: float = math.nan
    """NaN if the report prints no single number."""
    measurement: Measurement | None = None
    """In the unit of the published number; None for NOT_RUN and CONTEXT."""
    tolerance: float = math.nan
    """Larger differences are significant; NaN if there is no number to compare with."""
    not_comparable: NotComparable | None = None
    overrides: Overrides = field(default_factory=dict)
    """Settings of the run that differ from the report's."""

    @property
    def is_measurement(self) -> bool:
        """Whether it depends on training: it is neither a size nor a setting."""
        return not self.is_size and not self.is_setting

    @property
    def is_counted(self) -> bool:
        """Whether it counts among the numbers that were compared with the report's."""
        return self.is_measurement and self.verdict.is_compared

    @property
    def n(self) -> int:
        """Number of seeds."""
        if self.measurement is None:
            return 0
        return len(self.measurement.trials)

    @property
    def ours(self) -> float | None:
        """Our mean over the seeds; None without a measurement."""
        if self.measurement is None:
            return None
        return self.measurement.mean

    @property
    def sd(self) -> float | None:
        """Our standard deviation over the seeds; None with one seed."""
        if self.measurement is None or self.n < 2:
            return None
        return self.measurement.sd

    @property
    def difference(self) -> float:
        """Ours minus published; NaN without a measurement."""
        if self.measurement is None:
            return math.nan
        return self.measurement.mean - self.published_value


def parse_printed(text: str) -> tuple[float, float]:
    """Return a printed number and half a unit of its last digit: "0.10" -> (0.1, 0.005).

    Commas separate thousands. Both are NaN if the text is not one number that a float can hold;
    a decimal comma ("0,10") is none.
    """
    digits = text.strip().removesuffix("%").strip()
    if "," in digits and not THOUSANDS.fullmatch(digits):
        return math.nan, math.nan
    try:
        number = decimal.Decimal(digits.replace(",", ""))
    except decimal.InvalidOperation:
        return math.nan, math.nan
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):  # NaN and infinity
        return math.nan, math.nan
    if not -MAX_EXPONENT <= exponent <= MAX_EXPONENT or not math.isfinite(float(number)):
        return math.nan, math.nan
    return float(number), 0.5 * 10.0**exponent
