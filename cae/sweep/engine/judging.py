"""The judge of a sweep: which trials it compares, and which are exempt from early stopping."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace

from cae.run.groups import assign_groups
from cae.run.records import Record
from cae.sweep.schedulers.base import GroupJudge, Judge, NeverStop
from cae.sweep.schedulers.per_trial import CurveJudge
from cae.sweep.spec.plan import Plan


def create_judge(plan: Plan, groups: Mapping[int, str]) -> Judge:
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
    scheduler = plan.sweep.scheduler
    if scheduler is None:
        return NeverStop()
    create = functools.partial(
        scheduler.create_judge,
        epochs=plan.epochs,
        metric=plan.sweep.metric,
        mode=plan.mode,
        exempt={planned.number for planned in plan.trials if planned.is_dependency},
        audited=audit_trials(plan),
    )
    return GroupJudge(create, groups)


def groups_of_trials(plan: Plan, records: Mapping[int, Record]) -> dict[int, str]:
    """The keys of the comparability groups of all trials of the run that are not dependencies.

    Those of a search's candidates have negative numbers (see `candidate_number`).
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
    pairs = zip(numbers, groups, strict=True)
    return {number: group.key for number, group in pairs if group is not None}


def requested_groups(plan: Plan, groups: Mapping[int, str]) -> set[str]:
    """The keys of the comparability groups of the trials and candidates of a plan.

    Args:
        plan: The plan.
        groups: Those of `groups_of_trials`.
    """
    numbers = [planned.number for planned in plan.trials]
    if plan.search is not None:
        numbers += map(candidate_number, range(len(plan.search.candidates)))
    return {groups[number] for number in numbers if number in groups}


def candidate_number(index: int) -> int:
    """A number for a candidate of a search that is not a trial yet."""
    return -1 - index


def audit_trials(plan: Plan) -> set[int]:
    """The trials that are exempt from early stopping."""
    scheduler = plan.sweep.scheduler
    if scheduler is None or not plan.rungs:
        return set()
    audited: set[int] = set()
    for planned in plan.trials:
        if not planned.is_dependency and scheduler.is_audited(planned.hash):
            audited.add(planned.number)
    return audited
