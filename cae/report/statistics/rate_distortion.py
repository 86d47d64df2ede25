"""Loss and probe accuracy against the size of the latent code: what a larger code gains.

The loss is that of the test images if all finished trials have it, else the metric of the sweep.
The accuracy is that of a linear probe on frozen codes; runs of older versions do not have it. Both
are means over the seeds of a configuration.

Whether the configuration with the lowest loss also has the best code is decided by the interval of
the difference of its accuracy to the highest one among the others. That one is the best of several,
which is optimistic: the interval is widened for their number (Bonferroni).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from cae.report.data.results import CACHED_RESULTS, Results
from cae.report.statistics.compared_trials import has_lost_seed
from cae.report.statistics.inference import (
    MeanDifference,
    paired_difference,
    welch_difference,
)
from cae.run.metric_direction import Mode

SIZE = "latent_values"
LOSS = "test_loss"
ACCURACY = "test_probe_accuracy"
PCA = "pca"
RANDOM_ENCODER = "random_encoder"
PIXELS = "pixels"
FLOORS = (PCA, RANDOM_ENCODER, PIXELS)
"""Values of the same metric with other codes, in columns METRIC_NAME: principal components of the
images, as many as the code has values; the same encoder with random weights; the pixels."""


class CodeAnswer(StrEnum):
    """Does the configuration with the lowest loss have the best code?"""

    YES = "yes"
    """Its probe accuracy is higher than that of every other configuration."""
    NO = "no"
    """Another configuration has a higher one."""
    UNDECIDED = "undecided"
    """The interval of the difference contains zero."""
    ONE_SEED = "one seed"
    """Undecided: a difference between two trials may be due to chance."""
    NOT_MEASURED = "not measured"
    """Fewer than two configurations have a probe accuracy."""


@dataclass(frozen=True)
class ProbedConfiguration:
    """A configuration with its means over the seeds."""

    label: str
    """Of its best trial."""
    size: int
    accuracy: float


@dataclass(frozen=True, eq=False)
class CodeComparison:
    """The configuration with the best loss, and the one with the best code of the others."""

    answer: CodeAnswer
    best_loss: ProbedConfiguration | None = None
    other: ProbedConfiguration | None = None
    """Both are None if nothing is measured."""
    difference: MeanDifference | None = None
    """Of the accuracies, the other one's minus that of the best loss."""
    comparisons: int = 1
    """Number of other configurations, for which the interval is widened."""

    @property
    def interval(self) -> tuple[float, float]:
        """Of the difference; NaN with one seed."""
        if self.difference is None or not self.difference.is_testable:
            return math.nan, math.nan
        return self.difference.interval(self.comparisons)


@dataclass(frozen=True, eq=False)
class RateDistortion:
    """Finished trials with the size of their codes."""

    loss: str
    """Name of the column of the loss."""
    mode: Mode
    """Of the loss."""
    trials: pd.DataFrame
    """label, size, loss, accuracy (NaN without), `is_best` of its size by the metric of the sweep;
    indexed like the results."""
    configurations: pd.DataFrame
    """One row per configuration of which no seed was stopped or diverged: label of its best trial,
    `trials`, `n` seeds, size, and the means of loss and accuracy over the seeds."""
    accuracy_floors: dict[str, pd.DataFrame] = field(default_factory=dict)
    """By name: size and value (the mean over the trials), in ascending order of the size."""
    loss_floors: dict[str, pd.DataFrame] = field(default_factory=dict)
    """The same for the loss; empty if no trial has recorded them."""
    comparison: CodeComparison = field(
        default_factory=lambda: CodeComparison(CodeAnswer.NOT_MEASURED)
    )

    @property
    def has_accuracy(self) -> bool:
        return bool(self.trials["accuracy"].notna().any())

    @property
    def sizes(self) -> list[int]:
        """The different sizes, ascending."""
        return sorted({int(size) for size in self.trials["size"]})


@functools.lru_cache(maxsize=CACHED_RESULTS)
def rate_distortion(results: Results) -> RateDistortion:
    ranked = results.ranked
    finished = ranked[results.is_fully_trained[ranked.index]]
    size = _column(finished, SIZE)
    finished = finished[size.notna()]
    loss, mode = _loss(results, finished)
    trials = pd.DataFrame(
        {
            "label": results.labels[finished.index],
            "size": _column(finished, SIZE),
            "loss": _column(finished, loss),
            "accuracy": _column(finished, ACCURACY),
            "configuration": results.configurations[finished.index],
        },
        index=finished.index,
    )
    trials["is_best"] = ~trials["size"].duplicated()  # they are in the order of the ranking
    complete = trials[~has_lost_seed(results)[trials.index]]
    configurations = _configurations(complete, mode)
    seeds = _column(finished, "seed")
    return RateDistortion(
        loss,
        mode,
        trials,
        configurations,
        _floors(finished, ACCURACY),
        _floors(finished, loss),
        _compare_codes(trials, configurations, seeds),
    )


