"""Published numbers compared with the measured ones.

A published number with a metric gets a verdict. It is reproduced if the difference is at most the
tolerance: the larger of 2 standard deviations over the seeds, and half a unit of the last printed
digit. A number without a metric is context: it is shown and not judged. A number in percent is
compared with the measured share times 100.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from cae.report.data.cells import to_cell
from cae.report.data.results import Results, Run
from cae.run.metric_direction import common_directions, metric_direction
from cae.run.sweep_json import PUBLISHED
from cae.run.trial_state import TrialState

Overrides = Mapping[str, Mapping[str, Any]]
"""Settings of a run that differ from the sweep's own: {parameter: {"full": ..., "here": ...}}."""

NO_OVERRIDES: Overrides = MappingProxyType({})
BEST = "best"
"""As conditions of a published number: the best trial, like no conditions."""


class PublishedVerdict(StrEnum):
    REPRODUCED = "reproduced"
    """Within the tolerance."""
    BETTER = "better"
    """Outside the tolerance, on the better side."""
    WORSE = "worse"
    DIFFERS = "differs"
    """Outside the tolerance, and neither side is better (a number of parameters)."""
    NOT_COMPARABLE = "not comparable"
    """Measured with other settings than the report's, or the report prints no number."""
    NOT_RUN = "not run"
    """No finished trial of the run measures it."""
    CONTEXT = "context"
    """Not to be compared."""

    @property
    def is_judged(self) -> bool:
        """Whether the number was to be compared."""
        return self != PublishedVerdict.CONTEXT

    @property
    def is_compared(self) -> bool:
        """Whether the number was measured with the settings of the report."""
        return self in _COMPARED


