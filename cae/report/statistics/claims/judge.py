"""Judging the claims of all runs."""

from __future__ import annotations

from cae.report.data.results import Results, Run
from cae.report.statistics.claims.kinds import all_judges
from cae.report.statistics.claims.trials import ClaimTrials
from cae.report.statistics.claims.verdict import (
    Claim,
    ClaimResult,
    Judgment,
    NotTestable,
    Obstacle,
    ObstacleKind,
    Verdict,
)


def judge_claims(results: Results) -> list[ClaimResult]:
    """Judge every claim of the runs."""
    judged = []
    for run in results.runs:
        for claim in run.sweep.claims:
            judged.append(judge_claim(results, run, claim))
    return judged


def judge_claim(results: Results, run: Run, claim: Claim) -> ClaimResult:
    trials = ClaimTrials(results, run)
    judgment = _judge(trials, claim)
    used = list(judgment.trials)
    seeds = 0
    overrides = {}
    if judgment.is_tested:
        seeds = int(results.configurations.loc[used].value_counts().min())
        overrides = run.sweep.overrides
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
        overrides=overrides,
    )


def _judge(trials: ClaimTrials, claim: Claim) -> Judgment:
    kind = claim.get("kind")
    try:
        judge = all_judges().get(str(kind))
        if judge is None:
            raise NotTestable(_unknown_kind(claim))
        return judge(trials, claim)
    except NotTestable as error:
        return Judgment(verdict=Verdict.NOT_TESTABLE, evidence=error.obstacle)


def _unknown_kind(claim: Claim) -> Obstacle:
    """Return why a claim without a judge is not testable: it is declared, or from a new version."""
    reason = claim.get("reason")
    if reason:
        return Obstacle(kind=ObstacleKind.DECLARED, text=str(reason))
    return Obstacle(kind=ObstacleKind.UNKNOWN_KIND, text=str(claim.get("kind")))
