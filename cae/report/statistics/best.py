"""Which configuration is the best, and whether it is better than the others.

A configuration is a set of trials that differ only in their seed. It is compared if all its seeds
have finished with a finite value: a mean over the seeds that survived would be optimistic.

The best is compared with each other one by a 95 % interval of the difference of their means: paired
by seed if both ran with the same seeds, otherwise Welch's. One seed has no spread, and neither have
seeds that all differ by the same amount, as two values of an accuracy often do: then the interval
has the spread within the configurations with several seeds, pooled over them. The best is chosen
with the same data;
this needs no correction for the number of configurations, as long as it is compared with each of
the others (Gutmann and Maymin 1987; Hung and Fithian 2019, "Rank verification").
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from cae.report import formatting
from cae.report.data.cells import is_missing
from cae.report.data.parameters import independent_parameters, varying_parameters
from cae.report.data.results import CACHED_RESULTS, Results
from cae.report.statistics.inference import (
    MeanDifference,
    paired_difference,
    t_interval,
    welch_difference,
)

ALPHA = 0.05
DRAWS = 10_000
MAX_NAMED_SETTINGS = 3
"""If trials differ in more parameters, only what is unusual about each trial is named."""
MAX_DRAWN = 200
"""Of more configurations, those with the best means have a probability of being the best."""
MIN_SUGGESTED_SEEDS = 3
ROUNDING_ERROR = 1e-12
"""Relative. A smaller spread is none."""

COMPARISON_COLUMNS = [
    "label",
    "trials",
    "n",
    "requested",
    "mean",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "probability",
    "is_complete",
]


class BestVerdict(StrEnum):
    """Whether the best configuration is better than the others."""

    BETTER = "better"
    """Than each of the others."""
    TIED = "tied"
    UNKNOWN = "unknown"
    """No configuration has two seeds."""
    NONE = "none"
    """No configuration can be compared."""


@dataclass(frozen=True, eq=False)
class ConfigurationComparison:
    table: pd.DataFrame
    """One row per configuration: those that are compared first, sorted by their mean. `label` of
    the best trial; `trials`: rows of the table of trials, the best first; `n` finished seeds of
    `requested` ones; `mean` with the 95 % interval `low` to `high`; `difference` of the mean to the
    best one's, `difference_low` to `difference_high`; `probability` of being the best;
    `is_complete`: all seeds have finished, and the configuration is compared."""
    verdict: BestVerdict
    tied: list[int]
    """Rows of `table` that may be as good as the best one."""

    @property
    def compared(self) -> pd.DataFrame:
        return self.table[self.table["is_complete"]]


@functools.lru_cache(maxsize=CACHED_RESULTS)
def compare_configurations(results: Results) -> ConfigurationComparison:
    sign = -1
    if results.mode == "min":
        sign = 1
    table = _fold_seeds(results, sign)
    compared = table[table["is_complete"]]
    if not len(compared):
        return ConfigurationComparison(table, BestVerdict.NONE, [])
    table["difference"] = table["mean"] - table["mean"].iloc[0]
    samples = [_values_by_seed(results, trials) for trials in compared["trials"]]
    spread = _pooled_spread(samples)
    if spread is None:
        return ConfigurationComparison(table, BestVerdict.UNKNOWN, [])
    verdict = BestVerdict.UNKNOWN
    tied = []
    intervals = []
    for row, sample in enumerate(samples[1:], start=1):
        verdict = BestVerdict.BETTER
        difference = _difference(sample, samples[0], spread)
        intervals.append(difference.interval())
        if not difference.p_value() < ALPHA:
            tied.append(row)
    if tied:
        verdict = BestVerdict.TIED
    others = list(range(1, len(samples)))
    table.loc[others, ["difference_low", "difference_high"]] = np.reshape(intervals, (-1, 2))
    probabilities = _probabilities(samples[:MAX_DRAWN], sign, spread)
    table.loc[list(range(len(probabilities))), "probability"] = probabilities
    return ConfigurationComparison(table, verdict, tied)


def _fold_seeds(results: Results, sign: int) -> pd.DataFrame:
    """Return the table of the comparison, without the columns that compare configurations."""
    trials = results.trials[results.is_requested]
    is_finished = results.is_fully_trained[trials.index]
    values = sign * results.values.loc[trials.index].where(is_finished)
    values = values.sort_values(kind="stable")
    groups = values.groupby(results.configurations.loc[values.index], sort=False)
    table = pd.DataFrame(
        {
            "n": groups.count(),
            "requested": groups.size(),
            "mean": groups.mean(),
            "standard_error": groups.sem(),
        }
    )
    table = table.reset_index(drop=True)
    members = []
    for (_, group), count in zip(groups, table["n"], strict=True):
        members.append(list(group.index[: max(1, int(count))]))
    labels = [results.labels[trials[0]] for trials in members]
    table["trials"] = pd.Series(members, dtype=object)
    table["label"] = pd.Series(labels, dtype=object)
    table["is_complete"] = table["n"] == table["requested"]
    table["is_incomplete"] = ~table["is_complete"]
    table = table.sort_values(["is_incomplete", "mean"], kind="stable", ignore_index=True)
    table["mean"] *= sign
    ends = [_interval(row) for row in formatting.rows(table)]
    table[["low", "high"]] = pd.DataFrame(
        ends, columns=["low", "high"], index=table.index, dtype=float
    )
    table[["difference", "difference_low", "difference_high", "probability"]] = math.nan
    return table[COMPARISON_COLUMNS]


def _interval(row: Any) -> tuple[float, float]:
    if row.n < 2:
        return math.nan, math.nan
    return t_interval(row.mean, row.standard_error, row.n - 1)


def _values_by_seed(results: Results, trials: list[Any]) -> pd.Series[float]:
    values = results.values.loc[trials].to_numpy(dtype=float)
    if "seed" not in results.trials:
        return pd.Series(values)
    return pd.Series(values, index=results.trials.loc[trials, "seed"].to_numpy())


@dataclass(frozen=True)
class Spread:
    """The spread of the seeds of one configuration, pooled over configurations."""

    deviation: float
    """Standard deviation."""
    degrees_of_freedom: int


def _pooled_spread(samples: list[pd.Series[float]]) -> Spread | None:
    """Return the spread within the samples of several seeds; None if there are none."""
    squares = 0.0
    degrees_of_freedom = 0
    for sample in samples:
        squares += float(((sample - sample.mean()) ** 2).sum())
        degrees_of_freedom += len(sample) - 1
    if not degrees_of_freedom:
        return None
    return Spread(math.sqrt(squares / degrees_of_freedom), degrees_of_freedom)


def _difference(sample: pd.Series[float], best: pd.Series[float], spread: Spread) -> MeanDifference:
    """Compare two samples, paired by seed if both have the same seeds."""
    if min(len(sample), len(best)) > 1:
        if _have_same_seeds(sample, best):
            difference = paired_difference(sample.to_numpy(), best[sample.index].to_numpy())
        else:
            difference = welch_difference(sample.to_numpy(), best.to_numpy())
        if math.isfinite(difference.t()):
            return difference
    return MeanDifference(
        first_mean=float(sample.mean()),
        second_mean=float(best.mean()),
        first_count=len(sample),
        second_count=len(best),
        is_paired=False,
        standard_error=spread.deviation * math.sqrt(1 / len(sample) + 1 / len(best)),
        degrees_of_freedom=spread.degrees_of_freedom,
    )


def _have_same_seeds(first: pd.Series[float], second: pd.Series[float]) -> bool:
    """Whether two samples have the same several seeds, each once."""
    are_unique = first.index.is_unique and second.index.is_unique
    return are_unique and len(first) > 1 and set(first.index) == set(second.index)


def _probabilities(samples: list[pd.Series[float]], sign: int, spread: Spread) -> list[float]:
    """Return how often each mean is the best if all are drawn from their t distributions."""
    if len(samples) < 2:
        return [math.nan] * len(samples)
    means = np.array([sample.mean() for sample in samples])
    counts = np.array([len(sample) for sample in samples])
    errors = spread.deviation / np.sqrt(counts)
    degrees_of_freedom = np.full(len(samples), spread.degrees_of_freedom)
    for row, error in enumerate(_standard_errors(samples)):
        if error > ROUNDING_ERROR * abs(means[row]):  # it is NaN with one seed
            errors[row] = error
            degrees_of_freedom[row] = counts[row] - 1
    t = np.random.default_rng(0).standard_t(degrees_of_freedom, (DRAWS, len(samples)))
    drawn = sign * (means + errors * t)
    wins = np.bincount(drawn.argmin(axis=1), minlength=len(samples))
    return [float(share) for share in wins / DRAWS]


def _standard_errors(samples: list[pd.Series[float]]) -> list[float]:
    """Return the standard error of each mean; NaN with one seed.

    What a seed adds to the values of all configurations does not decide which one is the best, as
    in the paired test: it is subtracted from those with the same seeds as the best one.
    """
    errors: list[float] = []
    for sample in samples:
        error = math.nan
        if len(sample) > 1:
            error = float(np.std(sample.to_numpy(), ddof=1)) / math.sqrt(len(sample))
        errors.append(error)
    best = samples[0]
    rows = [row for row, sample in enumerate(samples) if _have_same_seeds(sample, best)]
    if len(rows) < 2:
        return errors
    values = np.array([samples[row][best.index].to_numpy() for row in rows])
    residuals = values - values.mean(axis=0)
    # The mean of a seed contains the value itself, so that the residuals vary less than the values.
    spreads = residuals.std(axis=1, ddof=1) * math.sqrt(len(rows) / (len(rows) - 1))
    for row, deviation in zip(rows, spreads, strict=True):
        errors[row] = float(deviation) / math.sqrt(len(best))
    return errors


@dataclass(frozen=True)
class Setting:
    """A parameter with its value in some trial."""

    parameter: str
    value: Any


def own_settings(results: Results, trial: int) -> list[Setting]:
    """Return the settings of a trial in which trials differ.

    Settings that are determined by an earlier one are left out.
    """
    varying = varying_parameters(results, results.trials)
    names = independent_parameters(results.trials, varying)
    return _settings(results, trial, names)


@dataclass(frozen=True)
class Distinction:
    """What distinguishes some trials from each other."""

    parameters: list[str]
    """The parameters in which they differ, without those that are determined by another one."""
    settings: list[list[Setting]]
    """Per trial. Of many parameters, only those in which it differs from most other trials."""


def distinguishing_settings(results: Results, trials: list[int]) -> Distinction:
    rows = results.trials.loc[trials]
    names = independent_parameters(rows, varying_parameters(results, rows))
    usual_values = {}
    if len(names) > MAX_NAMED_SETTINGS:
        for name in names:
            usual_values[name] = rows[name].map(str).mode()[0]
    settings = []
    for trial in trials:
        unusual = []
        for setting in _settings(results, trial, names):
            if str(setting.value) != usual_values.get(setting.parameter):
                unusual.append(setting)
        settings.append(unusual)
    return Distinction(names, settings)


def _settings(results: Results, trial: int, names: list[str]) -> list[Setting]:
    """Return the values of these parameters that the trial has."""
    settings = [Setting(name, results.trials.at[trial, name]) for name in names]
    return [setting for setting in settings if not is_missing(setting.value)]


@dataclass(frozen=True)
class NetworkSize:
    """Number of parameters of the network of one configuration."""

    row: int
    """In the table of the comparison."""
    parameters: float


def smallest_tied(results: Results, comparison: ConfigurationComparison) -> NetworkSize | None:
    """Return the smallest network of the best configuration and those tied with it.

    None if they have the same size, or the size is not recorded.
    """
    if "parameters" not in results.trials:
        return None
    parameters = results.trials["parameters"].astype(float)
    trials = comparison.table["trials"].tolist()
    sizes = []
    for row in [0, *comparison.tied]:
        first_trial = trials[row][0]
        sizes.append(NetworkSize(row, float(parameters[first_trial])))
    if len({size.parameters for size in sizes}) < 2:
        return None
    return min(sizes, key=lambda size: size.parameters)


def suggested_seeds(results: Results) -> int:
    """Return a number of seeds with which a difference can be tested: more than any configuration
    has, also those to which a command has added seeds."""
    seeds = int(results.configurations[results.is_requested].value_counts().max())
    return max(MIN_SUGGESTED_SEEDS, results.sweep.seeds + 2, seeds + 2)
