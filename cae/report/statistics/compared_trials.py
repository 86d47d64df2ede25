"""Which trials a statistic may compare: those whose values are from equally long training.

The value of a trial is that of its best epoch. That of a trial that early stopping ended after one
epoch says nothing about what it would have reached, and must not be averaged with values after full
training. Two selections are free of this:

Finished trials
    They trained all their epochs, or were stopped because their own metric had not improved any
    more (`patience`), which does not depend on how good it was. If trials were stopped for their
    values, the finished ones are survivors: a setting that begins slowly is represented by its best
    trials only, and others not at all. A run may contain finished trials of different length,
    because it was continued with other epochs for a part of them: the length of most of them
    counts, and longer ones are compared by their first epochs.
All trials at one epoch
    The last epoch that all of them reached: the one at which the first of them was stopped. No
    trial is missing for its value, but the values are early ones.

Neither replaces the other; what is computed from one of them states which (as DeepCAVE does, which
analyzes one budget at a time; Optuna uses completed trials only).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from cae.report.data.results import CACHED_RESULTS, TRIAL_KEY, Results
from cae.run.trial_state import TrialState

EPOCHS = "epochs"
"""The parameter that sets how long a trial trains."""


class PopulationKind(StrEnum):
    FINISHED = "finished trials"
    SAME_EPOCH = "all trials at one epoch"


@dataclass(frozen=True, eq=False)
class ComparedTrials:
    """Values that may be compared."""

    kind: PopulationKind
    epoch: int | None
    """Of all trials at one epoch: that epoch. Of finished trials: the epoch up to which their best
    one counts; None: all epochs, because the trials are equally long or compared by their length.
    """
    values: pd.Series[float]
    """By row of the table of trials; finite."""
    stopped: int = 0
    """How many trials are left out because they were stopped for their values."""
    shorter: int = 0
    """How many finished trials are left out because they trained fewer epochs than the others."""


@functools.lru_cache(maxsize=CACHED_RESULTS)
def finished_trials(results: Results) -> ComparedTrials:
    """Return the finished trials with the values of their best epochs."""
    stopped = int((results.is_cut_short & ~results.is_dependency).sum())
    values = results.values[results.is_fully_trained].dropna()
    if EPOCHS in results.axes or EPOCHS not in results.trials:
        return ComparedTrials(PopulationKind.FINISHED, None, values, stopped)
    lengths = pd.to_numeric(results.trials.loc[values.index, EPOCHS]).astype(int)
    if lengths.nunique() < 2:
        return ComparedTrials(PopulationKind.FINISHED, None, values, stopped)
    length = int(lengths.mode().min())  # of equally frequent ones, that which leaves out none
    best = _best_up_to(results, length).reindex(values.index)
    values = values.where(lengths == length, best)[lengths >= length].dropna()
    shorter = int((lengths < length).sum())
    return ComparedTrials(PopulationKind.FINISHED, length, values, stopped, shorter)


def _best_up_to(results: Results, epoch: int) -> pd.Series[float]:
    """Return the best value of each trial in its first epochs, by row; NaN without one."""
    if results.metric not in results.epochs:
        return pd.Series(np.nan, index=results.trials.index, dtype=float)
    epochs = results.epochs[results.epochs["epoch"] <= epoch]
    values = epochs[results.metric].where(np.isfinite(epochs[results.metric]))
    groups = values.groupby([epochs[name] for name in TRIAL_KEY])
    best = groups.min() if results.mode == "min" else groups.max()
    trials = pd.MultiIndex.from_frame(results.trials[TRIAL_KEY])
    return pd.Series(best.reindex(trials).to_numpy(dtype=float), index=results.trials.index)


@functools.lru_cache(maxsize=CACHED_RESULTS)
def trials_at_same_epoch(results: Results) -> ComparedTrials | None:
    """Return all trials with their values at the last epoch before any of them was missing.

    None if no trial was stopped for its value, or none has a value there.
    """
    is_cut_short = results.is_cut_short & ~results.is_dependency
    if not is_cut_short.any() or results.metric not in results.epochs:
        return None
    # A trial that was stopped by its patience is missing in later epochs, too.
    is_stopped = results.trials["state"] == TrialState.STOPPED
    trained = results.trials.loc[is_stopped & ~results.is_dependency, "epochs_done"]
    epoch = int(trained.min())
    rows_at_epoch = results.epochs[results.epochs["epoch"] == epoch]
    value_by_trial = rows_at_epoch.set_index(TRIAL_KEY)[results.metric]
    trials = pd.MultiIndex.from_frame(results.trials[TRIAL_KEY])
    value_per_row = value_by_trial.reindex(trials).to_numpy(dtype=float)
    values = pd.Series(value_per_row, index=results.trials.index)
    values = values[np.isfinite(values) & ~results.is_dependency]
    return ComparedTrials(PopulationKind.SAME_EPOCH, epoch, values)


def has_stopped_seed(results: Results) -> pd.Series[bool]:
    """Whether a seed of each trial's configuration was stopped for its value.

    The mean of the seeds that finished would be optimistic: the stopped ones were worse.
    """
    return results.is_cut_short.groupby(results.configurations).transform("any")


def has_lost_seed(results: Results) -> pd.Series[bool]:
    """Whether a seed of each trial's configuration was stopped for its value, or diverged."""
    is_lost = results.is_cut_short | (results.trials["state"] == TrialState.DIVERGED)
    return is_lost.groupby(results.configurations).transform("any")
