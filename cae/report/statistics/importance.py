"""Which parameter matters and how two of them interact, by a random forest that has to prove itself first.

The forest is asked for the rank of a configuration's value (so that one run that went astray does not decide) and is believed
where it predicts configurations that it has not seen: the R2 of a 5-fold cross-validation. Importance is by how much its error
on unseen configurations grows when a parameter is shuffled, in shares of the variance; its interval is over bootstraps of the
configurations, so few of them show as wide bars. Early stopping hides a parameter that decides who is stopped: there the same is
asked of all trials at the first rung as well.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cae.report import formatting
from cae.report.data import axis as scales
from cae.report.data.tables import Results
from cae.report.statistics.inference import Floats, importances

LEAST, LEAST_PER_PARAMETER = 20, 4
LEAST_R2 = 0.3
BOOTSTRAPS = 30
MOST = 200
"""Configurations that the forest is given; more would cost seconds and move nothing."""
TOP_PAIRS = 4
"""Interactions are looked for among the pairs of so many of the most important parameters."""


PAIRS = ("a", "b", "share", "of_joint")


class Population(NamedTuple):
    name: str
    axes: list[scales.Axis]
    values: Floats
    """Per configuration the mean over its seeds."""
    found: int
    """How many configurations there were; `values` holds at most `MOST`."""


class Surrogate(NamedTuple):
    population: Population
    why: str
    """Why no importance is shown; "" where it is."""
    r2: float
    importance: pd.DataFrame
    """parameter, mean, low, high (90 % of the bootstraps), the most important first; empty where not shown."""
    pairs: pd.DataFrame
    """a, b, share (of the variance of ranks that is in their joint effect and not in the sum of their own), of_joint (the same as a
    share of that joint effect), the largest first."""


@functools.lru_cache(maxsize=2)
def surrogates(results: Results) -> list[Surrogate]:
    """Of the finished trials; and, where some were stopped early, of all trials at the first rung."""
    found = [surrogate(finished(results))]
    if (results.trials["state"] == "stopped").any() and (
        early := at_first_rung(results)
    ) is not None:
        found.append(surrogate(early))
    return found


def believed(results: Results) -> Surrogate:
    """The first of them that is believed; where none is, that of the finished trials."""
    found = surrogates(results)
    return next((one for one in found if not one.why), found[0])


def finished(results: Results) -> Population:
    return _population(
        results, "finished trials", results.values[results.trials["state"] == "finished"].dropna()
    )


def at_first_rung(results: Results) -> Population | None:
    rungs = [rung for run in results.runs for rung in run.sweep.rungs]
    if not rungs or results.metric not in results.epochs:
        return None
    rows = results.epochs[results.epochs["epoch"] == min(rungs)].set_index(["run", "trial"])[
        results.metric
    ]
    keys = pd.MultiIndex.from_frame(results.trials[["run", "trial"]])
    values = pd.Series(rows.reindex(keys).to_numpy(dtype=float), index=results.trials.index)
    needed = [record.is_dependency for run in results.runs for record in run.records.values()]
    return _population(
        results,
        f"all trials at epoch {min(rungs)}",
        values[np.isfinite(values) & ~np.array(needed, dtype=bool)],
    )


def _population(results: Results, name: str, values: pd.Series[float]) -> Population:
    means = values.groupby(results.configurations.loc[values.index], sort=False).mean()
    first = values.index[~results.configurations.loc[values.index].duplicated()]
    chosen = np.sort(np.random.default_rng(0).permutation(len(first))[:MOST])
    trials = results.trials.loc[first[chosen]]
    names = scales.independent(trials, scales.varying(results, trials)) if len(trials) else []
    axes = [scales.axis(name, trials[name], results.axes.get(name, {})) for name in names]
    return Population(name, axes, means.to_numpy(dtype=float)[chosen], len(first))


def matrix(axes: list[scales.Axis]) -> Floats:
    """A row per trial, a column per parameter; what a trial does not have stands below all that others have."""
    columns = [
        np.where(np.isnan(axis.positions), np.nanmin(axis.positions) - 1, axis.positions)
        for axis in axes
    ]
    return np.column_stack(columns)


def surrogate(population: Population) -> Surrogate:
    axes, count = population.axes, len(population.values)
    least = max(LEAST, LEAST_PER_PARAMETER * len(axes))
    nothing = (
        pd.DataFrame(columns=["parameter", "mean", "low", "high"]),
        pd.DataFrame(columns=list(PAIRS)),
    )
    if len(axes) < 2:
        why = f"only {axes[0].name} varies" if axes else "no parameter varies"
        return Surrogate(population, f"{why} among {population.name}", np.nan, *nothing)
    if count < least:
        said = f"{formatting.plural(count, 'configuration')} of {population.name}, and at least {least} are needed for {len(axes)} parameters"
        return Surrogate(population, said, np.nan, *nothing)
    from scipy import stats

    x, y = matrix(axes), np.asarray(stats.rankdata(population.values), dtype=float)
    if not y.std():
        return Surrogate(population, f"all {population.name} have one value", np.nan, *nothing)
    y = (y - y.mean()) / y.std()
    r2, forest = _forest(x, y)
    if r2 < LEAST_R2:
        said = f"a forest cannot predict the rank of unseen configurations (R2 {formatting.number(max(r2, 0), 2)}, and {LEAST_R2} is the least)"
        return Surrogate(population, said, r2, *nothing)
    random = np.random.default_rng(0)
    drawn = np.array([importances(x, y, random) for _ in range(BOOTSTRAPS)])
    low, high = np.quantile(drawn, (0.05, 0.95), axis=0)
    table = pd.DataFrame(
        {
            "parameter": [axis.name for axis in axes],
            "mean": drawn.mean(axis=0),
            "low": low,
            "high": high,
        }
    )
    table = table.sort_values("mean", ascending=False, kind="stable")
    return Surrogate(
        population,
        "",
        r2,
        table.reset_index(drop=True),
        _pairs(forest, x, axes, list(table.index[:TOP_PAIRS])),
    )


def _forest(x: Floats, y: Floats) -> tuple[float, Any]:
    """R2 of a 5-fold cross-validation, and the forest of all."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold, cross_val_score

    forest = RandomForestRegressor(50, random_state=0)
    scores = cross_val_score(forest, x, y, cv=KFold(5, shuffle=True, random_state=0), scoring="r2")
    return float(scores.mean()), forest.fit(x, y)


