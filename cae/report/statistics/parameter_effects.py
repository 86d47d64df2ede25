"""Whether the values at the settings of a parameter differ, one parameter at a time.

The test is that of Kruskal and Wallis, with Bonferroni's correction for the number of parameters.
Each selection of `compared_trials` is tested by itself: values after training of different length
are never pooled. Settings without a finished trial, because all their trials were stopped, are
named: what they would have reached is unknown.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import pandas as pd

from cae.report.data.axis import Axis, AxisKind, Floats, make_axis, settings_per_trial
from cae.report.data.parameters import confounded_parameters, varying_parameters
from cae.report.data.results import CACHED_RESULTS, Results
from cae.report.statistics.compared_trials import (
    ComparedTrials,
    finished_trials,
    trials_at_same_epoch,
)

SIGNIFICANCE = 0.05


class EffectVerdict(StrEnum):
    DIFFERENCE = "difference"
    """The values at the settings of a parameter differ significantly."""
    TREND = "trend"
    """Not significant, but every step of the only parameter changes the value in one direction."""
    NONE = "no difference"
    TOO_FEW_TRIALS = "fewer than two trials"


@dataclass(frozen=True, eq=False)
class ParameterSettings:
    """The settings of one parameter in all trials that have a value."""

    axis: Axis
    settings: pd.Series[str]
    """By row of the table of trials; missing if a trial does not have the parameter."""


@dataclass(frozen=True, eq=False)
class ParameterEffect:
    """The parameter with the most significant difference in one selection of trials."""

    compared: ComparedTrials
    verdict: EffectVerdict
    parameter: str = ""
    """Empty without a difference or a trend."""
    p_value: float = 1.0
    """With Bonferroni's correction."""
    medians: pd.Series[float] | None = None
    """By setting of the parameter: the best one first; of a trend, in the order of the axis."""
    confounded: Mapping[str, list[str]] = field(default_factory=dict)
    """See `confounded_parameters`."""


class SettingWithoutFinished(NamedTuple):
    """A setting of which trials were stopped, and none finished."""

    parameter: str
    setting: str
    stopped: int


@dataclass(frozen=True, eq=False)
class EffectAnalysis:
    parameters: list[ParameterSettings]
    """Those that differ among trials with a value."""
    effects: list[ParameterEffect]
    """Of the finished trials and, if some were stopped, of all trials at the same epoch."""
    without_finished: list[SettingWithoutFinished]


@functools.lru_cache(maxsize=CACHED_RESULTS)
def analyze_effects(results: Results) -> EffectAnalysis:
    selections = [finished_trials(results)]
    at_same_epoch = trials_at_same_epoch(results)
    if at_same_epoch is not None:
        selections.append(at_same_epoch)
    parameters = _parameter_settings(results, selections)
    effects = [_strongest_effect(results, parameters, compared) for compared in selections]
    return EffectAnalysis(parameters, effects, _without_finished(results, parameters))


def _parameter_settings(
    results: Results, selections: list[ComparedTrials]
) -> list[ParameterSettings]:
    has_value = results.values.notna()
    for compared in selections:
        has_value |= results.trials.index.isin(compared.values.index)
    trials = results.trials[has_value]
    parameters = []
    for name in varying_parameters(results, trials):
        axis = make_axis(name, trials[name], results.axes.get(name, {}))
        settings = settings_per_trial(axis).set_axis(trials.index)
        parameters.append(ParameterSettings(axis, settings))
    return parameters


def _strongest_effect(
    results: Results, parameters: list[ParameterSettings], compared: ComparedTrials
) -> ParameterEffect:
    values = compared.values
    if len(values) < 2 or not parameters:
        return ParameterEffect(compared, EffectVerdict.TOO_FEW_TRIALS)
    p_values = []
    for parameter in parameters:
        observations = _observations(results, parameter, values)
        settings = parameter.settings[observations.index]
        p_values.append(kruskal_wallis(settings, np.array(observations, dtype=np.float64)))
    strongest = parameters[int(np.argmin(p_values))]
    p_value = min(1.0, min(p_values) * len(parameters))
    if p_value < SIGNIFICANCE:
        medians = values.groupby(strongest.settings[values.index]).median()
        medians = medians.sort_values(ascending=results.mode == "min")
        verdict = EffectVerdict.DIFFERENCE
        name = strongest.axis.name
        rows = results.trials.loc[values.index]
        confounded = confounded_parameters(results, rows, [name])
        return ParameterEffect(compared, verdict, name, p_value, medians, confounded)
    trend = _trend(parameters, compared)
    if trend is not None:
        return trend
    return ParameterEffect(compared, EffectVerdict.NONE, p_value=p_value)


def _observations(
    results: Results, parameter: ParameterSettings, values: pd.Series[float]
) -> pd.Series[float]:
    """Return what is compared between the settings of a parameter: the mean of each configuration.

    Its seeds are repetitions, and no evidence that other configurations with the same setting
    behave alike. If each setting has one configuration, its seeds are compared.
    """
    configurations = results.configurations[values.index]
    settings = parameter.settings[values.index]
    if configurations.groupby(settings).nunique().max() == 1:
        return values
    means = values.groupby(configurations).transform("mean")
    return means[~configurations.duplicated()]


def kruskal_wallis(settings: pd.Series[str], values: Floats) -> float:
    """Return the p value over the settings with at least 2 trials; 1 if there are not two.

    Trials without a setting are not used.
    """
    samples = []
    for _, group in pd.Series(values).groupby(settings.to_numpy()):
        if len(group) > 1:
            samples.append(group.to_numpy())
    if len(samples) < 2 or np.ptp(np.concatenate(samples)) == 0:
        return 1.0
    from scipy import stats  # takes a second to import

    return float(stats.kruskal(*samples).pvalue)


def _trend(parameters: list[ParameterSettings], compared: ComparedTrials) -> ParameterEffect | None:
    """Describe a sweep of one parameter in which every step changes the metric in one direction.

    Returns None if the sweep is another one, or the direction changes.
    """
    parameter = parameters[0]
    positions = pd.Series(parameter.axis.positions, index=parameter.settings.index)
    positions = positions[compared.values.index]
    has_one_trial_per_setting = positions.nunique() == len(positions) > 2
    is_category = parameter.axis.kind == AxisKind.CATEGORY
    if len(parameters) > 1 or is_category or not has_one_trial_per_setting:
        return None
    order = positions.sort_values().index
    steps = np.diff(compared.values[order].to_numpy())
    if not np.all(steps > 0) and not np.all(steps < 0):
        return None
    values = compared.values[order].set_axis(parameter.settings[order])
    return ParameterEffect(compared, EffectVerdict.TREND, parameter.axis.name, medians=values)


def _without_finished(
    results: Results, parameters: list[ParameterSettings]
) -> list[SettingWithoutFinished]:
    settings_without = []
    for parameter in parameters:
        trials = parameter.settings.index
        by_setting = parameter.settings
        finished = results.is_fully_trained[trials].groupby(by_setting, sort=False).sum()
        stopped = results.is_cut_short[trials].groupby(by_setting, sort=False).sum()
        positions = pd.Series(parameter.axis.positions, index=parameter.settings.index)
        order = positions.groupby(parameter.settings).min().sort_values().index
        for setting in order:
            if stopped[setting] and not finished[setting]:
                name = parameter.axis.name
                settings_without.append(
                    SettingWithoutFinished(name, str(setting), int(stopped[setting]))
                )
    return settings_without
