"""The sentences above the charts: how the sweep progressed, what each parameter did, how the trials learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cae.report import formatting
from cae.report.data import axis as scales
from cae.report.data.tables import Results
from cae.report.page.figures.curves import MOST_LINES, TOP, curves_data, twin
from cae.report.page.figures.parallel_coordinates import parallel_data
from cae.report.page.figures.parameters import Axes, axes_data
from cae.report.page.figures.progress import progress_data
from cae.report.page.sections.base import Section, better, table, typed_columns


def progress(results: Results, _rows: list[dict[str, Any]]) -> Section:
    data = progress_data(results)
    best = data["best"].dropna()
    if not len(best):
        return Section(
            "progress", "Progress", f"No trial has a finite {results.metric} yet.", empty=True
        )
    change = best.ne(best.shift())
    last = data.loc[change[change].index[-1]]
    times, after = int(change.sum()), len(data) - int(last["order"])
    still = (
        f"none of the {after} after it came closer"
        if after > 1
        else "one more came after it"
        if after
        else "it was the last one to end"
    )
    verdict = f"The best {results.metric} was set {formatting.plural(times, 'time')} in {formatting.plural(len(data), 'trial')}, "
    verdict += f"last by {last['label']} ({formatting.number(last['value'])}); {still}."
    if len(data) == 1:
        verdict = f"One trial so far, with {results.metric} {formatting.number(last['value'])}."
    steps = data.loc[change[change].index, ["order", "label", "value", "hours"]]
    return Section(
        "progress",
        "Progress",
        verdict,
        how=f"Trials stand in the order of their last epoch. {len(data) - data['value'].notna().sum()} without a finite value are marked "
        "above the plot. A trial that runs or was stopped counts with its best epoch so far. Of more than 2,000 dots, "
        "an even sample is drawn.",
        charts={
            "progress": f"Best {results.metric} so far, and every trial's, in the order in which the trials ended"
        },
        data={
            "table": table(
                "Every new best", steps, names={"order": "trials ended", "label": "trial"}
            )
        },
    )


def parallel(results: Results, _rows: list[dict[str, Any]]) -> Section:
    data = parallel_data(results)
    title = "Parallel coordinates"
    if len(data.axes) < 2 or data.trials["bin"].max() < 0:
        return Section(
            "parallel",
            title,
            "Nothing to draw: no parameter differs among trials with a value.",
            empty=True,
        )
    top = results.ranked.head(max(1, len(results.ranked) // 10))
    shared = [
        f"{axis.name} {formatting.parameter(top[axis.name].iloc[0])}"
        for axis in data.axes[:-1]
        if len(top) > 1 and top[axis.name].map(str).nunique() == 1
    ]
    agree = f"The best {len(top)} trials share {formatting.listed(shared)}." if shared else ""
    if len(top) > 1 and not shared:
        agree = f"The best {len(top)} trials share no single setting."
    left = (
        f"{data.left_out} trials, evenly spread over the ranking, are not drawn. "
        if data.left_out
        else ""
    )
    hidden = (
        f"Not drawn for want of room: {formatting.listed(data.hidden)}. " if data.hidden else ""
    )
    count = len(data.trials)
    return Section(
        "parallel",
        title,
        formatting.sentences(
            [
                f"{formatting.plural(count, 'trial')} over {formatting.plural(len(data.axes) - 1, 'parameter')}.",
                agree,
            ]
        ),
        how=f"{left}{hidden}One line per trial; dark is {better(results)}, the darkest and widest lines are the best twelfth of the range. "
        "Parameters that are the same in all trials are left out; a trial that lacks a parameter passes through “none” below its axis. "
        "Trials without a value are in the legend, off at first.",
        charts={"parallel": f"Parameters of each trial, coloured by {results.metric}"},
    )


def axes(results: Results, _rows: list[dict[str, Any]]) -> Section:
    data = axes_data(results)
    if not data.axes:
        return Section(
            "axes",
            "One parameter at a time",
            "No parameter differs among trials with a value.",
            empty=True,
        )
    values = np.array(data.trials["value"], dtype=np.float64)
    frame = pd.concat([_settings(axis, values, results) for axis in data.axes])
    constant = [
        name
        for name in results.axes
        if name in results.trials and not scales.differs(results.trials[name])
    ]
    same = f"Not shown, one value only: {formatting.listed(constant)}. " if constant else ""
    hidden = (
        f"Not shown for want of room: {formatting.listed(data.hidden)}. " if data.hidden else ""
    )
    return Section(
        "axes",
        "One parameter at a time",
        _strongest(data, values),
        how=f"{same}{hidden}Dots are trials (at most 600, spread evenly over the ranking and a little beside their "
        "setting), the line is the best at each setting (per tenth of the range where a parameter has more than 10 values). "
        "The sentence compares the medians of settings, or of quarters of a parameter with many values, by the Kruskal-Wallis "
        "test with Bonferroni's correction for the number of parameters. Other parameters vary along, and stopped trials count with "
        "fewer epochs: this shows what was seen, not what causes it.",
        charts={"axes": f"{results.metric} against each parameter"},
        data={"table": table("The best at each setting", frame, typed=typed_columns(results))},
    )


def _strongest(data: Axes, values: scales.Floats) -> str:
    """The parameter whose settings differ most surely, with the medians of its best and worst; or that none does beyond chance."""
    tested = {
        axis.name: (chance(scales.groups(axis), values), scales.groups(axis)) for axis in data.axes
    }
    name = min(tested, key=lambda name: tested[name][0])
    p, settings = tested[name]
    p = min(1.0, p * len(tested))
    if not p < 0.05:
        return (
            _trend(data, values)
            or f"No parameter by itself separates these {formatting.plural(len(values), 'trial')} beyond chance."
        )
    medians = pd.Series(values).groupby(settings).median().sort_values(ascending=data.mode == "min")
    first, last = medians.index[0], medians.index[-1]
    chance_text = "p\u00a0<\u00a00.0001" if p < 1e-4 else f"p\u00a0=\u00a0{p:.1g}"
    return (
        f"{data.metric} differs most surely with {name}: median {formatting.number(medians.iloc[0])} at {first} against "
        f"{formatting.number(medians.iloc[-1])} at {last} ({chance_text}, {len(values)} trials)."
    )


def _trend(data: Axes, values: scales.Floats) -> str:
    """The one parameter of a sweep that varies nothing else, where every step up of it moves the metric the same way; or nothing."""
    (axis, *others), order = data.axes, np.argsort(data.axes[0].positions)
    steps = np.diff(values[order])
    single = len(np.unique(axis.positions)) == len(values) > 2
    if (
        others
        or axis.kind == "category"
        or not single
        or not (np.all(steps > 0) or np.all(steps < 0))
    ):
        return ""
    settings = scales.groups(axis).to_numpy()[order]
    first, last = (f"{formatting.number(values[order][end])} at {settings[end]}" for end in (0, -1))
    verb = "rises" if steps[0] > 0 else "falls"
    return f"{data.metric} {verb} with {axis.name} at every step, from {first} to {last}. One trial each: chance is not excluded."


def chance(settings: pd.Series[str], values: scales.Floats) -> float:
    """The Kruskal-Wallis p value of settings with at least 2 trials each; 1 where there are not two such settings."""
    samples = [some.to_numpy() for _, some in pd.Series(values).groupby(settings) if len(some) > 1]
    if len(samples) < 2 or np.ptp(np.concatenate(samples)) == 0:
        return 1.0
    from scipy import stats  # takes a second to import, and only this needs it

    return float(stats.kruskal(*samples).pvalue)


def _settings(axis: scales.Axis, values: scales.Floats, results: Results) -> pd.DataFrame:
    """Per setting of one parameter: trials, best and median value."""
    settings = scales.groups(axis)
    grouped = pd.Series(values).groupby(settings, sort=False)
    best = grouped.min() if results.mode == "min" else grouped.max()
    rows = pd.DataFrame(
        {
            "trials": grouped.size(),
            f"best {results.metric}": best,
            f"median {results.metric}": grouped.median(),
        }
    )
    places = pd.Series(axis.positions).groupby(settings).min()
    rows = rows.loc[places.sort_values().index].rename_axis("setting").reset_index()
    rows.insert(0, "parameter", axis.name)
    return rows


def curves(results: Results, _rows: list[dict[str, Any]]) -> Section:
    data = curves_data(results)
    title = "Learning curves"
    if not data.trials or not data.metrics:
        return Section("curves", title, "No epoch has been reported yet.", empty=True)
    drawn = (
        f"the best {TOP} of {data.trials} trials, before the band that holds 80 % of all"
        if data.trials > MOST_LINES
        else "every trial"
    )
    return Section(
        "curves",
        title,
        formatting.sentences([_still_falling(results), _overfit(results)])
        or f"{formatting.plural(data.trials, 'trial')} reported epochs.",
        how=f"Drawn: {drawn}. The blue line is the best trial; paler lines rank lower. A mark ends a curve that was stopped or failed; its "
        "reason is on hover. Values that are not finite leave gaps.",
        charts={"curves": f"{formatting.listed(data.metrics)} by epoch"},
    )


def _still_falling(results: Results) -> str:
    """A best epoch that is the last one says that training was cut short."""
    finished = results.ranked[results.ranked["state"] == "finished"]
    if not len(finished):
        return ""
    at_end = int(
        (finished["best_epoch"].astype(float) == finished["epochs_done"].astype(float)).sum()
    )
    if not at_end:
        return (
            f"No finished trial was still improving at its last epoch ({len(finished)} finished)."
        )
    return f"{at_end} of {formatting.plural(len(finished), 'finished trial')} had the best epoch last: more epochs would likely help."


def _overfit(results: Results) -> str:
    """The gap between training and validation of the best trial, at its best epoch."""
    other = twin(results.metric)
    if other == results.metric or other not in results.trials or not len(results.ranked):
        return ""
    first = results.ranked.iloc[0]
    if scales.missing(first[other]):
        return ""
    row = f"{results.metric} {formatting.number(first[results.metric])} against {other} {formatting.number(first[other])}"
    return f"At its best epoch {results.labels[results.ranked.index[0]]} has {row}."
