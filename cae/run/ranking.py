"""The ranking of a run's trials, within their comparability groups.

Imports neither ray nor torch: `best --quiet` has to respond quickly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cae.errors import UserError
from cae.run.groups import (
    Group,
    assign_groups,
    differences_text,
    group_labels,
    is_defined_equally,
)
from cae.run.metric_direction import Mode, metric_direction
from cae.run.records import Record
from cae.run.sweep_json import SweepDescription

MEASURED_SPLITS = ("val_", "test_")


@dataclass(frozen=True)
class RankedTrial:
    """A trial of a ranking."""

    record: Record
    epoch: int
    """The best epoch by the sweep's own metric: its weights are in the checkpoint."""
    value: float
    """The metric of the ranking in that epoch; NaN if a trial that was chosen by its number has
    none."""


@dataclass(frozen=True)
class GroupRanking:
    """The ranked trials of one comparability group."""

    group: Group
    label: str
    """The parameters in which the groups differ; empty if there is one group."""
    trials: list[RankedTrial]
    """The best one first."""


def rank_by_group(
    records: Iterable[Record], sweep: SweepDescription, metric: str, mode: Mode | None
) -> list[GroupRanking]:
    """Rank the trials of each comparability group by a metric; equal ones by number.

    A trial's value is that of its best epoch by the sweep's own metric, whose weights are in the
    checkpoint, or that of the final evaluation. The groups are in the order of `group_labels`.

    Args:
        records: The trials.
        sweep: The sweep that they belong to.
        metric: A metric of an epoch or of the final evaluation.
        mode: "min" or "max"; None: the declared direction of the metric.

    Raises UserError if no trial has a finite value of the metric, or if `mode` is None and the
    direction of the metric is unknown.
    """
    ranked = _ranked_trials(records, sweep, metric)
    if mode is None:
        mode = _direction(sweep, metric)
    members: dict[Group, list[RankedTrial]] = {}
    groups = assign_groups([trial.record for trial in ranked])
    for trial, group in zip(ranked, groups, strict=True):
        if group is not None:
            members.setdefault(group, []).append(trial)
    labels = group_labels(members)
    return [
        GroupRanking(group, label, _sorted(members[group], mode)) for group, label in labels.items()
    ]


def rank_across_groups(
    records: Iterable[Record], sweep: SweepDescription, metric: str, mode: Mode | None
) -> list[RankedTrial]:
    """Rank the trials of all groups together (see `rank_by_group` for the arguments).

    Raises UserError, too, if the metric does not have the same definition in all groups.
    """
    records = list(records)
    rankings = rank_by_group(records, sweep, metric, mode)
    all_rankings = rank_by_group(records, sweep, sweep.metric, sweep.mode)
    groups = [ranking.group for ranking in all_rankings]
    is_measured = {ranking.group for ranking in rankings} == set(groups)
    if len(groups) > 1 and not (is_measured and is_defined_equally(metric, groups)):
        raise UserError(f"--across-groups: {_why_not_across(all_rankings, sweep, metric)}")
    if mode is None:
        mode = _direction(sweep, metric)
    return _sorted([trial for ranking in rankings for trial in ranking.trials], mode)


def ranking(
    records: Iterable[Record], sweep: SweepDescription, metric: str, mode: Mode | None
) -> list[RankedTrial]:
    """Rank the trials of one comparability group (see `rank_by_group` for the arguments).

    Raises UserError, too, if the trials are in several groups.
    """
    rankings = rank_by_group(records, sweep, metric, mode)
    if len(rankings) > 1:
        differences = differences_text([ranking.group for ranking in rankings])
        raise UserError(
            f"--metric {metric}: the trials are in {len(rankings)} groups that are not comparable "
            f"with each other: they differ in {differences}"
        )
    return rankings[0].trials


