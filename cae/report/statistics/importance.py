"""Importance of parameters and their interaction, by a random forest.

The forest predicts the rank of the value of a configuration, so that one bad outlier does not
decide. It is used only if it predicts configurations that it was not fitted to: by the R² of a
5-fold cross-validation. The importance of a parameter is the increase of the error on unseen
configurations when the parameter is shuffled, as a share of the variance; its interval is over
bootstraps of the configurations, so it is wide if there are few.

Early stopping hides the importance of a parameter that decides which trials are stopped. If trials
were stopped, all trials at the first rung are therefore analyzed as well.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from cae.report.data.axis import Axis, make_axis
from cae.report.data.parameters import independent_parameters, varying_parameters
from cae.report.data.results import CACHED_RESULTS, TRIAL_KEY, Results
from cae.report.statistics.inference import UPPER_QUANTILE, Floats, permutation_importance
from cae.run.trial_state import TrialState

MIN_CONFIGURATIONS = 20
MIN_CONFIGURATIONS_PER_PARAMETER = 4
MIN_R2 = 0.3
BOOTSTRAPS = 30
INTERVAL_QUANTILES = (0.05, 0.95)
MAX_CONFIGURATIONS = 200
"""Of more configurations, a random sample is used: more would take seconds and change little."""
TOP_PAIRS = 4
"""Interactions are computed between this many of the most important parameters."""
FOREST_TREES = 50
GRID_POINTS = 6
"""Points per parameter at which the joint effect of two parameters is evaluated."""

IMPORTANCE_COLUMNS = ["parameter", "mean", "low", "high"]
PAIR_COLUMNS = ["first", "second", "share", "of_joint"]


class PopulationKind(StrEnum):
    FINISHED = "finished trials"
    FIRST_RUNG = "all trials at the first rung"


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
    """The epoch of the values; None: the best epoch of each trial."""
    axes: list[Axis]
    """The parameters that vary, without those that are determined by another one."""
    values: Floats
    """Mean over the seeds of each configuration."""
    total_configurations: int
    """Before sampling; `values` has at most `MAX_CONFIGURATIONS`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ImportanceAnalysis:
    population: Population
    verdict: ImportanceVerdict
    min_configurations: int
    """How many configurations this number of parameters needs."""
    r2: float
    """Of predictions of unseen configurations; NaN if no forest was fitted."""
    importance: pd.DataFrame
    """Per parameter: parameter, mean, low and high (90 % of the bootstraps), the most important
    first. Empty unless computed."""
    pairs: pd.DataFrame
    """Per pair of parameters a and b, the strongest interaction first. `share`: share of the
    variance of ranks that is in their joint effect and not in the sum of their own effects.
    `of_joint`: the same as a share of the joint effect. Empty unless computed."""

    @property
    def is_computed(self) -> bool:
        return self.verdict == ImportanceVerdict.COMPUTED


@functools.lru_cache(maxsize=CACHED_RESULTS)
def analyze_importance(results: Results) -> list[ImportanceAnalysis]:
    """Analyze the finished trials and, if some were stopped, all trials at the first rung."""
    analyses = [analyze_population(finished_trials(results))]
    if (results.trials["state"] == TrialState.STOPPED).any():
        first_rung = trials_at_first_rung(results)
        if first_rung is not None:
            analyses.append(analyze_population(first_rung))
    return analyses


def trusted_analysis(results: Results) -> ImportanceAnalysis:
    """Return the first analysis with computed importance; without one, the first of all."""
    analyses = analyze_importance(results)
    for analysis in analyses:
        if analysis.is_computed:
            return analysis
    return analyses[0]


def finished_trials(results: Results) -> Population:
    is_finished = results.trials["state"] == TrialState.FINISHED
    values = results.values[is_finished].dropna()
    return _make_population(results, PopulationKind.FINISHED, None, values)


def trials_at_first_rung(results: Results) -> Population | None:
    """Return the trials that reached the first rung; None if there are no rungs or no values."""
    rungs = [rung for run in results.runs for rung in run.sweep.rungs]
    if not rungs or results.metric not in results.epochs:
        return None
    epoch = min(rungs)
    rows = results.epochs[results.epochs["epoch"] == epoch].set_index(TRIAL_KEY)[results.metric]
    trials = pd.MultiIndex.from_frame(results.trials[TRIAL_KEY])
    values = pd.Series(rows.reindex(trials).to_numpy(dtype=float), index=results.trials.index)
    values = values[np.isfinite(values) & ~results.is_dependency]
    return _make_population(results, PopulationKind.FIRST_RUNG, epoch, values)


