"""Published numbers compared with the measured ones.

A published number with a metric gets a verdict: see `agreement` for the rule. Sizes of networks and
settings (epochs) are no measurements: they are equal to the printed number, or differ. A number
without a metric is context: it is shown and not judged. A number in percent is compared with the
measured share times 100.
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
from cae.report.statistics.agreement import Agreement, Printed, Sample, compare
from cae.run.metric_direction import Mode, common_directions, metric_direction
from cae.run.published_rows import PublishedRow
from cae.run.trial_state import TrialState

Overrides = Mapping[str, Mapping[str, Any]]
"""Settings of a run that differ from the sweep's own: {parameter: {"full": ..., "here": ...}}.

"full" is the value in the sweep file, as in the report; "here" is the value in the run."""

NO_OVERRIDES: Overrides = MappingProxyType({})
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
        return self.unit.strip().lower() in ("percent", "%")

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


@dataclass(frozen=True, kw_only=True)
class PublishedComparison:
    """A published number, our measurement of it, and the verdict."""

    run: str
    published: PublishedNumber
    is_size: bool
    """Whether it is a size of the network, which does not depend on seeds, images or epochs."""
    is_setting: bool = False
    """Whether it is a parameter of the trial, such as the number of epochs."""
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
        """Whether it is measured: neither a size nor a setting."""
        return not self.is_size and not self.is_setting

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


def compare_published(results: Results) -> list[PublishedComparison]:
    """Compare every published number of the runs."""
    comparisons = []
    for run in results.runs:
        sizes = {name for record in run.records.values() for name in record.sizes}
        settings = {name for record in run.records.values() for name in record.config}
        for row in run.sweep.published:
            number = PublishedNumber.from_columns(row)
            is_size = number.metric in sizes
            candidates = _candidates(results, run, is_size=is_size)
            is_setting = number.metric in settings
            comparisons.append(
                _compare(results, run, number, candidates, is_size=is_size, is_setting=is_setting)
            )
    return comparisons


def _candidates(results: Results, run: Run, *, is_size: bool) -> pd.DataFrame:
    """Return the trials of a run that may measure a number, the best first.

    Only finished trials may, except for sizes of the network: they are known of every trial that
    the sweep requests, and trials without a value follow the ranked ones.
    """
    ranked = results.ranked[results.ranked["run"] == run.name]
    if not is_size:
        return ranked[ranked["state"] == TrialState.FINISHED]
    is_in_run = results.trials["run"] == run.name
    is_requested = results.trials["trial"].isin(run.requested_trials)
    requested = results.trials[is_in_run & is_requested]
    not_ranked = requested.drop(ranked.index)
    return pd.concat([ranked, not_ranked])


def _compare(
    results: Results,
    run: Run,
    number: PublishedNumber,
    candidates: pd.DataFrame,
    *,
    is_size: bool,
    is_setting: bool,
) -> PublishedComparison:
    overrides = run.sweep.overrides
    printed = number.printed()
    measurement = None
    if number.metric:
        measurement = measure(results, number, candidates, overrides)

    def comparison(
        verdict: PublishedVerdict,
        not_comparable: NotComparable | None = None,
        tolerance: float = math.nan,
    ) -> PublishedComparison:
        return PublishedComparison(
            run=run.name,
            published=number,
            is_size=is_size,
            is_setting=is_setting,
            verdict=verdict,
            published_value=printed.value,
            measurement=measurement,
            tolerance=tolerance,
            not_comparable=not_comparable,
            overrides=overrides,
        )

    if not number.metric:
        return comparison(PublishedVerdict.CONTEXT)
    if not is_size and _group_count(results, candidates, number, overrides) > 1:
        measurement = None
        reason = NotComparable.SEVERAL_GROUPS
        return comparison(PublishedVerdict.NOT_COMPARABLE, reason)
    if measurement is None:
        return comparison(PublishedVerdict.NOT_RUN)
    if not math.isfinite(printed.value):
        return comparison(PublishedVerdict.NOT_COMPARABLE, NotComparable.NO_NUMBER)
    sample = Sample(mean=measurement.mean, sd=measurement.sd, count=len(measurement.trials))
    outcome = compare(sample, printed)
    if overrides and not is_size:
        reason = NotComparable.OTHER_SETTINGS
        return comparison(PublishedVerdict.NOT_COMPARABLE, reason, outcome.tolerance)
    verdict = PublishedVerdict.EQUAL
    if not is_size and not is_setting:
        mode = direction_in(results, number.metric)
        verdict = _verdict(outcome.agreement, measurement.mean - printed.value, mode)
    elif outcome.agreement != Agreement.AGREES:
        verdict = PublishedVerdict.DIFFERS
    return comparison(verdict, tolerance=outcome.tolerance)


def _verdict(agreement: Agreement, difference: float, mode: Mode | None) -> PublishedVerdict:
    """Return the verdict on a comparable number; mode: None if neither side is better."""
    match agreement:
        case Agreement.AGREES:
            return PublishedVerdict.REPRODUCED
        case Agreement.INCONCLUSIVE:
            return PublishedVerdict.INCONCLUSIVE
        case Agreement.ONE_SEED:
            return PublishedVerdict.ONE_SEED
        case Agreement.DIFFERS:
            pass
    match mode:
        case None:
            return PublishedVerdict.DIFFERS
        case "min":
            is_better = difference < 0
        case "max":
            is_better = difference > 0
    if is_better:
        return PublishedVerdict.BETTER
    return PublishedVerdict.WORSE


def direction_in(results: Results, metric: str) -> Mode | None:
    """Return which values of a metric are better in some results; None if it is unknown.

    If the metric differs from the sweep's own only in the split (`test_psnr` and `val_psnr`), it
    has the mode of the sweep. For others, the declaration decides.
    """
    name = _without_split(metric.removeprefix("last_"))
    if name and name == _without_split(results.metric):
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


def _without_split(metric: str) -> str:
    """Return the name of a metric after its first word; empty if it is one word."""
    _, _, name = metric.partition("_")
    return name


def measure(
    results: Results,
    number: PublishedNumber,
    candidates: pd.DataFrame,
    overrides: Overrides = NO_OVERRIDES,
) -> Measurement | None:
    """Measure a number over the seeds of the best configuration that meets its conditions.

    `candidates` are the trials that may measure the number, the best first. Returns None if none
    of them meets the conditions and has a finite value.
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
    values_of_best = values[results.same_configuration(values.index)]
    sd = math.nan
    if len(values_of_best) > 1:
        sd = float(values_of_best.std(ddof=1))
    matching_configurations = 0
    if number.has_conditions:
        matching_configurations = int(results.configurations.loc[values.index].nunique())
    return Measurement(
        mean=float(values_of_best.mean()) * scale,
        sd=sd * scale,
        trials=[int(trial) for trial in matching.loc[values_of_best.index, "trial"]],
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
    for name, value_in_report in conditions:
        if name not in trials:
            return pd.Series(False, index=trials.index)
        required = required_value(name, value_in_report, overrides)
        required_text = str(to_cell(required))
        meets_condition = [is_equal(cell, required_text) for cell in trials[name]]
        meets &= pd.Series(meets_condition, index=trials.index, dtype=bool)
    return meets


def required_value(name: str, value_in_report: Any, overrides: Overrides) -> Any:
    """Return the value that a trial of this run needs to meet a condition.

    This is the value in the report, unless all trials of the run override it: if the report has 10
    epochs and the run 4 instead, trials with 4 epochs meet the condition `epochs=10`. Numbers are
    measured under overrides, but they are not comparable.
    """
    override = overrides.get(name)
    if not override:
        return value_in_report
    overridden_cell = to_cell(override.get("full"))
    cell_in_report = to_cell(value_in_report)
    is_overridden = overridden_cell == cell_in_report
    if is_overridden or is_equal(overridden_cell, str(cell_in_report)):
        return override.get("here")
    return value_in_report


def is_equal(value: Any, text: str) -> bool:
    """Whether a value is equal to a text, as numbers if both are numbers."""
    if value is None or value is pd.NA:
        return False
    try:
        return float(value) == float(text)
    except (TypeError, ValueError):
        return str(value) == text