def find_trial(
    records: Iterable[Record], sweep: SweepDescription, metric: str, number: int
) -> RankedTrial:
    """A trial by its number, with its best epoch.

    Raises UserError if there is no such trial, or if it has no best epoch.
    """
    by_number = {record.number: record for record in records}
    record = by_number.get(number)
    if record is None:
        known = "there are no trials"
        if by_number:
            known = f"there are trials {min(by_number)} to {max(by_number)}"
        raise UserError(f"--trial {number}: the run does not have it; {known}")
    epoch = None
    best = record.best(sweep.metric, sweep.mode)
    if best is not None:
        epoch = best.epoch
    elif record.end is not None and record.state.is_ranked:
        epoch = record.end.best_epoch
    if epoch is None:
        raise UserError(f"--trial {number}: it has no best epoch; its state is {record.state}")
    metrics = record.epochs.get(epoch, {}) | _final_metrics(record, epoch)
    return RankedTrial(record, epoch, metrics.get(metric, math.nan))


def _ranked_trials(
    records: Iterable[Record], sweep: SweepDescription, metric: str
) -> list[RankedTrial]:
    ranked: list[RankedTrial] = []
    metric_names: set[str] = set()
    records = list(records)
    for record in records:
        best = record.best(sweep.metric, sweep.mode)
        if best is None:
            continue
        metrics = record.epochs[best.epoch] | _final_metrics(record, best.epoch)
        metric_names |= set(metrics)
        value = metrics.get(metric, math.nan)
        if math.isfinite(value):
            ranked.append(RankedTrial(record, best.epoch, value))
    if not ranked:
        raise UserError(f"--metric {metric}: {_why_nothing_is_ranked(records, metric_names)}")
    return ranked


def _sorted(trials: list[RankedTrial], mode: str) -> list[RankedTrial]:
    sign = 1
    if mode == "max":
        sign = -1
    return sorted(trials, key=lambda trial: (sign * trial.value, trial.record.number))


def _direction(sweep: SweepDescription, metric: str) -> Mode:
    if metric == sweep.metric:
        return sweep.mode
    direction = metric_direction(metric, sweep.directions)
    if direction is None:
        raise UserError(
            f"--metric {metric}: it is not declared whether lower or higher values are better: "
            "add --mode min or --mode max"
        )
    return direction


def metrics_across_groups(rankings: Sequence[GroupRanking], sweep: SweepDescription) -> list[str]:
    """The metrics by which trials of all these groups can be ranked together.

    That of the sweep comes first and those of the test images, which are not for choosing a trial,
    last.
    """
    groups = [ranking.group for ranking in rankings]
    names_by_group: list[dict[str, None]] = []
    for ranking in rankings:
        names: dict[str, None] = {}
        for trial in ranking.trials:
            names |= dict.fromkeys(trial.record.epochs[trial.epoch])
            names |= dict.fromkeys(_final_metrics(trial.record, trial.epoch))
        names_by_group.append(names)
    shared = [
        name
        for name in names_by_group[0]
        if name.startswith(MEASURED_SPLITS)
        and metric_direction(name, sweep.directions) is not None
        and all(name in names for names in names_by_group)
        and is_defined_equally(name, groups)
    ]
    return sorted(shared, key=lambda name: (name != sweep.metric, name.startswith("test_")))


def _why_not_across(rankings: Sequence[GroupRanking], sweep: SweepDescription, metric: str) -> str:
    groups = [ranking.group for ranking in rankings]
    others = metrics_across_groups(rankings, sweep)
    hint = "no metric of these trials is"
    if others:
        hint = f"these are: {', '.join(others)} (--metric)"
    return (
        f"{metric} is not measured with one definition in all {len(groups)} groups, which differ "
        f"in {differences_text(groups)}; {hint}"
    )


def _final_metrics(record: Record, best_epoch: int) -> dict[str, float]:
    metrics = record.final_metrics_of(best_epoch)
    return {name: value for name, value in metrics.items() if isinstance(value, float)}


def _why_nothing_is_ranked(records: Sequence[Record], metric_names: set[str]) -> str:
    with_epochs = [record for record in records if record.epochs]
    if not with_epochs:
        return "no trial has finished an epoch"
    if not any(record.is_ranked for record in with_epochs):
        return "every trial that has finished an epoch failed or diverged, so none is ranked"
    return f"no trial has a finite value of it; metrics: {', '.join(sorted(metric_names))}"
