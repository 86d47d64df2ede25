"""Compares: two metrics of the same trials."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from cae.report.statistics.claims.comparison import Decision, decide, direction, verdict
from cae.report.statistics.claims.registry import EachGroup, judges
from cae.report.statistics.claims.trials import ClaimTrials
from cae.report.statistics.claims.verdict import (
    NOT_TESTED,
    Claim,
    Judgment,
    Method,
    NotTestable,
    Obstacle,
    ObstacleKind,
    Procedure,
    Unit,
)
from cae.report.statistics.inference import MeanDifference, paired_difference, wilcoxon

MIN_WILCOXON_TRIALS = 6
"""Fewer signed ranks cannot be significant; then a paired t-test is used."""


@dataclass(frozen=True)
class EpochRange:
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class MetricPairsEvidence:
    left: str
    right: str
    trials: int
    difference: MeanDifference
    claimed_epochs: EpochRange | None
    """None: at the best epoch of each trial."""
    epochs: EpochRange | None
    """Those of the claimed epochs that were measured."""
    signed_rank_interval: tuple[float, float] | None = None
    """95 % interval of the typical difference; None if a t-test was used."""


@dataclass(frozen=True)
class _Pairs:
    values: pd.DataFrame
    """Columns `left` and `right`, one row per trial."""
    epochs: EpochRange | None = None


@judges("Compares", each_group=EachGroup.IF_DEFINITIONS_DIFFER)
def compares(trials: ClaimTrials, claim: Claim) -> Judgment:
    left = str(claim["left"])
    right = str(claim["right"])
    sign = 1
    if claim["op"] == "<":
        sign = -1
    claimed_epochs = None
    if claim.get("epochs"):
        claimed_epochs = EpochRange(*claim["epochs"])
    where = claim.get("where") or {}
    left_values = trials.values(left, where)
    right_values = trials.values(right, where)
    pairs = _Pairs(pd.DataFrame({"left": left_values, "right": right_values}).dropna())
    if claimed_epochs is not None:
        pairs = _means_over_epochs(trials, pairs.values.index, left, right, claimed_epochs)
    values = pairs.values
    if not len(values):
        raise NotTestable(Obstacle(kind=ObstacleKind.NO_COMMON_TRIAL, names=[left, right]))
    difference = paired_difference(values["left"].to_numpy(), values["right"].to_numpy())
    procedure = Procedure(method=Method.PAIRED_T, unit=Unit.TRIALS, count=len(values))
    effect = difference.value
    if not difference.is_testable:
        procedure = NOT_TESTED
    decision = decide(difference, sign)
    interval = None
    if len(values) >= MIN_WILCOXON_TRIALS and (values["left"] != values["right"]).any():
        # The mean may have another sign than most differences: its sign would not fit the test.
        test = wilcoxon(values["left"].to_numpy(), values["right"].to_numpy())
        procedure = replace(procedure, method=Method.WILCOXON)
        effect = test.pseudomedian
        interval = test.interval
        decision = Decision(
            verdict=verdict(sign * test.statistic, test.p_value),
            direction=direction(sign * test.statistic),
            statistic=test.statistic,
            p_value=test.p_value,
        )
    return Judgment(
        verdict=decision.verdict,
        evidence=MetricPairsEvidence(
            left=left,
            right=right,
            trials=len(values),
            difference=difference,
            claimed_epochs=claimed_epochs,
            epochs=pairs.epochs,
            signed_rank_interval=interval,
        ),
        procedure=procedure,
        trials=list(values.index),
        effect=effect,
        direction=decision.direction,
        statistic=decision.statistic,
        p_value=decision.p_value,
    )


def _means_over_epochs(
    trials: ClaimTrials, used: pd.Index[int], left: str, right: str, claimed: EpochRange
) -> _Pairs:
    """Return the means of both metrics over the epochs in which both were measured."""
    epochs = trials.results.epochs
    numbers = trials.results.trials.loc[used, "trial"]
    is_used = (epochs["run"] == trials.run.name) & epochs["trial"].isin(numbers)
    is_claimed = epochs["epoch"].between(claimed.first, claimed.last)
    rows = epochs[is_used & is_claimed]
    if left in rows and right in rows:
        rows = rows[["trial", "epoch", left, right]].dropna()
    else:
        rows = rows.head(0)
    if not len(rows):
        raise NotTestable(
            Obstacle(
                kind=ObstacleKind.NO_COMMON_TRIAL,
                names=[left, right],
                epochs=(claimed.first, claimed.last),
            )
        )
    means = rows.groupby("trial")[[left, right]].mean()
    means = means.reindex(numbers).set_index(numbers.index).dropna()
    measured = EpochRange(int(rows["epoch"].min()), int(rows["epoch"].max()))
    return _Pairs(means.set_axis(["left", "right"], axis=1), measured)
