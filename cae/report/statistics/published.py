"""Published numbers compared with the measured ones.

A published number with a metric gets a verdict: see `agreement` for the rule. Sizes of networks,
settings (epochs) and metrics that are declared not to depend on training (the loss of a baseline)
are no measurements: they are equal to the printed number, or differ. A number without a metric is
context: it is shown and not judged. A number in percent is compared with the measured share times
100. A metric may name a cell of a table of each trial: `per_class:3:precision`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cae.report.data.cells import to_cell
from cae.report.data.results import Results, Run
from cae.report.data.table_cells import with_cell
from cae.report.statistics.agreement import Agreement, Sample, compare
from cae.report.statistics.compared_trials import has_stopped_seed
from cae.report.statistics.published_number import (
    NO_OVERRIDES,
    Condition,
    Measurement,
    NotComparable,
    Overrides,
    PublishedComparison,
    PublishedNumber,
    PublishedVerdict,
)
from cae.report.statistics.shared_dependencies import shared_dependencies
from cae.report.statistics.trial_settings import own_overrides
from cae.report.statistics.untrained import is_untrained
from cae.run.metric_direction import Mode, common_directions, metric_direction


def compare_published(results: Results) -> list[PublishedComparison]:
    """Compare every published number of the runs."""
    comparisons = []
    for run in results.runs:
        sizes = {name for record in run.records.values() for name in record.sizes}
        settings = {name for record in run.records.values() for name in record.config}
        own = {trial: own_overrides(record, run.sweep) for trial, record in run.records.items()}
        for row in run.sweep.published:
            number = PublishedNumber.from_columns(row)
            is_size = number.metric in sizes
            is_setting = number.metric in settings or is_untrained(number.metric, run.sweep)
            candidates = _candidates(results, run, is_size=is_size)
            candidates = with_cell(candidates, run, number.metric)
            overrides: Overrides = run.sweep.overrides
            if not is_size:
                candidates, overrides = _with_settings_of_report(
                    results, run, number, candidates, own
                )
            comparisons.append(
                _compare(
                    results,
                    run,
                    number,
                    candidates,
                    overrides,
                    is_size=is_size,
                    is_setting=is_setting,
                )
            )
    return comparisons


def _with_settings_of_report(
    results: Results,
    run: Run,
    number: PublishedNumber,
    candidates: pd.DataFrame,
    own: Mapping[int, Overrides],
) -> tuple[pd.DataFrame, Overrides]:
    """Return the candidates without those of earlier commands with other settings, and the
    overrides that apply to the rest. `own` are those of each trial, by its number.

    If only trials with other settings measure the number, all are returned, with their settings as
    overrides: the number is not comparable then.
    """
    overrides = run.sweep.overrides
    conditions = {condition.name for condition in number.conditions}
    is_as_in_report = []
    for trial in candidates["trial"]:
        is_as_in_report.append(own[int(trial)].keys() <= conditions)
    as_in_report = candidates[np.array(is_as_in_report, dtype=bool)]
    if not number.metric or measure(results, number, as_in_report, overrides) is not None:
        return as_in_report, overrides
    measurement = measure(results, number, candidates, overrides)
    if measurement is None:
        return candidates, overrides
    return candidates, {**overrides, **own[measurement.trials[0]]}


def _candidates(results: Results, run: Run, *, is_size: bool) -> pd.DataFrame:
    """Return the trials of a run that may measure a number, the best first.

    Only finished trials of configurations without a stopped seed may, except for sizes of the
    network: they are known of every trial that the sweep requests, and trials without a value
    follow the ranked ones.
    """
    ranked = results.ranked[results.ranked["run"] == run.name]
    if not is_size:
        is_finished = results.is_fully_trained[ranked.index]
        return ranked[is_finished & ~has_stopped_seed(results)[ranked.index]]
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
    overrides: Overrides,
    *,
    is_size: bool,
    is_setting: bool,
) -> PublishedComparison:
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
    configurations = results.configurations
    is_seed = configurations == configurations[values_of_best.index[0]]
    seeds = results.trials[is_seed & results.is_requested]
    seeds = seeds[_meets(seeds, number.conditions, overrides)]
    matching_configurations = 0
    if number.has_conditions:
        matching_configurations = int(results.configurations.loc[values.index].nunique())
    return Measurement(
        mean=float(values_of_best.mean()) * scale,
        sd=sd * scale,
        trials=[int(trial) for trial in matching.loc[values_of_best.index, "trial"]],
        matching_configurations=matching_configurations,
        missing_seeds=len(seeds.index.difference(values_of_best.index)),
        shared_dependencies=shared_dependencies(results, values_of_best.index),
    )


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


class GroupedComparisons(NamedTuple):
    """Published numbers, by what their comparison says."""

    compared: list[PublishedComparison]
    """Measured at the report's own settings."""
    settings: list[PublishedComparison]
    """Sizes and settings with a metric: they do not depend on training."""
    others: list[PublishedComparison]
    """Not comparable, not run, or without a metric."""


def group_comparisons(comparisons: Sequence[PublishedComparison]) -> GroupedComparisons:
    """Divide published numbers into those that compare, sizes and settings, and others."""
    groups = GroupedComparisons([], [], [])
    for comparison in comparisons:
        if comparison.is_counted:
            groups.compared.append(comparison)
        elif comparison.verdict.is_judged and not comparison.is_measurement:
            groups.settings.append(comparison)
        else:
            groups.others.append(comparison)
    return groups
