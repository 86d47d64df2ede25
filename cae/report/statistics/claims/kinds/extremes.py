"""SmallestAt and LargestAt: the mean of a metric at one value against every other value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import pandas as pd

from cae.report import formatting
from cae.report.data.cells import is_missing
from cae.report.statistics.claims.comparison import GroupComparison, compare_groups, decide
from cae.report.statistics.claims.registry import judges
from cae.report.statistics.claims.trials import ClaimTrials, is_same_setting
from cae.report.statistics.claims.verdict import (
    ALPHA,
    NOT_TESTED,
    Claim,
    Judgment,
    NotTestable,
    Obstacle,
    ObstacleKind,
    Procedure,
)
from cae.report.statistics.inference import MeanDifference, holm


class RivalKind(StrEnum):
    """Why the evidence shows this one of the other values."""

    ONLY = "only"
    CLOSEST = "closest"
    LEAST_CERTAIN = "least certain"


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


@dataclass(frozen=True)
class _Comparisons:
    """The claimed value against each other value, by its text."""

    sign: int
    by_value: dict[str, GroupComparison]
    p_values: dict[str, float]
    """Holm's correction is applied. Values with too few seeds have none."""

    @property
    def better(self) -> list[str]:
        """The other values that are significantly more extreme: they contradict the claim."""
        return [text for text, p in self.p_values.items() if self.lead(text) < 0 and p < ALPHA]

    @property
    def uncertain(self) -> list[str]:
        return [text for text in self.by_value if not self.p_values.get(text, 1.0) < ALPHA]

    @property
    def rival(self) -> str:
        """The value that decides: one that contradicts, otherwise one that is not certain.

        A claim that is supported against every value is as certain as the least certain support.
        """
        candidates = self.better or self.uncertain
        if candidates:
            return min(candidates, key=self.lead)
        least_certain = max(self.p_values.values())
        candidates = [text for text, p in self.p_values.items() if p == least_certain]
        return min(candidates, key=self.lead)

    @property
    def rival_kind(self) -> RivalKind:
        if len(self.by_value) == 1:
            return RivalKind.ONLY
        is_closest = self.rival == min(self.by_value, key=self.lead)
        if self.better or (is_closest and not self.uncertain):
            return RivalKind.CLOSEST
        return RivalKind.LEAST_CERTAIN

    @property
    def untested(self) -> MeanDifference | None:
        """The first comparison with too few seeds, unless the claim is contradicted anyway."""
        if self.better:
            return None
        for comparison in self.by_value.values():
            if not comparison.difference.is_testable:
                return comparison.difference
        return None

    @property
    def trials(self) -> list[int]:
        trials: dict[int, None] = {}
        for comparison in self.by_value.values():
            trials |= dict.fromkeys(comparison.trials)
        return list(trials)

    def lead(self, text: str) -> float:
        """Return by how much the claimed value is more extreme than this one."""
        return self.sign * self.by_value[text].difference.value


@judges("SmallestAt", "LargestAt")
def extreme_at(trials: ClaimTrials, claim: Claim) -> Judgment:
    metric = str(claim["metric"])
    sign = 1
    if claim["kind"] == "SmallestAt":
        sign = -1
    values = trials.values(metric, claim.get("where") or {})
    comparisons = _compare_with_each_other_value(trials, claim, values, sign)
    rival = comparisons.rival
    untested = comparisons.untested
    comparison = comparisons.by_value[rival]
    decision = decide(
        comparison.difference,
        sign,
        p_value=comparisons.p_values.get(rival),
        is_testable=untested is None,
    )
    return Judgment(
        verdict=decision.verdict,
        evidence=ExtremeEvidence(
            metric=metric,
            axis=str(claim["axis"]),
            value=claim["value"],
            rival=rival,
            rival_kind=comparisons.rival_kind,
            other_values=len(comparisons.by_value),
            comparison=comparison,
            untested=untested,
        ),
        procedure=_procedure(comparisons),
        trials=comparisons.trials,
        effect=comparison.difference.value,
        direction=decision.direction,
        statistic=decision.statistic,
        p_value=decision.p_value,
    )


def _compare_with_each_other_value(
    trials: ClaimTrials, claim: Claim, values: pd.Series[float], sign: int
) -> _Comparisons:
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
    p_values = {}
    for text in others:
        other_values = values[~is_claimed & (texts == text)]
        comparison = compare_groups(trials, values[is_claimed], other_values, [axis])
        by_value[text] = comparison
        if comparison.difference.is_testable:
            p_values[text] = comparison.difference.p_value()
    return _Comparisons(sign, by_value, holm(p_values))


def _procedure(comparisons: _Comparisons) -> Procedure:
    if comparisons.untested is not None:
        return NOT_TESTED
    procedure = comparisons.by_value[comparisons.rival].procedure
    return replace(procedure, comparisons=len(comparisons.p_values))
