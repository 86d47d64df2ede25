"""Threshold: a metric of the best configuration that meets the conditions against a bound."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cae.report.statistics.claims.comparison import decide, t_test
from cae.report.statistics.claims.registry import EachGroup, judges
from cae.report.statistics.claims.trials import ClaimTrials
from cae.report.statistics.claims.verdict import (
    NOT_TESTED,
    Claim,
    Direction,
    Judgment,
    Method,
    NotTestable,
    Obstacle,
    ObstacleKind,
    Procedure,
    Unit,
    Verdict,
)
from cae.report.statistics.inference import MeanDifference, paired_difference

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, kw_only=True)
class ThresholdEvidence:
    metric: str
    op: str
    bound: float
    difference: MeanDifference
    """Mean over the seeds minus the bound."""
    matching_configurations: int


@judges("Threshold", each_group=EachGroup.ALWAYS)
def threshold(trials: ClaimTrials, claim: Claim) -> Judgment:
    metric = str(claim["metric"])
    op = str(claim["op"])
    bound = float(claim["bound"])
    overrides = trials.run.sweep.overrides
    if claim.get("as_published") and overrides:
        raise NotTestable(Obstacle(kind=ObstacleKind.OTHER_SETTINGS, overrides=overrides))
    values = trials.values(metric, claim.get("where") or {})
    if claim.get("as_published"):
        values = _with_settings_of_report(trials, values, claim.get("where") or {})
    seeds = values[trials.results.same_configuration(values.index)]
    difference = paired_difference(seeds.to_numpy(), np.full(len(seeds), bound))
    is_size = trials.is_size(metric, seeds.index)
    configurations = trials.results.configurations.loc[values.index]
    evidence = ThresholdEvidence(
        metric=metric,
        op=op,
        bound=bound,
        difference=difference,
        matching_configurations=int(configurations.nunique()),
    )
    if is_size:
        verdict = Verdict.CONTRADICTED
        direction = Direction.OPPOSITE
        if OPERATORS[op](difference.first_mean, bound):
            verdict = Verdict.SUPPORTED
            direction = Direction.AS_CLAIMED
        return Judgment(
            verdict=verdict,
            evidence=evidence,
            procedure=Procedure(method=Method.NOT_NEEDED),
            trials=list(seeds.index),
            effect=difference.value,
            direction=direction,
        )
    sign = 1
    if op.startswith("<"):
        sign = -1
    procedure = NOT_TESTED
    if difference.is_testable:
        procedure = Procedure(
            method=t_test(difference, Method.ONE_SAMPLE_T), unit=Unit.SEEDS, count=len(seeds)
        )
    decision = decide(difference, sign)
    return Judgment(
        verdict=decision.verdict,
        evidence=evidence,
        procedure=procedure,
        trials=list(seeds.index),
        effect=difference.value,
        direction=decision.direction,
        statistic=decision.statistic,
        p_value=decision.p_value,
    )


def _with_settings_of_report(
    trials: ClaimTrials, values: pd.Series[float], where: Mapping[str, object]
) -> pd.Series[float]:
    """Return the values of the trials that have the settings of the report.

    Raises NotTestable if all are of earlier commands with other settings.
    """
    own = {trial: trials.own_overrides(trial, where) for trial in values.index}
    with_settings = [trial for trial in values.index if not own[trial]]
    if not with_settings:
        changed = own[values.index[0]]
        raise NotTestable(Obstacle(kind=ObstacleKind.OTHER_SETTINGS, overrides=changed))
    return values[with_settings]
