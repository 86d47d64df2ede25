"""Importance of parameters and their interaction, by a random forest.

The forest predicts the rank of a configuration by its value. Ranks are used because one outlier
would dominate the values.

The forest is used only if it predicts unseen configurations well enough, as measured by the R² of a
5-fold cross-validation. The importance of a parameter is the increase of the squared error on
unseen configurations when the parameter is shuffled, divided by the variance of the ranks. Its
interval is over bootstraps of the configurations: the fewer configurations, the wider.

Early stopping hides the importance of a parameter that decides which trials are stopped. If trials
were stopped, all trials are therefore analyzed as well, at the epoch of the first stop (see
`compared_trials`).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from cae.report.data.axis import Axis, make_axis
from cae.report.data.parameters import (
    confounded_parameters,
    independent_parameters,
    varying_parameters,
)
from cae.report.data.results import CACHED_RESULTS, Results
from cae.report.statistics.compared_trials import (
    ComparedTrials,
    PopulationKind,
    finished_trials,
    has_lost_seed,
    trials_at_same_epoch,
)
from cae.report.statistics.inference import UPPER_QUANTILE, Floats, permutation_importance

MIN_CONFIGURATIONS = 20
MIN_CONFIGURATIONS_PER_PARAMETER = 4
MIN_R2 = 0.3
BOOTSTRAPS = 30
INTERVAL_QUANTILES = (0.05, 0.95)
MAX_CONFIGURATIONS = 200
"""A random sample of this size is used if there are more: they would take seconds and change
little."""
INTERACTING_PARAMETERS = 4
"""Interactions are computed for the pairs of this many of the most important parameters."""
FOREST_TREES = 50
GRID_POINTS = 6
"""Points per parameter at which the joint effect of two parameters is evaluated."""

IMPORTANCE_COLUMNS = ["parameter", "mean", "low", "high"]
PAIR_COLUMNS = ["first", "second", "share", "of_joint"]


class ImportanceVerdict(StrEnum):
    """Whether importance could be computed, or why not."""

    COMPUTED = "computed"
    NO_PARAMETER_VARIES = "no parameter varies"
    ONE_PARAMETER_VARIES = "one parameter varies"
    TOO_FEW_CONFIGURATIONS = "too few configurations"
    EQUAL_VALUES = "all values are equal"
    POOR_PREDICTION = "the forest predicts too poorly"


@dataclass(frozen=True, eq=False)
class Population:
    """Configurations whose values are analyzed."""

    kind: PopulationKind
    epoch: int | None
    """See `ComparedTrials`."""
    axes: list[Axis]
    """The parameters that vary, without those that are determined by another one."""
    values: Floats
    """Per configuration: the mean over its seeds. At most `MAX_CONFIGURATIONS`."""
    total_configurations: int
    """Number of configurations before sampling."""
    confounded: dict[str, list[str]] = field(default_factory=dict)
    """By name of an axis: other parameters whose effects cannot be separated from its own."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ImportanceAnalysis:
    population: Population
    verdict: ImportanceVerdict
    min_configurations: int
    """How many configurations are required for the parameters that vary."""
    r2: float
    """R² of the predictions of unseen configurations; NaN if no forest was fitted."""
    importance: pd.DataFrame
    """One row per parameter, the most important first: `parameter`, and its importance over the
    bootstraps as `mean`, `low` (5 % quantile) and `high` (95 % quantile). Empty unless computed."""
    pairs: pd.DataFrame
    """One row per pair of parameters `first` and `second`, the strongest interaction first.

    The interaction is the part of the joint effect of two parameters that is not the sum of their
    separate effects. `share` is its variance divided by the variance of the ranks; `of_joint` is
    its variance divided by the variance of the joint effect. Empty unless computed."""

    @property
    def is_computed(self) -> bool:
        return self.verdict == ImportanceVerdict.COMPUTED