def _pairs(forest: Any, x: Floats, axes: list[scales.Axis], columns: list[int]) -> pd.DataFrame:
    """Of the partial dependence on two parameters, the share of its variance that two separate effects leave unexplained
    (Friedman and Popescu 2008, H squared, over the grid of their settings)."""
    from sklearn.inspection import partial_dependence

    rows = []
    for place, a in enumerate(columns):
        for b in columns[place + 1 :]:
            seen = partial_dependence(
                forest, x, [(a, b)], grid_resolution=6, percentiles=(0, 1), method="recursion"
            )["average"][0]
            seen = seen - seen.mean()
            rest = seen - seen.mean(axis=0) - seen.mean(axis=1, keepdims=True)
            share, joint = float(np.square(rest).mean()), float(np.square(seen).mean())
            rows.append((axes[a].name, axes[b].name, share, share / joint if joint else 0.0))
    return (
        pd.DataFrame(rows, columns=list(PAIRS))
        .sort_values("share", ascending=False, kind="stable")
        .reset_index(drop=True)
    )


def marginal(axis: scales.Axis, settings: pd.Series[str], values: Floats) -> pd.DataFrame:
    """Per setting: position, setting, n, mean, low, high (95 % t interval; NaN for fewer than three, where it says nothing)."""
    from scipy import stats

    grouped = pd.DataFrame(
        {"setting": settings.to_numpy(), "position": axis.positions, "value": values}
    ).groupby("setting", sort=False)
    rows = grouped.agg(
        position=("position", "mean"),
        n=("value", "size"),
        mean=("value", "mean"),
        error=("value", "sem"),
    ).reset_index()
    half = (rows["error"] * stats.t.ppf(0.975, np.maximum(rows["n"] - 1, 1))).where(rows["n"] > 2)
    return (
        rows.assign(low=rows["mean"] - half, high=rows["mean"] + half)
        .sort_values("position")
        .drop(columns="error")
    )
