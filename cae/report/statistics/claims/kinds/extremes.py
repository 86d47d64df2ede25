"""SmallestAt and LargestAt: the mean of a metric at one value against every other value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from cae.report import formatting
from cae.report.data.cells import is_missing
from cae.report.statistics.claims.comparison import GroupComparison, compare_groups, decide
from cae.report.statistics.claims.registry import judges
from cae.report.statistics.claims.rivals import Comparisons, RivalKind
from cae.report.statistics.claims.trials import ClaimTrials, is_same_setting
from cae.report.statistics.claims.verdict import (
    NOT_TESTED,
    Claim,
    Judgment,
    Method,
    NotTestable,
    Obstacle,
    ObstacleKind,
    Procedure,
)
from cae.report.statistics.inference import MeanDifference


@dataclass(frozen=True, kw_only=True)
class ExtremeEvidence:
    metric: str
    axis: str
    value: Any
    """The value at which the metric is claimed to be smallest or largest."""
    rival: str
    """The other value that decides the claim, as text."""
    rival_kind: RivalKind
    other_values: int
    comparison: GroupComparison
    """The claimed value against the rival."""
    untested: MeanDifference | None
    """A comparison with too few seeds for a test, if that leaves the claim undecided."""


@judges("SmallestAt", "LargestAt")
def extreme_at(trials: ClaimTrials, claim: Claim) -> Judgment:
    metric = str(claim["metric"])
    sign = 1
    if claim["kind"] == "SmallestAt":
        sign = -1
    values = trials.values(metric, claim.get("where") or {})
    by_value = _compare_with_each_other_value(trials, claim, values)
    used: dict[int, None] = {}  # an ordered set
    for compared in by_value.values():
        used |= dict.fromkeys(compared.trials)
    is_size = trials.is_size(metric, used)
    differences = {text: comparison.difference for text, comparison in by_value.items()}
    comparisons = Comparisons(sign, differences, are_certain=is_size)
    rival = comparisons.deciding
    untested = comparisons.untested
    comparison = by_value[rival]
    decision = decide(
        comparison.difference,
        sign,
        p_value=comparisons.p_values.get(rival),
        is_testable=untested is None,
        is_certain=is_size,
    )
    procedure = NOT_TESTED
    if is_size:
        procedure = Procedure(method=Method.NOT_NEEDED)
    elif untested is None:
        procedure = replace(comparison.procedure, comparisons=len(comparisons.p_values))
    return Judgment(
        verdict=decision.verdict,
        evidence=ExtremeEvidence(
            metric=metric,
            axis=str(claim["axis"]),
            value=claim["value"],
            rival=rival,
            rival_kind=comparisons.rival_kind,
            other_values=len(by_value),
            comparison=comparison,
            untested=untested,
        ),
        procedure=procedure,
        trials=list(used),
        effect=comparison.difference.value,
        direction=decision.direction,
        statistic=decision.statistic,
        p_value=decision.p_value,
    )


def _compare_with_each_other_value(
    trials: ClaimTrials, claim: Claim, values: pd.Series[float]
) -> dict[str, GroupComparison]:
    """The claimed value against each other value, by its text."""
    axis = str(claim["axis"])
    settings = trials.settings(values.index, axis)
    is_claimed = settings.map(lambda setting: is_same_setting(setting, claim["value"])).astype(bool)
    texts = settings.map(formatting.parameter)
    is_other = ~is_claimed & ~settings.map(is_missing).astype(bool)
    others = list(dict.fromkeys(texts[is_other]))
    if not is_claimed.any() or not others:
        kind = ObstacleKind.NO_TRIAL_AT_VALUE
        if is_claimed.any():
            kind = ObstacleKind.ONLY_TRIALS_AT_VALUE
        raise NotTestable(Obstacle(kind=kind, conditions={axis: claim["value"]}))
    by_value = {}
    for text in others:
        other_values = values[~is_claimed & (texts == text)]
        by_value[text] = compare_groups(trials, values[is_claimed], other_values, [axis])
    return by_value