@functools.lru_cache(maxsize=CACHED_RESULTS)
def analyze_importance(results: Results) -> list[ImportanceAnalysis]:
    """Analyze the finished trials and, if some were stopped, all trials at the same epoch."""
    analyses = [analyze_population(make_population(results, finished_trials(results)))]
    at_same_epoch = trials_at_same_epoch(results)
    if at_same_epoch is not None:
        analyses.append(analyze_population(make_population(results, at_same_epoch)))
    return analyses


def shown_analysis(results: Results) -> ImportanceAnalysis:
    """Return the first analysis with computed importance, or the first one if there is none."""
    analyses = analyze_importance(results)
    for analysis in analyses:
        if analysis.is_computed:
            return analysis
    return analyses[0]


def make_population(results: Results, compared: ComparedTrials) -> Population:
    """Average the values of trials over seeds, and sample the configurations.

    Configurations of which a seed was stopped have no mean after full training, and are left out
    of the finished trials.
    """
    values = compared.values
    if compared.kind == PopulationKind.FINISHED:
        values = values[~has_lost_seed(results)[values.index]]
    configurations = results.configurations.loc[values.index]
    means = values.groupby(configurations, sort=False).mean()
    # The first trial of each configuration represents it: its other trials differ in the seed only.
    first_trials = values.index[~configurations.duplicated()]
    shuffled = np.random.default_rng(0).permutation(len(first_trials))
    sample = np.sort(shuffled[:MAX_CONFIGURATIONS])
    trials = results.trials.loc[first_trials[sample]]
    axes = []
    if len(trials):
        for name in independent_parameters(trials, varying_parameters(results, trials)):
            axes.append(make_axis(name, trials[name], results.axes.get(name, {})))
    return Population(
        kind=compared.kind,
        epoch=compared.epoch,
        axes=axes,
        values=means.to_numpy(dtype=float)[sample],
        total_configurations=len(first_trials),
        confounded=confounded_parameters(results, trials, [axis.name for axis in axes]),
    )


def to_matrix(positions: Sequence[Floats]) -> Floats:
    """Return a matrix of trials x parameters. A missing value becomes lower than all others."""
    columns = []
    for column in positions:
        below_all = np.nanmin(column) - 1
        columns.append(np.where(np.isnan(column), below_all, column))
    return np.column_stack(columns)


def analyze_population(population: Population) -> ImportanceAnalysis:
    """Compute the importance of the parameters, or why it cannot be computed."""
    from scipy import stats

    axes = population.axes
    min_configurations = max(MIN_CONFIGURATIONS, MIN_CONFIGURATIONS_PER_PARAMETER * len(axes))

    def without_importance(verdict: ImportanceVerdict, r2: float = np.nan) -> ImportanceAnalysis:
        return ImportanceAnalysis(
            population=population,
            verdict=verdict,
            min_configurations=min_configurations,
            r2=r2,
            importance=pd.DataFrame(columns=IMPORTANCE_COLUMNS),
            pairs=pd.DataFrame(columns=PAIR_COLUMNS),
        )

    if not axes:
        return without_importance(ImportanceVerdict.NO_PARAMETER_VARIES)
    if len(axes) == 1:
        return without_importance(ImportanceVerdict.ONE_PARAMETER_VARIES)
    if len(population.values) < min_configurations:
        return without_importance(ImportanceVerdict.TOO_FEW_CONFIGURATIONS)
    positions = to_matrix([axis.positions for axis in axes])
    ranks = np.asarray(stats.rankdata(population.values), dtype=float)
    if not ranks.std():
        return without_importance(ImportanceVerdict.EQUAL_VALUES)
    # With a variance of 1, squared errors are shares of the variance.
    standardized_ranks = (ranks - ranks.mean()) / ranks.std()
    r2, forest = _fit_forest(positions, standardized_ranks)
    if r2 < MIN_R2:
        return without_importance(ImportanceVerdict.POOR_PREDICTION, r2)
    names = [axis.name for axis in axes]
    importance = _importance(positions, standardized_ranks, names)
    most_important = importance["parameter"].tolist()[:INTERACTING_PARAMETERS]
    return ImportanceAnalysis(
        population=population,
        verdict=ImportanceVerdict.COMPUTED,
        min_configurations=min_configurations,
        r2=r2,
        importance=importance,
        pairs=_interactions(forest, positions, names, most_important),
    )


