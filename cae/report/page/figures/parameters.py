"""One small scatter per parameter: every trial's value, and the best at each setting. No model, so always valid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data import axis as scales
from cae.report.data.tables import Results
from cae.report.page.figures import style

MOST_PANELS = 12
MOST_POINTS = 600
"""Dots per panel; of more trials an even sample over the ranking is drawn, the best one among them."""
BINS = 10
"""A parameter of more distinct values than this has its best per bin, not per value."""


class Axes(NamedTuple):
    metric: str
    mode: str
    axes: list[scales.Axis]
    trials: pd.DataFrame
    """label, state and value of the trials that are drawn, the best first."""
    hidden: list[str]
    """Names of the parameters beyond the first `MOST_PANELS`."""


def axes_data(results: Results) -> Axes:
    ranked = sample(results.ranked, MOST_POINTS)
    names = scales.varying(results, ranked)
    axes = [
        scales.axis(name, ranked[name], results.axes.get(name, {})) for name in names[:MOST_PANELS]
    ]
    trials = pd.DataFrame(
        {
            "label": results.labels.loc[ranked.index],
            "state": ranked["state"],
            "value": results.values.loc[ranked.index],
        }
    )
    return Axes(results.metric, results.mode, axes, trials, names[MOST_PANELS:])


def sample(ranked: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many trials, spread evenly over the ranking; the first (the best) is always one of them."""
    if len(ranked) <= most:
        return ranked
    return ranked.iloc[np.unique(np.linspace(0, len(ranked) - 1, most).astype(int))]


def best_line(axis: scales.Axis, values: scales.Floats, mode: str) -> pd.DataFrame:
    """The best value per setting (or per bin, at its middle): position, best."""
    keep = np.isfinite(axis.positions) & np.isfinite(values)
    frame = pd.DataFrame({"position": axis.positions[keep], "best": values[keep]})
    if axis.kind != "category" and frame["position"].nunique() > BINS:
        edges = np.linspace(axis.low, axis.high, BINS + 1)
        middles = (edges[:-1] + edges[1:]) / 2
        frame["position"] = middles[np.clip(np.digitize(frame["position"], edges) - 1, 0, BINS - 1)]
    best = frame.groupby("position")["best"]
    return (best.min() if mode == "min" else best.max()).reset_index()


def axes_figure(data: Axes) -> go.Figure:
    figure = go.Figure()
    values = data.trials["value"].to_numpy(dtype=float)
    scale = style.value_axis(data.metric, values)
    for panel, axis in enumerate(data.axes):
        suffix = str(panel + 1) if panel else ""
        axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        _dots(figure, data, axis, axes, legend=panel == 0)
        line = best_line(axis, values, data.mode)
        figure.add_scatter(
            x=style.small(line["position"]),
            y=style.small(line["best"]),
            mode="lines+markers",
            name="best at this value",
            line={
                "width": 2,
                "color": style.ACCENT,
                "dash": "dot" if axis.kind == "category" else "solid",
            },
            marker={"size": 5},
            showlegend=panel == 0,
            legendgroup="best",
            hoverinfo="skip",
            **axes,
        )
        figure.update_layout(
            {
                f"xaxis{suffix}": _ticks(axis),
                f"yaxis{suffix}": {**scale, **({"matches": "y"} if panel else {})},
            }
        )
    return style.layout(
        figure,
        height=280,
        panels=max(1, len(data.axes)),
        columns=min(3, max(1, len(data.axes))),
        shared=True,
    )


def _dots(
    figure: go.Figure, data: Axes, axis: scales.Axis, axes: dict[str, str], *, legend: bool
) -> None:
    """All states in one panel. Dots on one of a few settings are spread a little, so that they do not hide one another."""
    count = len(data.trials)
    spread = min(1.0, count / 60) * _room(axis) * ((np.arange(count) * 0.618) % 1 - 0.5)
    for state in [state for state in style.STATES if (data.trials["state"] == state).any()]:
        chosen = (data.trials["state"] == state).to_numpy() & np.isfinite(axis.positions)
        some = data.trials[chosen]
        figure.add_scatter(
            x=style.small((axis.positions + spread)[chosen]),
            y=style.small(some["value"]),
            mode="markers",
            name=state,
            legendgroup=state,
            showlegend=legend,
            marker=style.state_marker(state, 6),
            opacity=0.7 if count <= 200 else 0.4,
            hoverinfo="text",
            customdata=list(some.index),
            text=[
                style.escaped(f"{row.label}: {formatting.number(row.value)}")
                for row in some.itertuples()
            ],
            **axes,
        )


def _room(axis: scales.Axis) -> float:
    """How far dots of one setting may be spread: a third of the least distance of two settings; not at all where settings are many."""
    settings = np.unique(axis.positions[np.isfinite(axis.positions)])
    return 0.33 * float(np.diff(settings).min()) if 1 < len(settings) <= BINS else 0.0


def _ticks(axis: scales.Axis) -> dict[str, object]:
    pad = (
        0.5
        if axis.kind == "category"
        else max(0.08 * (axis.high - axis.low), 0.75 * _room(axis)) or 1.0
    )
    texts = [style.escaped(text, 12) for _, text in axis.ticks]
    kept = scales.fitting(texts) if axis.kind == "category" else range(len(texts))
    return {
        "title": {"text": style.escaped(axis.name, 32), "standoff": 6},
        "tickvals": [axis.ticks[place][0] for place in kept],
        "ticktext": [texts[place] for place in kept],
        "range": [axis.low - pad, axis.high + pad],
        "zeroline": False,
        "tickangle": 0,
        "tickfont": {"size": 11},
    }
