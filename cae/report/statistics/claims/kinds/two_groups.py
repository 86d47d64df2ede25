"""BetterThan and NoDifference: the means of a metric in two groups of trials."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cae.report.statistics.claims.comparison import GroupComparison, compare_groups, decide
from cae.report.statistics.claims.registry import judges
from cae.report.statistics.claims.trials import ClaimTrials
from cae.report.statistics.claims.verdict import (
    ALPHA,
    Claim,
    Judgment,
    Method,
    NotTestable,
    Obstacle,
    ObstacleKind,
    Procedure,
    Verdict,
)
from cae.report.statistics.inference import MeanDifference
from cae.report.statistics.published import direction_in


@dataclass(frozen=True, kw_only=True)
class TwoGroupsEvidence:
    metric: str
    comparison: GroupComparison
    margin: float
    """Claimed minimum of the difference, or its maximum for equality."""
    is_equivalence: bool
    """Whether the groups are claimed to be equal within the margin."""
    shift: float = 0.0
    """The claimed minimum with the sign of a better first group: with it, the difference is tested.
    0 for equality."""


@judges("BetterThan")
def better_than(trials: ClaimTrials, claim: Claim) -> Judgment:
    metric = str(claim["metric"])
    margin = float(claim.get("margin") or 0)
    mode = claim.get("mode") or direction_in(trials.results, metric)
    if mode is None:
        raise NotTestable(Obstacle(kind=ObstacleKind.UNKNOWN_DIRECTION, names=[metric]))
    sign = 1
    if mode == "min":
        sign = -1
    comparison = _compare(trials, claim)
    procedure = comparison.procedure
    is_size = trials.is_size(metric, comparison.trials)
    if is_size:
        procedure = Procedure(method=Method.NOT_NEEDED)
    decision = decide(comparison.difference, sign, shift=sign * margin, is_certain=is_size)
    return Judgment(
        verdict=decision.verdict,
        evidence=TwoGroupsEvidence(
            metric=metric,
            comparison=comparison,
            margin=margin,
            is_equivalence=False,
            shift=sign * margin,
        ),
        procedure=procedure,
        trials=comparison.trials,
        effect=comparison.difference.value,
        direction=decision.direction,
        statistic=decision.statistic,
        p_value=decision.p_value,
    )


@judges("NoDifference")
def no_difference(trials: ClaimTrials, claim: Claim) -> Judgment:
    """Judge whether two groups are equal within a margin, by two one-sided tests (TOST)."""
    margin = float(claim["margin"])
    comparison = _compare(trials, claim)
    difference = comparison.difference
    untested = Judgment(
        verdict=Verdict.UNDECIDED,
        evidence=TwoGroupsEvidence(
            metric=str(claim["metric"]), comparison=comparison, margin=margin, is_equivalence=True
        ),
        trials=comparison.trials,
        effect=difference.value,
    )
    if not difference.is_testable:
        return untested
    test = _equivalence_test(difference, margin)
    return replace(
        untested,
        verdict=test.verdict,
        procedure=replace(comparison.procedure, is_equivalence=True),
        statistic=test.statistic,
        p_value=test.p_value,
    )


def _compare(trials: ClaimTrials, claim: Claim) -> GroupComparison:
    metric = str(claim["metric"])
    where = claim.get("where") or {}
    first = trials.values(metric, {**where, **claim["this"]})
    second = trials.values(metric, {**where, **claim["that"]})
    return compare_groups(trials, first, second, [*claim["this"], *claim["that"]])


@dataclass(frozen=True)
class _EquivalenceTest:
    verdict: Verdict
    statistic: float
    p_value: float


def _equivalence_test(difference: MeanDifference, margin: float) -> _EquivalenceTest:
    above_low = difference.t(-margin)  # positive if the difference is above the lower bound
    above_high = difference.t(margin)
    p_within = max(difference.p_above(-margin), difference.p_below(margin))
    p_beyond = 2 * min(difference.p_below(-margin), difference.p_above(margin))
    within = min(above_low, -above_high)
    if p_within < ALPHA:
        return _EquivalenceTest(Verdict.SUPPORTED, within, p_within)
    if p_beyond < ALPHA:
        beyond = max(-above_low, above_high)
        return _EquivalenceTest(Verdict.CONTRADICTED, beyond, p_beyond)
    return _EquivalenceTest(Verdict.UNDECIDED, within, p_within)