def _importance(x: Floats, y: Floats, names: list[str]) -> pd.DataFrame:
    """Return a row per parameter, the most important first; `names` are those of the columns."""
    random = np.random.default_rng(0)
    bootstraps = np.array([permutation_importance(x, y, random) for _ in range(BOOTSTRAPS)])
    low, high = np.quantile(bootstraps, INTERVAL_QUANTILES, axis=0)
    frame = pd.DataFrame(
        {"parameter": names, "mean": bootstraps.mean(axis=0), "low": low, "high": high}
    )
    frame = frame.sort_values("mean", ascending=False, kind="stable")
    return frame.reset_index(drop=True)


def _fit_forest(x: Floats, y: Floats) -> tuple[float, Any]:
    """Return the R² of a 5-fold cross-validation, and the forest fitted to all configurations."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold, cross_val_score

    forest = RandomForestRegressor(FOREST_TREES, random_state=0)
    folds = KFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(forest, x, y, cv=folds, scoring="r2")
    return float(scores.mean()), forest.fit(x, y)


def _interactions(forest: Any, x: Floats, names: list[str], parameters: list[str]) -> pd.DataFrame:
    """Return the interaction of each pair of `parameters`, the strongest first.

    `names` are those of the columns of `x`. The joint effect of two parameters is the partial
    dependence of the forest on them over a grid; `of_joint` is H² of Friedman and Popescu (2008).
    """
    from sklearn.inspection import partial_dependence

    rows = []
    for first, second in itertools.combinations(parameters, 2):
        dependence = partial_dependence(
            forest,
            x,
            [(names.index(first), names.index(second))],
            grid_resolution=GRID_POINTS,
            percentiles=(0, 1),
            method="recursion",
        )
        joint_effect = dependence["average"][0]
        joint_effect = joint_effect - joint_effect.mean()
        effect_of_first = joint_effect.mean(axis=1, keepdims=True)
        effect_of_second = joint_effect.mean(axis=0, keepdims=True)
        interaction = joint_effect - effect_of_first - effect_of_second
        joint_variance = float(np.square(joint_effect).mean())
        interaction_variance = float(np.square(interaction).mean())
        of_joint = 0.0
        if joint_variance:
            of_joint = interaction_variance / joint_variance
        rows.append((first, second, interaction_variance, of_joint))
    pairs = pd.DataFrame(rows, columns=PAIR_COLUMNS)
    return pairs.sort_values("share", ascending=False, kind="stable").reset_index(drop=True)


def means_at_settings(axis: Axis, settings: pd.Series[str], values: Floats) -> pd.DataFrame:
    """Return per setting of one parameter: position, setting, n, mean, low, high.

    low and high are a 95 % t interval of the mean. They are NaN for fewer than three values, which
    are too few to estimate the spread.
    """
    from scipy import stats

    frame = pd.DataFrame(
        {"setting": settings.to_numpy(), "position": axis.positions, "value": values}
    )
    rows = frame.groupby("setting", sort=False).agg(
        position=("position", "mean"),
        n=("value", "size"),
        mean=("value", "mean"),
        error=("value", "sem"),
    )
    rows = rows.reset_index()
    quantiles = stats.t.ppf(UPPER_QUANTILE, np.maximum(rows["n"] - 1, 1))
    half_widths = (rows["error"] * quantiles).where(rows["n"] > 2)
    rows = rows.assign(low=rows["mean"] - half_widths, high=rows["mean"] + half_widths)
    return rows.sort_values("position").drop(columns="error")