def _loss(results: Results, finished: pd.DataFrame) -> tuple[str, Mode]:
    """The column of the loss, and its direction."""
    if len(finished) and _column(finished, LOSS).notna().all():
        return LOSS, "min"
    return results.metric, results.mode


def _column(trials: pd.DataFrame, name: str) -> pd.Series[float]:
    """A column as finite numbers; NaN where there is none."""
    if name not in trials:
        return pd.Series(np.nan, index=trials.index, dtype=float)
    values = pd.to_numeric(trials[name], errors="coerce").astype(float)
    return values.where(np.isfinite(values))


def _configurations(trials: pd.DataFrame, mode: Mode) -> pd.DataFrame:
    """The configurations, that with the best loss first."""
    rows = []
    for _, of_configuration in trials.groupby("configuration", sort=False):
        rows.append(
            {
                "label": of_configuration["label"].iloc[0],
                "trials": list(of_configuration.index),
                "n": len(of_configuration),
                "size": of_configuration["size"].iloc[0],
                "loss": of_configuration["loss"].mean(),
                # Of all its seeds, or none: the others would be another sample.
                "accuracy": of_configuration["accuracy"].mean(skipna=False),
            }
        )
    columns = ["label", "trials", "n", "size", "loss", "accuracy"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("loss", ascending=mode == "min", kind="stable", ignore_index=True)


def _floors(finished: pd.DataFrame, metric: str) -> dict[str, pd.DataFrame]:
    floors: dict[str, pd.DataFrame] = {}
    for name in FLOORS:
        values = pd.DataFrame(
            {"size": _column(finished, SIZE), "value": _column(finished, f"{metric}_{name}")}
        ).dropna()
        if len(values):
            floors[name] = values.groupby("size")["value"].mean().reset_index()
    return floors


def _compare_codes(
    trials: pd.DataFrame, configurations: pd.DataFrame, seeds: pd.Series[float]
) -> CodeComparison:
    measured = configurations.dropna(subset=["loss", "accuracy"])
    if len(measured) < 2:
        return CodeComparison(CodeAnswer.NOT_MEASURED)
    first = measured.iloc[0]
    others = measured.iloc[1:].sort_values("accuracy", ascending=False, kind="stable")
    other = others.iloc[0]
    comparison = CodeComparison(
        CodeAnswer.UNDECIDED,
        _probed(first),
        _probed(other),
        _difference(trials, seeds, other["trials"], first["trials"]),
        len(others),
    )
    low, high = comparison.interval
    if math.isnan(low):
        return replace(comparison, answer=CodeAnswer.ONE_SEED)
    if low > 0:
        return replace(comparison, answer=CodeAnswer.NO)
    if high < 0 and _is_better_than_all(trials, seeds, first["trials"], others):
        return replace(comparison, answer=CodeAnswer.YES)
    return comparison


def _probed(row: pd.Series[Any]) -> ProbedConfiguration:
    return ProbedConfiguration(str(row["label"]), int(row["size"]), float(row["accuracy"]))


def _is_better_than_all(
    trials: pd.DataFrame, seeds: pd.Series[float], first: list[Any], others: pd.DataFrame
) -> bool:
    """Whether the accuracy of a configuration is higher than that of each of the others."""
    for other in others["trials"]:
        difference = _difference(trials, seeds, other, first)
        if not difference.is_testable or not difference.interval(len(others))[1] < 0:
            return False
    return True


def _difference(
    trials: pd.DataFrame, seeds: pd.Series[float], first: list[Any], second: list[Any]
) -> MeanDifference:
    """Compare the accuracies of two configurations, paired if they have the same seeds."""
    one = pd.Series(trials.loc[first, "accuracy"].to_numpy(), index=seeds[first].to_numpy())
    two = pd.Series(trials.loc[second, "accuracy"].to_numpy(), index=seeds[second].to_numpy())
    is_unique = one.index.is_unique and two.index.is_unique
    if is_unique and len(one) > 1 and set(one.index) == set(two.index):
        return paired_difference(one.to_numpy(), two[one.index].to_numpy())
    return welch_difference(one.to_numpy(), two.to_numpy())
