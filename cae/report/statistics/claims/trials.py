"""The trials of a run as claims need them: by conditions, metric, setting and table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cae.report.data.cells import is_missing, to_cell
from cae.report.data.results import Results, Run, settings_without_seed
from cae.report.statistics.claims.verdict import (
    LeftOut,
    LeftOutReason,
    NotTestable,
    Obstacle,
    ObstacleKind,
)
from cae.report.statistics.published import is_equal, required_value
from cae.report.statistics.trial_settings import own_overrides
from cae.run.groups import CODE, DATA, Group

Conditions = Mapping[str, Any]
"""Required settings by name."""


class ClaimTrials:
    """The trials of one run, for one claim. Trials are named by their row in the table of trials.

    `left_out` collects the trials to which the claim applies and that cannot be used.
    """

    def __init__(self, results: Results, run: Run, group: Group | None = None) -> None:
        """group: only the trials of this comparability group."""
        self.results = results
        self.run = run
        self.left_out: dict[int, LeftOut] = {}
        in_run = results.trials[results.trials["run"] == run.name]
        self.requested = in_run[in_run["trial"].isin(run.requested_trials)]
        groups = zip(results.trials.index, results.group_of_row, strict=True)
        self.groups = {index: row_group for index, row_group in groups if row_group is not None}
        if group is not None:
            rows = [index for index in self.requested.index if self.groups.get(index) == group]
            self.requested = self.requested.loc[rows]
        is_finished = results.is_fully_trained[results.ranked.index]
        usable = results.ranked[(results.ranked["run"] == run.name) & is_finished]
        self.usable = usable[usable.index.isin(self.requested.index)]

    def config(self, trial: int) -> dict[str, Any]:
        return self.run.records[self._number(trial)].config

    def stratum(self, trial: int, contrasted: Iterable[str]) -> str:
        """Return the comparability group of a trial without the parameters that a claim contrasts.

        A claim may compare trials with equal strata: their groups differ on purpose only.
        """
        names = set(contrasted)
        if any("dataset" in name.split(".") for name in names):
            names.add(DATA)
        if "task" in names:
            names.add(CODE)
        group = self.groups.get(trial)
        if group is None:
            return ""
        parameters: dict[str, Any] = {}
        for name, value in group.parameters.items():
            is_contrasted = any(name == key or name.startswith(f"{key}.") for key in names)
            if not is_contrasted:
                parameters[name] = value
        return repr(sorted(parameters.items(), key=lambda item: item[0]))

    def _number(self, trial: int) -> int:
        return int(str(self.results.trials.at[trial, "trial"]))

    def setting(self, trial: int, name: str) -> Any:
        """Return a cell of the table of trials, or one element of a parameter that is a tuple."""
        value = None
        if name in self.results.trials:
            value = self.results.trials.at[trial, name]
        if is_missing(value):
            element = find_element(self.config(trial), name)
            if element is not None:
                values, index = element
                return to_cell(values[index])
        return value

    def settings(self, trials: pd.Index[Any], name: str) -> pd.Series[Any]:
        values = {trial: self.setting(trial, name) for trial in trials}
        return pd.Series(values, dtype=object)

    def numbers(self, trials: pd.Index[Any], name: str) -> pd.Series[float]:
        """Return a setting as numbers. Raises NotTestable if it is not a number in every trial."""
        numbers = pd.to_numeric(self.settings(trials, name), errors="coerce").astype(float)
        if not np.isfinite(numbers).all():
            raise NotTestable(Obstacle(kind=ObstacleKind.NOT_A_NUMBER, names=[name]))
        return numbers

    def matching(self, conditions: Conditions) -> pd.DataFrame:
        """Return the finished trials that meet all conditions, the best first."""
        matching = {trial for trial in self.requested.index if self._meets(trial, conditions)}
        usable = self.usable[self.usable.index.isin(matching)]
        for trial in sorted(matching - set(usable.index)):
            state = str(self.requested.at[trial, "state"])
            self.left_out[trial] = LeftOut(LeftOutReason.STATE, state)
        return usable

    def values(
        self, metric: str, conditions: Conditions, epoch: int | None = None
    ) -> pd.Series[float]:
        """Return the finite values of a metric in the trials that meet all conditions.

        With an epoch: its values in all trials that reached it; otherwise at the best epoch of the
        finished trials. Raises NotTestable if there is none.
        """
        if epoch:
            trials = self._at_epoch(epoch, conditions)
        else:
            trials = self.matching(conditions)
        if metric in trials:
            values = pd.to_numeric(trials[metric], errors="coerce").astype(float)
        else:
            values = pd.Series(np.nan, index=trials.index)
        for trial in trials.index:
            if not math.isfinite(values[trial]):
                self.left_out[trial] = LeftOut(LeftOutReason.NO_METRIC, metric)
        if not np.isfinite(values).any():
            kind = ObstacleKind.NO_TRIAL
            if len(trials):
                kind = ObstacleKind.NO_VALUE
            raise NotTestable(Obstacle(kind=kind, names=[metric], conditions=conditions))
        return values[np.isfinite(values)]

    def mean_per_configuration(self, values: pd.Series[float]) -> pd.Series[float]:
        """Return the mean over the seeds of each configuration, by its first trial.

        Where configurations are compared, seeds are repetitions of one and no observations of their
        own: counting them would make any association of a few configurations significant.
        """
        configurations = self.results.configurations.loc[values.index]
        means = values.groupby(configurations).transform("mean")
        return means[~configurations.duplicated()]

    def _at_epoch(self, epoch: int, conditions: Conditions) -> pd.DataFrame:
        """Return the metrics at an epoch of the trials that meet all conditions and reached it."""
        matching = [trial for trial in self.requested.index if self._meets(trial, conditions)]
        epochs = self.results.epochs
        at_epoch = epochs[(epochs["run"] == self.run.name) & (epochs["epoch"] == epoch)]
        numbers = self.requested.loc[matching, "trial"]
        rows = at_epoch.set_index("trial").reindex(numbers).set_axis(matching, axis=0)
        for trial in rows.index[rows["epoch"].isna()]:
            self.left_out[trial] = LeftOut(LeftOutReason.NO_EPOCH, str(epoch))
        return rows.dropna(subset=["epoch"])

    def _meets(self, trial: int, conditions: Conditions) -> bool:
        """Whether a trial meets all conditions; overrides of the run replace settings."""
        overrides = self.run.sweep.overrides
        for name, required in conditions.items():
            value = required_value(name, required, overrides)
            if not is_same_setting(self.setting(trial, name), value):
                return False
        return True

    def own_overrides(self, trial: int, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the settings of a trial that the newest command does not have, except `names`."""
        changed = own_overrides(self.run.records[self._number(trial)], self.run.sweep)
        chosen = set(names)
        return {name: change for name, change in changed.items() if name not in chosen}

    def table(self, trial: int, name: str) -> list[dict[str, Any]]:
        """Return the rows of a table of the trial's final evaluation; empty without it."""
        return self.run.records[self._number(trial)].final_tables.get(name, [])

    def is_size(self, metric: str, trials: Iterable[int]) -> bool:
        """Whether a metric of these trials is a size of their networks, which is not random."""
        return all(metric in self.run.records[self._number(trial)].sizes for trial in trials)

    def other_settings(self, trial: int, names: Iterable[str]) -> str:
        """Return all settings but the seed and these: equal for trials that differ only in them."""
        config: dict[str, Any] = {}
        for key, value in self.config(trial).items():
            config[key] = value
            if isinstance(value, list):
                config[key] = list(value)  # an element of it may be changed below
        for name in names:
            element = find_element(config, name)
            if element is not None:
                values, index = element
                values[index] = None
            for key in list(config):
                if key == name or key.startswith(f"{name}."):
                    del config[key]
        return repr(settings_without_seed(config))


def find_element(config: dict[str, Any], name: str) -> tuple[list[Any], int] | None:
    """Return the tuple and the index that a name such as arch.encoder_filters.2 denotes.

    Elements are counted from 1. None if the name does not denote an element.
    """
    parent, _, number = name.rpartition(".")
    values = config.get(parent)
    if not isinstance(values, list) or not number.isdecimal():
        return None
    if not 1 <= int(number) <= len(values):
        return None
    return values, int(number) - 1


def is_same_setting(value: Any, required: Any) -> bool:
    """Whether a cell has the required value; None: whether it is missing."""
    if required is None:
        return is_missing(value)
    return is_equal(value, str(to_cell(required)))
