"""MoreImportantThan: the importance of one parameter against that of others.

In each bootstrap, the importance of the parameter is compared with those of all others. The claim
is contradicted if the most important of the others is more important: by a normal test with the
standard error of the bootstraps, corrected for the number of the others, of which it is the largest
(Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from cae.report.data.axis import make_axis
from cae.report.data.parameters import (
    confounded_parameters,
    has_several_values,
    varying_parameters,
)
from cae.report.statistics.claims.comparison import direction
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
    Verdict,
)
from cae.report.statistics.importance import to_matrix
from cae.report.statistics.inference import UPPER_QUANTILE, Floats, bootstrap_importance

BOOTSTRAPS = 199
MIN_CONFIGURATIONS = 20
"""With fewer configurations, too few are left out of a bootstrap."""


@dataclass(frozen=True)
class Lead:
    """By how much one parameter is more important than the most important of the others."""

    importance: float
    rival: str
    rival_importance: float
    p_larger: float
    """Two-sided p value of being more important than all others."""
    p_smaller: float
    """Two-sided p value of being less important than the rival, which is the largest of several."""
    interval: tuple[float, float] = (math.nan, math.nan)
    """95 % of the bootstraps: by how much the parameter is more important than the rival."""

    @property
    def value(self) -> float:
        return self.importance - self.rival_importance

    @property
    def verdict(self) -> Verdict:
        if self.p_larger < ALPHA and self.value > 0:
            return Verdict.SUPPORTED
        if self.p_smaller < ALPHA and self.value < 0:
            return Verdict.CONTRADICTED
        return Verdict.UNDECIDED

    @property
    def p_value(self) -> float:
        if self.value < 0:
            return self.p_smaller
        return self.p_larger


@dataclass(frozen=True, kw_only=True)
class MoreImportantEvidence:
    metric: str
    axis: str
    at_epoch: int | None
    configurations: int
    others: int
    """Number of the other parameters."""
    lead: Lead | None = None
    """None if there are too few configurations."""


@judges("MoreImportantThan")
def more_important(trials: ClaimTrials, claim: Claim) -> Judgment:
    metric = str(claim["metric"])
    axis = str(claim["axis"])
    values = trials.values(metric, claim.get("where") or {}, claim.get("at_epoch"))
    used = list(values.index)
    named_others = [str(name) for name in claim.get("others", [])]
    settings = _varying_settings(trials, values, [axis, *named_others])
    # Another seed of a configuration in the bootstrap would predict those that are left out.
    values = trials.mean_per_configuration(values)
    # One order for all claims, so that they share the bootstraps.
    names = sorted(settings)
    others = [name for name in named_others or names if name != axis]
    if not others:
        raise NotTestable(Obstacle(kind=ObstacleKind.NOTHING_ELSE_VARIES, names=[axis]))
    _check_confounding(trials, values, [axis, *others])
    evidence = MoreImportantEvidence(
        metric=metric,
        axis=axis,
        at_epoch=claim.get("at_epoch"),
        configurations=len(values),
        others=len(others),
    )
    judgment = Judgment(verdict=Verdict.UNDECIDED, evidence=evidence, trials=used)
    if len(values) < MIN_CONFIGURATIONS:
        return judgment
    columns = [settings[name][values.index] for name in names]
    bootstraps = _bootstraps(trials, columns, names, values)
    lead = find_lead(bootstraps, names, axis, others)
    return replace(
        judgment,
        verdict=lead.verdict,
        evidence=replace(evidence, lead=lead),
        procedure=Procedure(method=Method.FOREST, unit=Unit.BOOTSTRAPS, count=BOOTSTRAPS),
        effect=lead.value,
        direction=direction(lead.value),
        statistic=lead.value,
        p_value=lead.p_value,
    )


def _varying_settings(
    trials: ClaimTrials, values: pd.Series[float], named: Sequence[str]
) -> dict[str, pd.Series[Any]]:
    """Return the settings of the named parameters and of all others that vary.

    Raises NotTestable if a named one does not vary.
    """
    varying = varying_parameters(trials.results, trials.requested.loc[values.index])
    settings = {name: trials.settings(values.index, name) for name in [*named, *varying]}
    for name in named:
        if not has_several_values(settings[name]):
            raise NotTestable(Obstacle(kind=ObstacleKind.CONSTANT, names=[name], count=len(values)))
    return settings


def _check_confounding(trials: ClaimTrials, values: pd.Series[float], names: Sequence[str]) -> None:
    """Raise NotTestable if one of the parameters changes together with another one.

    A forest divides the importance between both by chance.
    """
    rows = trials.results.trials.loc[values.index]
    known = [name for name in names if name in rows]
    for name, others in confounded_parameters(trials.results, rows, known).items():
        if others:
            raise NotTestable(Obstacle(kind=ObstacleKind.CONFOUNDED, names=[name, *others]))


def _bootstraps(
    trials: ClaimTrials,
    settings: list[pd.Series[Any]],
    names: list[str],
    values: pd.Series[float],
) -> Floats:
    """Return the importance of each parameter for the rank of the value: bootstraps x
    parameters."""
    from scipy import stats

    positions = []
    for name, column in zip(names, settings, strict=True):
        axis = make_axis(name, column, trials.results.axes.get(name, {}))
        positions.append(axis.positions)
    x = to_matrix(positions)
    ranks = np.asarray(stats.rankdata(values.to_numpy()), dtype=float)
    y = ranks / ranks.std()
    return bootstrap_importance(x.tobytes(), y.tobytes(), len(names), BOOTSTRAPS)


def find_lead(bootstraps: Floats, names: list[str], axis: str, others: list[str]) -> Lead:
    """Compare the importance of `axis` with those of `others` (bootstraps x names)."""
    means = bootstraps.mean(axis=0)
    column = names.index(axis)
    other_columns = [names.index(name) for name in others]
    rival = max(other_columns, key=lambda other: means[other])
    largest_others = bootstraps[:, other_columns].max(axis=1)
    not_larger = int(np.sum(bootstraps[:, column] <= largest_others))
    leads = bootstraps[:, column] - bootstraps[:, rival]
    low, high = np.quantile(leads, (1 - UPPER_QUANTILE, UPPER_QUANTILE))
    return Lead(
        importance=float(means[column]),
        rival=names[rival],
        rival_importance=float(means[rival]),
        p_larger=_two_sided(not_larger),
        p_smaller=min(1.0, _normal_p_value(leads) * len(others)),
        interval=(float(low), float(high)),
    )


def _normal_p_value(leads: Floats) -> float:
    """Return the two-sided p value of the mean lead; 199 bootstraps count none below 0.01."""
    from scipy import stats

    deviation = float(leads.std(ddof=1))
    if not deviation:
        return 1.0
    return 2 * float(stats.norm.sf(abs(float(leads.mean())) / deviation))


def _two_sided(bootstraps: int) -> float:
    """Return the p value if this many bootstraps are against a difference."""
    return min(1.0, 2 * (1 + bootstraps) / (1 + BOOTSTRAPS))
