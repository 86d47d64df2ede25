"""RisesWith, FallsWith and CorrelatesWith: rank correlations of a metric with another quantity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cae.report.statistics.claims.comparison import direction, verdict
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
    Unit,
)
from cae.report.statistics.inference import RankCorrelation, rank_correlation

MAX_SEEDS = 99
"""Largest number of seeds that is considered for a sufficient sample."""


@dataclass(frozen=True)
class MeanAtSetting:
    setting: float
    mean: float


@dataclass(frozen=True, kw_only=True)
class Trend:
    """The means of a metric at the settings of an axis."""

    first: MeanAtSetting
    """At the smallest setting."""
    last: MeanAtSetting
    settings: int
    reversals: int
    """From one setting to the next, how often the mean changes against the claim."""
    has_equal_settings: bool
    """Whether the trials are compared within configurations that are equal in all other
    settings."""
    sufficient_seeds: int | None
    """Seeds per setting that could be significant; None if there are several configurations."""


@dataclass(frozen=True, kw_only=True)
class RankCorrelationEvidence:
    metric: str
    other: str
    at_epoch: int | None
    correlation: RankCorrelation
    observations: int
    """Number of correlated pairs: of configurations, each with its mean over the seeds, unless the
    trials differ in nothing but the other quantity and the seed."""
    is_over_configurations: bool
    trend: Trend | None = None
    """Of RisesWith and FallsWith."""

    @property
    def can_be_significant(self) -> bool:
        """Whether there are enough trials for a significant correlation."""
        return self.correlation.min_p_value < ALPHA


@judges("RisesWith", "FallsWith")
def rises_or_falls(trials: ClaimTrials, claim: Claim) -> Judgment:
    """Judge a trend within configurations that differ only in the axis, if there are any."""
    axis = str(claim["axis"])
    sign = -1
    if claim["kind"] == "RisesWith":
        sign = 1
    values = trials.values(str(claim["metric"]), claim.get("where") or {}, claim.get("at_epoch"))
    settings = trials.numbers(values.index, axis)
    if settings.nunique() < 2:
        only = {axis: settings.iloc[0]}
        raise NotTestable(Obstacle(kind=ObstacleKind.ONLY_TRIALS_AT_VALUE, conditions=only))
    blocks = pd.Series({trial: trials.other_settings(trial, [axis]) for trial in values.index})
    settings_in_block = settings.groupby(blocks).transform("nunique")
    comparable_blocks = blocks[settings_in_block > 1]
    has_equal_settings = bool(len(comparable_blocks))
    if has_equal_settings:
        blocks = comparable_blocks
    else:
        blocks = _strata(trials, settings, axis)
    used = list(blocks.index)
    values = values[used]
    is_over_configurations = not has_equal_settings
    if is_over_configurations:
        values = trials.mean_per_configuration(values)
    blocks = blocks[values.index]
    settings = settings[values.index]
    sufficient_seeds = None
    if has_equal_settings and blocks.nunique() == 1:
        sufficient_seeds = _sufficient_seeds(settings.nunique())
    means = values.groupby(settings).mean()
    trend = Trend(
        first=MeanAtSetting(means.index[0], means.iloc[0]),
        last=MeanAtSetting(means.index[-1], means.iloc[-1]),
        settings=len(means),
        reversals=int((sign * np.diff(means.to_numpy()) < 0).sum()),
        has_equal_settings=has_equal_settings,
        sufficient_seeds=sufficient_seeds,
    )
    pairs = _Pairs(settings, values, blocks.tolist(), used, is_over_configurations)
    return _judge(claim, axis, pairs, sign, trend)


def _strata(trials: ClaimTrials, x: pd.Series[float], name: str) -> pd.Series[str]:
    """Return the stratum of each trial (see `ClaimTrials.stratum`).

    Trials whose stratum has a single value of `name` are left out: it correlates with nothing.
    """
    strata = pd.Series({trial: trials.stratum(trial, [name]) for trial in x.index}, dtype=object)
    is_constant = x.groupby(strata).transform("nunique") < 2
    if is_constant.all():
        raise NotTestable(Obstacle(kind=ObstacleKind.NO_COMMON_GROUP, names=[name]))
    return strata[~is_constant]


def _sufficient_seeds(settings: int) -> int:
    """Return the smallest number of seeds per setting for which a perfect trend is significant."""
    for seeds in range(1, MAX_SEEDS):
        orders_within_settings = math.factorial(seeds) ** settings
        if 2 * orders_within_settings < ALPHA * math.factorial(seeds * settings):
            return seeds
    return MAX_SEEDS


@judges("CorrelatesWith")
def correlates_with(trials: ClaimTrials, claim: Claim) -> Judgment:
    other = str(claim["other"])
    where = claim.get("where") or {}
    epoch = claim.get("at_epoch")
    sign = -1
    if claim["sign"] == "positive":
        sign = 1
    values = trials.values(str(claim["metric"]), where, epoch)
    if epoch and other in trials.results.epochs:
        other_values = trials.values(other, where, epoch).reindex(values.index).dropna()
        values = values[other_values.index]
    else:
        other_values = trials.numbers(values.index, other)
    if other_values.nunique() < 2:
        raise NotTestable(
            Obstacle(kind=ObstacleKind.CONSTANT, names=[other], count=len(other_values))
        )
    strata = _strata(trials, other_values, other)
    used = list(strata.index)
    values = values[used]
    other_values = other_values[used]
    is_over_configurations = trials.results.configurations[used].nunique() > 1
    if is_over_configurations:
        values = trials.mean_per_configuration(values)
        other_values = trials.mean_per_configuration(other_values)
    blocks = strata[values.index].tolist()
    pairs = _Pairs(other_values, values, blocks, used, is_over_configurations)
    return _judge(claim, other, pairs, sign)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """What is correlated: one row per configuration or per trial."""

    other: pd.Series[float]
    metric: pd.Series[float]
    blocks: list[str]
    """The correlation is within equal ones."""
    trials: list[int]
    """Rows of the table of trials that were used."""
    is_over_configurations: bool

    @property
    def unit(self) -> Unit | None:
        """None if no mean over seeds was taken."""
        if len(self.metric) < len(self.trials):
            return Unit.MEANS
        return None


def _judge(
    claim: Claim, other: str, pairs: _Pairs, sign: int, trend: Trend | None = None
) -> Judgment:
    correlation = rank_correlation(pairs.other.to_numpy(), pairs.metric.to_numpy(), pairs.blocks)
    effect = sign * correlation.coefficient
    return Judgment(
        verdict=verdict(effect, correlation.p_value),
        evidence=RankCorrelationEvidence(
            metric=str(claim["metric"]),
            other=other,
            at_epoch=claim.get("at_epoch"),
            correlation=correlation,
            observations=len(pairs.metric),
            is_over_configurations=pairs.is_over_configurations,
            trend=trend,
        ),
        procedure=Procedure(
            method=Method.SPEARMAN,
            unit=pairs.unit,
            count=len(pairs.metric),
            is_within_configurations=len(set(pairs.blocks)) > 1,
            is_exact=correlation.is_exact,
        ),
        trials=pairs.trials,
        effect=correlation.coefficient,
        direction=direction(effect),
        statistic=correlation.coefficient,
        p_value=correlation.p_value,
    )