_COMPARED = frozenset(
    {
        PublishedVerdict.REPRODUCED,
        PublishedVerdict.BETTER,
        PublishedVerdict.WORSE,
        PublishedVerdict.DIFFERS,
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
class PublishedNumber:
    """One row of a file of published numbers."""

    report: str = ""
    where: str = ""
    quantity: str = ""
    value: str = ""
    unit: str = ""
    definition: str = ""
    provenance: str = ""
    metric: str = ""
    """Column of trials.csv that measures the number; empty: context."""
    trials: str = ""
    """Conditions of the trials, "name=value;name=value"; "" and "best": all trials."""
    comment: str = ""
    other_columns: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> PublishedNumber:
        columns = {name: row[name] or "" for name in PUBLISHED if name in row}
        others = {name: text for name, text in row.items() if name not in PUBLISHED}
        return cls(**columns, other_columns=others)

    @property
    def is_percent(self) -> bool:
        return self.unit.strip().lower() in ("percent", "%")

    @property
    def conditions(self) -> list[Condition]:
        """The values that a trial needs."""
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


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Our value of a published number, over the seeds of one configuration."""

    mean: float
    sd: float
    """Standard deviation (n - 1); NaN with one seed."""
    trials: list[int]
    """Numbers of the trials, one per seed."""
    matching_configurations: int
    """How many configurations met the conditions; the best one by the sweep's metric is used."""


@dataclass(frozen=True, kw_only=True)
class PublishedComparison:
    """A published number, our measurement of it, and the verdict."""

    run: str
    published: PublishedNumber
    is_size: bool
    """Whether it is a size of the network, which does not depend on seeds, images or epochs."""
    verdict: PublishedVerdict
    published_value: float = math.nan
    measurement: Measurement | None = None
    """In the unit of the published number; None if not run."""
    tolerance: float = math.nan
    """NaN if there is no number to compare with."""
    not_comparable: NotComparable | None = None
    overrides: Overrides = field(default_factory=dict)
    """Settings of the run that differ from the report's."""

    @property
    def n(self) -> int:
        """Number of seeds."""
        if self.measurement is None:
            return 0
        return len(self.measurement.trials)

    @property
    def ours(self) -> float | None:
        if self.measurement is None:
            return None
        return self.measurement.mean

    @property
    def sd(self) -> float | None:
        """Standard deviation; None with one seed."""
        if self.measurement is None or self.n < 2:
            return None
        return self.measurement.sd

    @property
    def difference(self) -> float:
        """Ours minus published; NaN without a measurement."""
        if self.measurement is None:
            return math.nan
        return self.measurement.mean - self.published_value


def compare_published(results: Results) -> list[PublishedComparison]:
    """Compare every published number of the runs."""
    comparisons = []
    for run in results.runs:
        sizes = {name for record in run.records.values() for name in record.sizes}
        for row in run.sweep.published:
            number = PublishedNumber.from_row(row)
            is_size = number.metric in sizes
            candidates = _candidates(results, run, is_size=is_size)
            comparisons.append(_compare(results, run, number, candidates, is_size=is_size))
    return comparisons


def _candidates(results: Results, run: Run, *, is_size: bool) -> pd.DataFrame:
    """Return the finished trials of a run, the best first; for a size, all requested ones."""
    ranked = results.ranked[results.ranked["run"] == run.name]
    if not is_size:
        return ranked[ranked["state"] == TrialState.FINISHED]
    is_in_run = results.trials["run"] == run.name
    requested = results.trials[is_in_run & results.trials["trial"].isin(run.requested_trials)]
    return pd.concat([ranked, requested.drop(ranked.index)])


def _compare(
    results: Results, run: Run, number: PublishedNumber, candidates: pd.DataFrame, *, is_size: bool
) -> PublishedComparison:
    context = PublishedComparison(
        run=run.name,
        published=number,
        is_size=is_size,
        verdict=PublishedVerdict.CONTEXT,
        overrides=run.sweep.overrides,
    )
    if not number.metric:
        return context
    if not is_size and _group_count(results, candidates, number, run.sweep.overrides) > 1:
        return replace(
            context,
            verdict=PublishedVerdict.NOT_COMPARABLE,
            published_value=parse_printed(number.value)[0],
            not_comparable=NotComparable.SEVERAL_GROUPS,
        )
    measurement = measure(results, candidates, number, run.sweep.overrides)
    if measurement is None:
        return replace(context, verdict=PublishedVerdict.NOT_RUN)
    tolerance = 0.0
    if len(measurement.trials) > 1:
        tolerance = 2 * measurement.sd
    published_value, half_unit = parse_printed(number.value)
    comparison = replace(
        context,
        verdict=PublishedVerdict.NOT_COMPARABLE,
        published_value=published_value,
        measurement=measurement,
    )
    if not math.isfinite(published_value):
        return replace(comparison, not_comparable=NotComparable.NO_NUMBER)
    comparison = replace(comparison, tolerance=max(tolerance, half_unit))
    if run.sweep.overrides and not is_size:
        return replace(comparison, not_comparable=NotComparable.OTHER_SETTINGS)
    mode = None
    if not is_size:
        mode = direction_in(results, number.metric)
    return replace(comparison, verdict=_verdict(comparison, mode))


def _verdict(comparison: PublishedComparison, mode: str | None) -> PublishedVerdict:
    """Return the verdict on a comparable number; mode: "min", "max", or None if unknown."""
    if abs(comparison.difference) <= comparison.tolerance * (1 + 1e-9):
        return PublishedVerdict.REPRODUCED
    if mode is None:
        return PublishedVerdict.DIFFERS
    is_lower = comparison.difference < 0
    if is_lower == (mode == "min"):
        return PublishedVerdict.BETTER
    return PublishedVerdict.WORSE


def direction_in(results: Results, metric: str) -> str | None:
    """Return "min" or "max", whichever is better; None if unknown.

    Metrics of the same kind as the sweep's own have its mode; for others, the declaration decides.
    """
    kind = metric.removeprefix("last_").split("_")[1:]
    if kind and kind == results.metric.split("_")[1:]:
        return results.mode
    declared = common_directions([run.sweep.directions for run in results.runs])
    return metric_direction(metric, declared)


def _group_count(
    results: Results, candidates: pd.DataFrame, number: PublishedNumber, overrides: Overrides
) -> int:
    """Return in how many comparability groups the trials are that measure a number."""
    if number.metric not in candidates:
        return 0
    values = pd.to_numeric(candidates[number.metric], errors="coerce").astype(float)
    is_used = _meets(candidates, number.conditions, overrides) & values.map(math.isfinite)
    return int(results.group_keys.loc[candidates.index[is_used]].nunique())


def measure(
    results: Results,
    candidates: pd.DataFrame,
    number: PublishedNumber,
    overrides: Overrides = NO_OVERRIDES,
) -> Measurement | None:
    """Measure a number over the seeds of the best configuration that meets its conditions.

    candidates: trials, the best first. None if none of them measures the number.
    """
    if number.metric not in candidates:
        return None
    matching = candidates[_meets(candidates, number.conditions, overrides)]
    values = pd.to_numeric(matching[number.metric], errors="coerce").astype(float)
    values = values[values.map(math.isfinite)]
    if values.empty:
        return None
    scale = 1.0
    if number.is_percent:
        scale = 100.0
    seeds = values[results.same_configuration(values.index)]
    sd = math.nan
    if len(seeds) > 1:
        sd = float(seeds.std(ddof=1))
    matching_configurations = 0
    if number.has_conditions:
        matching_configurations = int(results.configurations.loc[values.index].nunique())
    return Measurement(
        mean=float(seeds.mean()) * scale,
        sd=sd * scale,
        trials=[int(trial) for trial in matching.loc[seeds.index, "trial"]],
        matching_configurations=matching_configurations,
    )


def parse_printed(text: str) -> tuple[float, float]:
    """Return a printed number and half a unit of its last digit: "0.10" -> (0.1, 0.005).

    Both are NaN if the text is not one number.
    """
    try:
        number = decimal.Decimal(text.strip().removesuffix("%").strip().replace(",", ""))
    except decimal.InvalidOperation:
        return math.nan, math.nan
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):  # NaN and infinity
        return math.nan, math.nan
    return float(number), 0.5 * 10.0**exponent


def _meets(
    trials: pd.DataFrame, conditions: list[Condition], overrides: Overrides
) -> pd.Series[bool]:
    """Return which trials meet all conditions."""
    meets = pd.Series(True, index=trials.index)
    for name, required in conditions:
        if name not in trials:
            meets &= False
            continue
        value = str(to_cell(required_value(name, required, overrides)))
        meets &= pd.Series(
            [is_equal(cell, value) for cell in trials[name]], index=trials.index, dtype=bool
        )
    return meets


def required_value(name: str, required: Any, overrides: Overrides) -> Any:
    """Return the value that a trial needs to meet a condition.

    If the run overrides a setting of the report for all trials, its value replaces the report's.
    Such numbers are measured, but they are not comparable.
    """
    change = overrides.get(name)
    if not change:
        return required
    full = to_cell(change.get("full"))
    cell = to_cell(required)
    if full == cell or is_equal(full, str(cell)):
        return change.get("here")
    return required


def is_equal(value: Any, text: str) -> bool:
    """Whether a value is equal to a text, as numbers if both are numbers."""
    if value is None or value is pd.NA:
        return False
    try:
        return float(value) == float(text)
    except (TypeError, ValueError):
        return str(value) == text
