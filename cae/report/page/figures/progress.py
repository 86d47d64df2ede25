"""Progress of the sweep: the value of each trial in the order of ends, and the best so far."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.figures import style

MAX_DOTS = 2000
"""Of more trials, an even sample is drawn. The line of the best so far includes all."""


@dataclass(frozen=True)
class ProgressData:
    metric: str
    trials: pd.DataFrame
    """One row per trial that was started, in the order of its last start or epoch: label, state,
    value (NaN if not finite), best (so far), hours (since the first of them), order (from 1)."""


def progress_data(results: Results) -> ProgressData:
    times = last_times(results)
    order = times.dropna().sort_values(kind="stable").index
    values = results.values.loc[order]
    best = values.cummin() if results.mode == "min" else values.cummax()
    trials = pd.DataFrame(
        {
            "label": results.labels.loc[order],
            "state": results.trials.loc[order, "state"],
            "value": values,
            "best": best,
            "hours": (times.loc[order] - times.min()) / 3600,
            "order": np.arange(1, len(order) + 1),
        }
    )
    return ProgressData(results.metric, trials)


def last_times(results: Results) -> pd.Series[float]:
    """Return when each trial last started or finished an epoch; NaN if it never started."""
    times: list[float] = []
    for run in results.runs:
        for record in run.records.values():
            starts = [start.time for start in record.starts]
            times.append(max([*starts, *record.epoch_times.values()], default=math.nan))
    return pd.Series(times, index=results.trials.index, dtype=float)


def draw_progress(data: ProgressData) -> go.Figure:
    figure = go.Figure()
    trials = data.trials
    _draw_best_line(figure, trials)
    has_value = np.isfinite(trials["value"].to_numpy(dtype=float))
    with_value = thin_out(trials[has_value])
    opacity = 0.85
    if len(trials) > 200:
        opacity = 0.5
    for state, group in style.groups_by_state(with_value):
        figure.add_scatter(
            x=style.compact(group["order"]),
            y=style.compact(group["value"]),
            mode="markers",
            name=state,
            marker=style.state_marker(state),
            opacity=opacity,
            text=_hover_texts(group, data.metric),
            hoverinfo="text",
            customdata=list(group.index),
        )
    tick_distance = None
    if len(trials) <= 12:
        tick_distance = 1
    figure.update_xaxes(
        title="trials, in the order of their ends",
        range=[0, len(trials) + 1],
        tickformat="d",
        dtick=tick_distance,
    )
    figure.update_yaxes(
        **style.value_axis(data.metric, trials["value"].to_numpy(dtype=float)),
    )
    if len(trials):
        _draw_trials_without_value(figure, thin_out(trials[~has_value]), data.metric)
    return style.set_layout(figure, height=400)


def thin_out(trials: pd.DataFrame) -> pd.DataFrame:
    """Return every second, third, ... row, so that at most `MAX_DOTS` are left."""
    step = max(1, math.ceil(len(trials) / MAX_DOTS))
    return trials.iloc[::step]


def _draw_best_line(figure: go.Figure, trials: pd.DataFrame) -> None:
    """Draw the best value so far. Only its steps are stored: it is flat between them."""
    best = trials["best"].ffill()
    is_last = trials["order"] == len(trials)
    is_step = best.ne(best.shift()) | is_last
    figure.add_scatter(
        x=style.compact(trials["order"][is_step]),
        y=style.compact(best[is_step]),
        mode="lines",
        line={"shape": "hv", "width": 2, "color": style.ACCENT},
        name="best so far",
        hoverinfo="skip",
    )


def _draw_trials_without_value(figure: go.Figure, trials: pd.DataFrame, metric: str) -> None:
    """Draw trials without a value on a line above the plot, on an axis of their own."""
    for state, group in style.groups_by_state(trials):
        figure.add_scatter(
            x=style.compact(group["order"]),
            y=[1.0] * len(group),
            yaxis="y2",
            mode="markers",
            name=f"{state}, no value",
            marker=style.state_marker(state),
            text=_hover_texts(group, metric),
            hoverinfo="text",
            customdata=list(group.index),
        )
    axis = {
        "overlaying": "y",
        "range": [-19, 1.6],
        "visible": False,
        "fixedrange": True,
        "type": "linear",
    }
    figure.update_layout(yaxis2=axis)


def _hover_texts(trials: pd.DataFrame, metric: str) -> list[str]:
    texts = []
    for row in formatting.rows(trials):
        value = formatting.number(row.value)
        hours = formatting.number(row.hours, 3)
        text = f"{row.label}: {row.state}, {metric} {value}, {hours} h after the first start"
        texts.append(style.escaped(text, 120))
    return texts
