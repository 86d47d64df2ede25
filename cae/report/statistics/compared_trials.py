"""Which trials a statistic may compare: those whose values are from equally long training.

The value of a trial is that of its best epoch. That of a trial that early stopping ended after one
epoch says nothing about what it would have reached, and must not be averaged with values after full
training. Two selections are free of this:

Finished trials
    They trained all their epochs. If trials were stopped, they are survivors: a setting that begins
    slowly is represented by its best trials only, and others not at all.
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


class PopulationKind(StrEnum):
    FINISHED = "finished trials"
    SAME_EPOCH = "all trials at one epoch"


@dataclass(frozen=True, eq=False)
class ComparedTrials:
    """Values that may be compared."""

    kind: PopulationKind
    epoch: int | None
    """The epoch of the values; None: the best epoch of each trial."""
    values: pd.Series[float]
    """By row of the table of trials; finite."""
    stopped: int = 0
    """How many trials are left out because they were stopped early."""


def finished_trials(results: Results) -> ComparedTrials:
    """Return the finished trials with the values of their best epochs."""
    states = results.trials["state"]
    values = results.values[states == TrialState.FINISHED].dropna()
    is_stopped = (states == TrialState.STOPPED) & ~results.is_dependency
    return ComparedTrials(PopulationKind.FINISHED, None, values, int(is_stopped.sum()))


@functools.lru_cache(maxsize=CACHED_RESULTS)
def trials_at_same_epoch(results: Results) -> ComparedTrials | None:
    """Return all trials with their values at the last epoch before any of them was missing.

    None if no trial was stopped, or none has a value there.
    """
    is_stopped = results.trials["state"] == TrialState.STOPPED
    if not (is_stopped & ~results.is_dependency).any() or results.metric not in results.epochs:
        return None
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
    """Whether a seed of each trial's configuration was stopped.

    The mean of the seeds that finished would be optimistic: the stopped ones were worse.
    """
    is_stopped = results.trials["state"] == TrialState.STOPPED
    return is_stopped.groupby(results.configurations).transform("any")
