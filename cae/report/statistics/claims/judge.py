"""Judging the claims of all runs.

Trials of different comparability groups are only compared if the claim contrasts the parameters in
which these groups differ, and by metrics that have the same definition in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cae.report.data.results import Results, Run
from cae.report.statistics.claims.kinds import all_judges
from cae.report.statistics.claims.needs import find_need
from cae.report.statistics.claims.registry import EACH_GROUP, EachGroup, Judge
from cae.report.statistics.claims.trials import ClaimTrials
from cae.report.statistics.claims.verdict import (
    ALPHA,
    Claim,
    ClaimResult,
    Judgment,
    NotTestable,
    Obstacle,
    ObstacleKind,
    Verdict,
)
from cae.report.statistics.inference import false_discovery_rates
from cae.report.statistics.shared_dependencies import shared_dependencies
from cae.run.groups import Group, differences_text, group_labels, is_defined_equally

METRIC_FIELDS = ("metric", "left", "right", "other")
"""Fields of claims that name a metric or another column."""


def judge_claims(results: Results) -> list[ClaimResult]:
    """Judge every claim of the runs. Their q values are over all of these claims."""
    judged = []
    for run in results.runs:
        for claim in run.sweep.claims:
            result = judge_claim(results, run, claim)
            judged.append(replace(result, need=find_need(results, run, result)))
    p_values: list[float] = []
    for result in judged:
        if result.judgment.p_value is not None:
            p_values.append(result.judgment.p_value)
    rates = iter(false_discovery_rates(p_values))
    with_rates: list[ClaimResult] = []
    for result in judged:
        if result.judgment.p_value is not None:
            result = replace(result, q_value=next(rates))
        with_rates.append(result)
    return with_rates


def judge_claim(results: Results, run: Run, claim: Claim) -> ClaimResult:
    trials = ClaimTrials(results, run)
    judgment = _judge(trials, claim)
    used = list(judgment.trials)
    seeds = 0
    overrides: dict[str, Mapping[str, Any]] = {}
    shared: list[int] = []
    if judgment.is_tested:
        shared = shared_dependencies(results, used)
        seeds = int(results.configurations.loc[used].value_counts().min())
        names = [str(claim.get("axis", ""))]
        for field in ("this", "that", "where"):
            names += claim.get(field) or {}
        for trial in used:
            overrides |= trials.own_overrides(trial, names)
        overrides |= run.sweep.overrides
    groups = _groups(trials, used)
    return ClaimResult(
        run=run.name,
        id=str(claim.get("id", "")),
        kind=str(claim.get("kind", "")),
        text=str(claim.get("text", "")),
        provenance=str(claim.get("provenance", "")),
        judgment=judgment,
        trials=sorted(int(str(results.trials.at[trial, "trial"])) for trial in used),
        seeds=seeds,
        left_out=list(trials.left_out.values()),
        shared_dependencies=shared,
        overrides=overrides,
        groups=list(group_labels(groups).values()),
        group_differences=differences_text(groups),
        explanation=str(claim.get("explanation", "")),
        is_published=bool(run.sweep.published),
    )


def _judge(trials: ClaimTrials, claim: Claim) -> Judgment:
    kind = str(claim.get("kind"))
    try:
        judge = all_judges().get(kind)
        if judge is None:
            raise NotTestable(_unknown_kind(claim))
        each_group = EACH_GROUP.get(kind, EachGroup.NEVER)
        if each_group == EachGroup.ALWAYS:
            return _judge_each_group(trials, claim, judge)
        judgment = judge(trials, claim)
        groups = _groups(trials, judgment.trials)
        different = _differently_defined(trials, claim, groups)
        if not different:
            return judgment
        if each_group == EachGroup.IF_DEFINITIONS_DIFFER:
            return _judge_each_group(trials, claim, judge)
        obstacle = Obstacle(
            kind=ObstacleKind.OTHER_DEFINITION, names=[different], text=differences_text(groups)
        )
        raise NotTestable(obstacle)
    except NotTestable as error:
        return Judgment(verdict=Verdict.NOT_TESTABLE, evidence=error.obstacle)


def _groups(trials: ClaimTrials, rows: Sequence[int]) -> list[Group]:
    """Return the comparability groups of some trials, in the order of the table of trials."""
    return list(dict.fromkeys(trials.groups[row] for row in sorted(rows) if row in trials.groups))


def _differently_defined(trials: ClaimTrials, claim: Claim, groups: list[Group]) -> str:
    """Return a metric of the claim that is not defined equally in all groups; otherwise empty."""
    if len(groups) < 2:
        return ""
    metrics = trials.results.epochs.columns
    for field in METRIC_FIELDS:
        name = str(claim.get(field, ""))
        is_metric = name.startswith(("train_", "val_", "test_", "last_")) or name in metrics
        if is_metric and not is_defined_equally(name, groups):
            return name
    return ""


# One judgment per group


@dataclass(frozen=True)
class _GroupJudgment:
    group: Group
    judgment: Judgment


def _judge_each_group(trials: ClaimTrials, claim: Claim, judge: Judge) -> Judgment:
    """Judge a claim in each comparability group that has trials for it.

    The claim is supported if it is supported in each group (an intersection-union test, which needs
    no correction), and contradicted if it is contradicted in one of them with Bonferroni's
    correction.
    """
    in_groups: list[_GroupJudgment] = []
    for group in _groups(trials, list(trials.requested.index)):
        of_group = ClaimTrials(trials.results, trials.run, group)
        try:
            judgment = judge(of_group, claim)
        except NotTestable:
            continue
        finally:
            trials.left_out.update(of_group.left_out)
        in_groups.append(_GroupJudgment(group, judgment))
    if not in_groups:
        return judge(trials, claim)  # raises NotTestable with the reason
    if len(in_groups) == 1:
        return in_groups[0].judgment
    return _combine(in_groups)


def _combine(in_groups: list[_GroupJudgment]) -> Judgment:
    labels = group_labels([item.group for item in in_groups])
    used = [trial for item in in_groups for trial in item.judgment.trials]
    deciding = _deciding(in_groups)
    verdict = deciding.judgment.verdict
    p_value = deciding.judgment.p_value
    if verdict == Verdict.CONTRADICTED and p_value is not None:
        p_value = min(1.0, p_value * len(in_groups))
        if not p_value < ALPHA:
            verdict = Verdict.UNDECIDED
    return replace(
        deciding.judgment,
        verdict=verdict,
        p_value=p_value,
        trials=used,
        deciding_group=labels[deciding.group],
    )


def _deciding(in_groups: list[_GroupJudgment]) -> _GroupJudgment:
    """Return the group that decides: the most certain contradiction, or the least certain support.

    A judgment without a p value is about a number that needs no test, or on too few trials.
    """
    contradicting = [item for item in in_groups if item.judgment.verdict == Verdict.CONTRADICTED]
    if contradicting:
        return min(contradicting, key=lambda item: item.judgment.p_value or 0.0)
    undecided = [item for item in in_groups if item.judgment.verdict != Verdict.SUPPORTED]
    return max(undecided or in_groups, key=lambda item: item.judgment.p_value or 0.0)


def _unknown_kind(claim: Claim) -> Obstacle:
    """Return why a claim without a judge is not testable: it is declared, or from a new version."""
    reason = claim.get("reason")
    if reason:
        return Obstacle(kind=ObstacleKind.DECLARED, text=str(reason))
    return Obstacle(kind=ObstacleKind.UNKNOWN_KIND, text=str(claim.get("kind")))
