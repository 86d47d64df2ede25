"""The effect of each parameter by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cae.report import formatting
from cae.report.data.axis import Axis, Floats, settings_per_trial
from cae.report.data.parameters import has_several_values
from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.parameters import (
    BINS,
    MAX_POINTS,
    ParametersData,
    draw_parameters,
    parameters_data,
)
from cae.report.page.section import SectionContent, section
from cae.report.page.table import make_table, parameter_columns

SIGNIFICANCE = 0.05


@section(
    "parameters",
    title="One parameter at a time",
    order=90,
    figures=[Figure("parameters", parameters_data, draw_parameters)],
)
def parameters_section(results: Results) -> SectionContent:
    data = parameters_data(results)
    if not data.axes:
        return SectionContent(
            verdict="No parameter differs among trials with a value.", is_empty=True
        )
    values = np.array(data.trials["value"], dtype=np.float64)
    settings = pd.concat([_settings(axis, values, results) for axis in data.axes])
    return SectionContent(
        verdict=_verdict(data, values),
        method=_method(results, data),
        captions={"parameters": f"{results.metric} against each parameter"},
        tables=[
            make_table("The best at each setting", settings, parameters=parameter_columns(results))
        ],
        open_tables=0,
    )


def _settings(axis: Axis, values: Floats, results: Results) -> pd.DataFrame:
    """Return trials, best and median value at each setting of one parameter."""
    settings = settings_per_trial(axis)
    values_at_setting = pd.Series(values).groupby(settings, sort=False)
    best = values_at_setting.min() if results.mode == "min" else values_at_setting.max()
    rows = pd.DataFrame(
        {
            "trials": values_at_setting.size(),
            f"best {results.metric}": best,
            f"median {results.metric}": values_at_setting.median(),
        }
    )
    positions = pd.Series(axis.positions).groupby(settings).min()
    rows = rows.loc[positions.sort_values().index].rename_axis("setting").reset_index()
    rows.insert(0, "parameter", axis.name)
    return rows


@dataclass(frozen=True)
class ParameterTest:
    """Whether the values at the settings of a parameter differ."""

    axis: Axis
    p: float


def kruskal_wallis(settings: pd.Series[str], values: Floats) -> float:
    """Return the p value over the settings with at least 2 trials; 1 if there are not two."""
    samples = []
    for _, group in pd.Series(values).groupby(settings):
        if len(group) > 1:
            samples.append(group.to_numpy())
    if len(samples) < 2 or np.ptp(np.concatenate(samples)) == 0:
        return 1.0
    from scipy import stats  # takes a second to import

    return float(stats.kruskal(*samples).pvalue)


def strongest_effect(results: Results) -> str:
    """The verdict of the section; empty if no parameter differs among trials with a value."""
    data = parameters_data(results)
    if not data.axes:
        return ""
    return _verdict(data, np.array(data.trials["value"], dtype=np.float64))


def _verdict(data: ParametersData, values: Floats) -> str:
    """Name the parameter with the most significant difference between its settings."""
    tests = [
        ParameterTest(axis, kruskal_wallis(settings_per_trial(axis), values)) for axis in data.axes
    ]
    strongest = min(tests, key=lambda test: test.p)
    p = min(1.0, strongest.p * len(tests))  # Bonferroni's correction
    if p < SIGNIFICANCE:
        return _difference(data, strongest.axis, values, p)
    trend = _trend(data, values)
    if trend:
        return trend
    trials = formatting.plural(len(values), "trial")
    return f"No single parameter makes a significant difference between these {trials}."


def _difference(data: ParametersData, axis: Axis, values: Floats, p: float) -> str:
    medians = pd.Series(values).groupby(settings_per_trial(axis)).median()
    medians = medians.sort_values(ascending=data.mode == "min")
    best = f"{formatting.number(medians.iloc[0])} at {medians.index[0]}"
    worst = f"{formatting.number(medians.iloc[-1])} at {medians.index[-1]}"
    p_text = f"p\u00a0=\u00a0{p:.1g}"
    if p < 1e-4:
        p_text = "p\u00a0<\u00a00.0001"
    return (
        f"{axis.name} makes the most significant difference: median {data.metric} {best} and "
        f"{worst} ({p_text}, {len(values)} trials)."
    )


def _trend(data: ParametersData, values: Floats) -> str:
    """Describe a sweep of one parameter in which every step changes the metric in one direction.

    Returns "" if the sweep is another one, or the direction changes.
    """
    axis = data.axes[0]
    has_one_trial_per_setting = len(np.unique(axis.positions)) == len(values) > 2
    if len(data.axes) > 1 or axis.kind == "category" or not has_one_trial_per_setting:
        return ""
    order = np.argsort(axis.positions)
    steps = np.diff(values[order])
    if np.all(steps > 0):
        verb = "rises"
    elif np.all(steps < 0):
        verb = "falls"
    else:
        return ""
    settings = settings_per_trial(axis).to_numpy()[order]
    first = f"{formatting.number(values[order][0])} at {settings[0]}"
    last = f"{formatting.number(values[order][-1])} at {settings[-1]}"
    return (
        f"{data.metric} {verb} with {axis.name} at every step, from {first} to {last}. With one "
        "trial per setting, this may be chance."
    )


def _method(results: Results, data: ParametersData) -> str:
    axes = [name for name in results.axes if name in results.trials]
    constant = [name for name in axes if not has_several_values(results.trials[name])]
    sentences = []
    if constant:
        sentences.append(f"Parameters with one value, not shown: {formatting.listed(constant)}.")
    if data.hidden:
        sentences.append(f"Parameters without room: {formatting.listed(data.hidden)}.")
    sentences.append(
        f"Dots are trials: at most {MAX_POINTS}, evenly spread over the ranking, and moved a "
        "little to the side so that they do not overlap. The line is the best at each setting, or "
        f"in each tenth of the range if a parameter has more than {BINS} values. The sentence "
        "compares the medians at settings, or in quarters of a parameter with many values, with "
        "the Kruskal-Wallis test and Bonferroni's correction for the number of parameters. The "
        "other parameters are not held constant, and stopped trials were trained for fewer epochs: "
        "differences are observed and not necessarily caused by the parameter."
    )
    return formatting.sentences(sentences)
