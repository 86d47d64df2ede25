"""Creates the judge of a sweep: comparability groups, dependencies and audit trials."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace

from cae.run.groups import assign_groups
from cae.run.records import Record
from cae.sweep.schedulers.base import GroupJudge, Judge, NeverStop
from cae.sweep.schedulers.per_trial import CurveJudge
from cae.sweep.spec.plan import Plan
from cae.sweep.spec.planned_trial import PlannedTrial


def create_judge(plan: Plan, groups: Mapping[int, str]) -> Judge:
    """The judge of all rules of a sweep that stop single trials.

    Args:
        plan: The trials, and the rules of the sweep: scheduler, patience, worst value.
        groups: The key of the comparability group of each trial (see `groups_of_trials`).
    """
    judge = _create_group_judge(plan, groups)
    sweep = plan.sweep
    if sweep.patience is None and sweep.worst_value is None:
        return judge
    return CurveJudge(
        judge,
        metric=sweep.metric,
        mode=plan.mode,
        patience=sweep.patience,
        worst_value=sweep.worst_value,
    )


def _create_group_judge(plan: Plan, groups: Mapping[int, str]) -> Judge:
    """The judge of the scheduler, for each group; without a scheduler one that stops no trial."""
    scheduler = plan.sweep.scheduler
    # Some may also be requested for themselves; without its weights, the others cannot run.
    dependencies = {planned.number for planned in plan.trials if planned.is_dependency}
    for planned in plan.trials:
        dependencies |= set(planned.dependencies.values())
    if scheduler is None:
        return NeverStop(exempt=dependencies)
    create = functools.partial(
        scheduler.create_judge,
        epochs=plan.epochs,
        metric=plan.sweep.metric,
        mode=plan.mode,
        exempt=dependencies,
        audited=audit_trials(plan),
    )
    return GroupJudge(create, groups)


def groups_of_trials(plan: Plan, records: Mapping[int, Record]) -> dict[int, str]:
    """The key of the comparability group of each trial of the run, by number, without dependencies.

    The candidates of a search are included, with negative numbers (see `candidate_number`).
    """
    known = dict(records)
    planned_trials = list(plan.trials)
    if plan.search is not None:
        for index, candidate in enumerate(plan.search.candidates):
            planned_trials.append(replace(candidate, number=candidate_number(index)))
    for planned in planned_trials:
        record = Record(
            number=planned.number,
            hash=planned.hash,
            config=planned.trial.flat(),
            axes=planned.axes,
            sizes=planned.sizes,
            is_dependency=planned.is_dependency,
        )
        if planned.record is not None and planned.record.hash == planned.hash:
            record.describe_group(planned.record.group_description)
        record.describe_group(planned.group)
        known[planned.number] = record
    numbers = list(known)
    groups = assign_groups(list(known.values()))
    keys: dict[int, str] = {}
    for number, group in zip(numbers, groups, strict=True):
        if group is not None:
            keys[number] = group.key
    return keys


def trained_groups(plan: Plan, groups: Mapping[int, str]) -> set[str]:
    """The keys of the comparability groups in which the sweep trains, now or later.

    Args:
        plan: The trials that the sweep requests, and the candidates of its search.
        groups: The key of the comparability group of each trial (see `groups_of_trials`).
    """
    numbers = [planned.number for planned in plan.trials]
    if plan.search is not None:
        numbers += [candidate_number(index) for index in range(len(plan.search.candidates))]
    return {groups[number] for number in numbers if number in groups}


def candidate_number(index: int) -> int:
    """A number for a candidate of a search that is not a trial yet."""
    return -1 - index


def audit_trials(plan: Plan) -> set[int]:
    """The numbers of the audit trials (see `is_audit_trial`)."""
    return {planned.number for planned in plan.trials if is_audit_trial(plan, planned)}


def is_audit_trial(plan: Plan, planned: PlannedTrial) -> bool:
    """Whether a trial is exempt from early stopping, to measure what early stopping loses."""
    scheduler = plan.sweep.scheduler
    if scheduler is None or not plan.rungs or planned.is_dependency:
        return False
    return scheduler.is_audited(planned.hash)
