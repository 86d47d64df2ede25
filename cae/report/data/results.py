"""The results of one run, or of several joined runs: what every report is computed from."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from cae.run.events import SessionStarted
from cae.run.groups import Group, assign_groups, differences_text, group_labels
from cae.run.metric_direction import Mode
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.sweep_json import SweepDescription
from cae.run.trial_state import StopCause, TrialState

TRIAL_KEY = ["run", "trial"]
"""Columns that identify a trial: joined runs share trial numbers."""


CACHED_RESULTS = 32
"""Results whose statistics are kept: sections and the summary use those of each group again."""


@dataclass(frozen=True, eq=False)
class GroupResults:
    """The results of one comparability group."""

    label: str
    """The parameters in which the groups differ: `task.noise_factor = 0.5`. Empty if there is one
    group."""
    _parent: Results = field(repr=False)
    _rows: list[Any] = field(repr=False)
    _group_count: int = 1

    @functools.cached_property
    def results(self) -> Results:
        """Without dependencies, which are not compared with other trials."""
        return self._parent.restricted(self._rows, self._group_count)


@dataclass
class Session:
    """One `run` command: the event that started it, and the time of its last event."""

    start: SessionStarted
    end_time: float


@dataclass(frozen=True)
class Run:
    """What was read of one run."""

    folder: RunDir
    name: str
    """Unique among joined runs."""
    sweep: SweepDescription
    records: dict[int, Record]
    sessions: list[Session]
    running: bool

    @property
    def requested_trials(self) -> list[int]:
        """Numbers of the trials that a sweep of the run requests itself (see `is_requested`)."""
        return [number for number, record in self.records.items() if _counts_for_sweep(record)]


@dataclass(frozen=True, eq=False)
class Results:
    """The trials and epochs of one run, or of several joined runs.

    Results do not change, so expensive properties are computed once. The rows of every series are
    those of `trials`.
    """

    runs: list[Run]
    metric: str
    """The metric by which trials are ranked."""
    mode: Mode
    trials: pd.DataFrame
    """One row per trial: the columns of trials.csv, and the run."""
    epochs: pd.DataFrame
    """One row per trial and epoch: the columns of epochs.csv, and the run."""
    axes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The parameters of the search space, in the order of the sweep file:
    {"values": [...] | None, "scale": "linear" | "log" | "category"}."""
    group_count: int = 1
    """On how many comparability groups these results were divided: sections of the page divide
    their size limits by it."""

    @property
    def sweep(self) -> SweepDescription:
        return self.runs[0].sweep

    @property
    def joined(self) -> bool:
        return len(self.runs) > 1

    def record(self, run: str, trial: int) -> Record:
        return self._run(run).records[trial]

    def folder(self, run: str) -> RunDir:
        return self._run(run).folder

    def _run(self, name: str) -> Run:
        for run in self.runs:
            if run.name == name:
                return run
        raise KeyError(name)

    @functools.cached_property
    def records(self) -> list[Record]:
        """The record of each trial, in the order of the rows."""
        return [record for run in self.runs for record in run.records.values()]

    @functools.cached_property
    def labels(self) -> pd.Series[str]:
        """How reports name each trial: "trial 7", or "trial 7 of cifar_grid" in joined runs."""
        labels = "trial " + self.trials["trial"].astype(str)
        if self.joined:
            labels = labels + " of " + self.trials["run"].astype(str)
        return labels

    @functools.cached_property
    def is_dependency(self) -> pd.Series[bool]:
        """Whether a trial runs only because other trials depend on it."""
        return self._flags([record.is_dependency for record in self.records])

    @functools.cached_property
    def is_requested(self) -> pd.Series[bool]:
        """Whether a sweep of the run requests a trial itself, and not only another trial.

        A run only grows: trials of earlier sweeps count as those of the current one. Only trials
        that are withdrawn, which will not be completed, are left out.
        """
        return self._flags([_counts_for_sweep(record) for record in self.records])

    @functools.cached_property
    def in_current_sweep(self) -> pd.Series[bool]:
        """Whether the newest `run` requests a trial. The others are of earlier sweeps."""
        return self._flags([record.is_requested for record in self.records])

    @functools.cached_property
    def is_fully_trained(self) -> pd.Series[bool]:
        """Whether a trial's value is that of complete training (`Record.is_fully_trained`)."""
        return self._flags([record.is_fully_trained for record in self.records])

    @functools.cached_property
    def is_cut_short(self) -> pd.Series[bool]:
        """Whether a trial was stopped for its value (`Record.is_cut_short`)."""
        return self._flags([record.is_cut_short for record in self.records])

    def is_stopped_by(self, cause: StopCause) -> pd.Series[bool]:
        """Whether a trial was stopped early for a cause."""
        return self._flags([record.stop_cause == cause for record in self.records])

    def _flags(self, values: list[bool]) -> pd.Series[bool]:
        return pd.Series(values, index=self.trials.index, dtype=bool)

    @functools.cached_property
    def group_of_row(self) -> list[Group | None]:
        """The comparability group of each trial, in the order of the rows; None: dependencies."""
        return assign_groups(self.records)

    @functools.cached_property
    def group_keys(self) -> pd.Series[str]:
        """The key of each trial's comparability group; missing for dependencies."""
        keys = [None if group is None else group.key for group in self.group_of_row]
        return pd.Series(keys, index=self.trials.index, dtype=object)

    @functools.cached_property
    def groups(self) -> list[GroupResults]:
        """The results by comparability group, in the order of `group_labels`.

        Trials are only compared within these. Groups without a requested trial and without a value
        are left out.
        """
        rows: dict[Group, list[Any]] = {}
        for index, group in zip(self.trials.index, self.group_of_row, strict=True):
            if group is not None:
                rows.setdefault(group, []).append(index)
        if not rows:
            return [GroupResults("", self, [])]
        labels = group_labels(rows)
        counts = self.is_requested | self.values.notna()
        shown = [group for group in labels if counts.loc[rows[group]].any()]
        if len(rows) == 1 or not shown:
            members = [index for group in rows for index in rows[group]]
            return [GroupResults("", self, sorted(members))]
        return [GroupResults(labels[group], self, rows[group], len(shown)) for group in shown]

    @functools.cached_property
    def group_differences(self) -> str:
        """The parameters in which the comparability groups differ; empty if there is one."""
        return differences_text(dict.fromkeys(filter(None, self.group_of_row)))

    @functools.cached_property
    def dependencies(self) -> Results:
        """The results of the trials that run only because others depend on them."""
        return self.restricted(list(self.trials.index[self.is_dependency.to_numpy()]), 1)

    def restricted(self, rows: list[Any], group_count: int) -> Results:
        """Return these results with some of the trials; the rows keep their index."""
        if len(rows) == len(self.trials):
            return self
        trials = self.trials.loc[rows]
        kept = set(zip(trials["run"], trials["trial"], strict=True))
        runs: list[Run] = []
        for run in self.runs:
            records = {
                number: record
                for number, record in run.records.items()
                if (run.name, number) in kept
            }
            runs.append(replace(run, records=records))
        epochs = self.epochs
        if len(epochs):
            keys = pd.MultiIndex.from_frame(epochs[TRIAL_KEY])
            epochs = epochs[keys.isin(kept)]
        return replace(self, runs=runs, trials=trials, epochs=epochs, group_count=group_count)

    @functools.cached_property
    def values(self) -> pd.Series[float]:
        """The metric of the sweep at the best epoch of each trial.

        NaN if there is none, if it is not finite, and for dependencies.
        """
        if self.metric not in self.trials:
            return pd.Series(np.nan, index=self.trials.index, dtype=float)
        values = pd.to_numeric(self.trials[self.metric], errors="coerce").astype(float)
        return values.where(np.isfinite(values) & ~self.is_dependency)

    @functools.cached_property
    def ranked(self) -> pd.DataFrame:
        """The trials with a value, the best first; of equal ones the one with the lower number."""
        order = self.values.dropna().sort_values(ascending=self.mode == "min", kind="stable")
        return self.trials.loc[order.index]

    @functools.cached_property
    def configurations(self) -> pd.Series[str]:
        """A text per trial, equal for trials of one run that differ only in their seed.

        Trials before and after the user edited the code of a component are different networks,
        although their settings are equal.
        """
        texts = []
        for run in self.runs:
            for record in run.records.values():
                settings = settings_without_seed(record.config)
                texts.append(repr((run.name, record.code, settings)))
        return pd.Series(texts, index=self.trials.index, dtype=object)

    def same_configuration(self, trials: pd.Index[Any]) -> pd.Index[Any]:
        """Of these trials, the first one and those that differ from it only in their seed."""
        if not len(trials):
            return trials
        configurations = self.configurations.loc[trials]
        return trials[configurations == configurations.iloc[0]]


def settings_without_seed(config: dict[str, Any]) -> list[tuple[str, str]]:
    """All parameters but the seed, sorted, with their values as text."""
    return sorted((name, str(value)) for name, value in config.items() if name != "seed")


def _counts_for_sweep(record: Record) -> bool:
    return record.state != TrialState.WITHDRAWN and not record.is_dependency
