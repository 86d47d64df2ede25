"""How the sweep progressed: each trial's value in the order in which the trials ended, and the best so far."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data.tables import Results
from cae.report.page.figures import style

MOST_DOTS = 2000
"""Of more trials with a value an even sample is drawn; the line of the best so far is of all."""


def progress_data(results: Results) -> pd.DataFrame:
    """One row per trial that started, in the order of its last sign of life (`order` from 1): label, state, value, best (so far), hours.

    `value` is NaN for a trial without a finite value; `hours` counts from the first start.
    """
    last = {
        (run.name, record.number): max(
            [start.time for start in record.starts] + list(record.epoch_times.values())
        )
        for run in results.runs
        for record in run.records.values()
        if record.starts or record.epoch_times
    }
    trials = results.trials
    times = pd.Series(
        [last.get(key, np.nan) for key in zip(trials["run"], trials["trial"], strict=True)],
        index=trials.index,
        dtype=float,
    )
    order = times.dropna().sort_values(kind="stable").index
    values = results.values.loc[order]
    return pd.DataFrame(
        {
            "label": results.labels.loc[order],
            "state": trials.loc[order, "state"],
            "value": values,
            "best": values.cummin() if results.mode == "min" else values.cummax(),
            "hours": (times.loc[order] - times.min()) / 3600,
            "order": np.arange(1, len(order) + 1),
            "metric": results.metric,
        }
    )


def progress_figure(data: pd.DataFrame) -> go.Figure:
    figure = go.Figure()
    metric = str(data["metric"].iloc[0]) if len(data) else "value"
    reached = data["best"].ffill()
    steps = reached.ne(reached.shift()) | (
        data["order"] == len(data)
    )  # between two new bests the line is flat
    figure.add_scatter(
        x=style.small(data["order"][steps]),
        y=style.small(reached[steps]),
        mode="lines",
        line={"shape": "hv", "width": 2, "color": style.ACCENT},
        name="best so far",
        hoverinfo="skip",
    )
    seen = data[np.isfinite(data["value"].to_numpy(dtype=float))]
    drawn = thinned(seen)
    for state in [state for state in style.STATES if (drawn["state"] == state).any()]:
        some = drawn[drawn["state"] == state]
        figure.add_scatter(
            x=style.small(some["order"]),
            y=style.small(some["value"]),
            mode="markers",
            name=state,
            marker=style.state_marker(state),
            opacity=0.85 if len(data) <= 200 else 0.5,
            text=_hovers(some, metric),
            hoverinfo="text",
            customdata=list(some.index),
        )
    figure.update_xaxes(
        title="trials, in the order in which they ended",
        range=[0, len(data) + 1],
        tickformat="d",
        dtick=1 if len(data) <= 12 else None,
    )
    figure.update_yaxes(**style.value_axis(metric, data["value"].to_numpy(dtype=float)))
    _rug(figure, thinned(data.drop(seen.index)), metric)
    return style.layout(figure, height=400)


def thinned(data: pd.DataFrame) -> pd.DataFrame:
    """Every second, third ... row, so that at most `MOST_DOTS` are left."""
    return data.iloc[:: max(1, -(-len(data) // MOST_DOTS))]


def _rug(figure: go.Figure, data: pd.DataFrame, metric: str) -> None:
    """Trials without a value stand on a line above the plot: seen, but on no scale."""
    for state in data["state"].unique():
        some = data[data["state"] == state]
        figure.add_scatter(
            x=style.small(some["order"]),
            y=[1.0] * len(some),
            yaxis="y2",
            mode="markers",
            name=f"{state}, no value",
            marker=style.state_marker(state),
            text=_hovers(some, metric),
            hoverinfo="text",
            customdata=list(some.index),
        )
    if len(data):
        hidden = {
            "overlaying": "y",
            "range": [-19, 1.6],
            "visible": False,
            "fixedrange": True,
            "type": "linear",
        }
        figure.update_layout(yaxis2=hidden)


def _hovers(data: pd.DataFrame, metric: str) -> list[str]:
    return [
        style.escaped(
            f"{label}: {state}, {metric} {formatting.number(value) or 'none'}, {formatting.number(hours, 3)} h after the start",
            120,
        )
        for label, state, value, hours in zip(
            data["label"], data["state"], data["value"], data["hours"], strict=True
        )
    ]