def _make_population(
    results: Results, kind: PopulationKind, epoch: int | None, values: pd.Series[float]
) -> Population:
    """Average the values of trials over seeds, and sample the configurations."""
    configurations = results.configurations.loc[values.index]
    means = values.groupby(configurations, sort=False).mean()
    first_trials = values.index[~configurations.duplicated()]
    order = np.random.default_rng(0).permutation(len(first_trials))
    chosen = np.sort(order[:MAX_CONFIGURATIONS])
    trials = results.trials.loc[first_trials[chosen]]
    axes = []
    if len(trials):
        for name in independent_parameters(trials, varying_parameters(results, trials)):
            axes.append(make_axis(name, trials[name], results.axes.get(name, {})))
    return Population(
        kind=kind,
        epoch=epoch,
        axes=axes,
        values=means.to_numpy(dtype=float)[chosen],
        total_configurations=len(first_trials),
    )


def to_matrix(positions: Sequence[Floats]) -> Floats:
    """Return a matrix of trials x parameters. A missing value is below all others."""
    columns = []
    for column in positions:
        columns.append(np.where(np.isnan(column), np.nanmin(column) - 1, column))
    return np.column_stack(columns)


def analyze_population(population: Population) -> ImportanceAnalysis:
    from scipy import stats

    axes = population.axes
    count = len(population.values)
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
    if count < min_configurations:
        return without_importance(ImportanceVerdict.TOO_FEW_CONFIGURATIONS)
    x = to_matrix([axis.positions for axis in axes])
    y = np.asarray(stats.rankdata(population.values), dtype=float)
    if not y.std():
        return without_importance(ImportanceVerdict.EQUAL_VALUES)
    y = (y - y.mean()) / y.std()
    r2, forest = _fit_forest(x, y)
    if r2 < MIN_R2:
        return without_importance(ImportanceVerdict.POOR_PREDICTION, r2)
    importance = _importance(x, y, [axis.name for axis in axes])
    return ImportanceAnalysis(
        population=population,
        verdict=ImportanceVerdict.COMPUTED,
        min_configurations=min_configurations,
        r2=r2,
        importance=importance.reset_index(drop=True),
        pairs=_interactions(forest, x, axes, columns=list(importance.index[:TOP_PAIRS])),
    )


def _importance(x: Floats, y: Floats, names: list[str]) -> pd.DataFrame:
    """Return the importance of each parameter, the most important first, indexed by column."""
    random = np.random.default_rng(0)
    bootstraps = np.array([permutation_importance(x, y, random) for _ in range(BOOTSTRAPS)])
    low, high = np.quantile(bootstraps, INTERVAL_QUANTILES, axis=0)
    frame = pd.DataFrame(
        {"parameter": names, "mean": bootstraps.mean(axis=0), "low": low, "high": high}
    )
    return frame.sort_values("mean", ascending=False, kind="stable")


def _fit_forest(x: Floats, y: Floats) -> tuple[float, Any]:
    """Return the R² of a 5-fold cross-validation, and the forest fitted to all configurations."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold, cross_val_score

    forest = RandomForestRegressor(FOREST_TREES, random_state=0)
    folds = KFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(forest, x, y, cv=folds, scoring="r2")
    return float(scores.mean()), forest.fit(x, y)


def _interactions(forest: Any, x: Floats, axes: list[Axis], columns: list[int]) -> pd.DataFrame:
    """Return the interaction of each pair of columns.

    This is the share of the variance of the partial dependence on two parameters that the sum of
    two separate effects does not explain (H² of Friedman and Popescu 2008, over a grid).
    """
    from sklearn.inspection import partial_dependence

    rows = []
    for index, a in enumerate(columns):
        for b in columns[index + 1 :]:
            dependence = partial_dependence(
                forest,
                x,
                [(a, b)],
                grid_resolution=GRID_POINTS,
                percentiles=(0, 1),
                method="recursion",
            )
            joint = dependence["average"][0]
            joint = joint - joint.mean()
            rest = joint - joint.mean(axis=0) - joint.mean(axis=1, keepdims=True)
            share = float(np.square(rest).mean())
            joint_variance = float(np.square(joint).mean())
            of_joint = 0.0
            if joint_variance:
                of_joint = share / joint_variance
            rows.append((axes[a].name, axes[b].name, share, of_joint))
    pairs = pd.DataFrame(rows, columns=PAIR_COLUMNS)
    return pairs.sort_values("share", ascending=False, kind="stable").reset_index(drop=True)


def means_at_settings(axis: Axis, settings: pd.Series[str], values: Floats) -> pd.DataFrame:
    """Return per setting of one parameter: position, setting, n, mean, low, high.

    low and high are a 95 % t interval; they are NaN for fewer than three values, which say too
    little about the spread.
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
