"""One scatter plot per parameter: the value of every trial, and the best finished at each setting.

No model is fitted, so the plots are valid for any number of trials.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data.axis import (
    PANEL_CHARACTERS,
    Axis,
    Floats,
    make_axis,
    spaced_labels,
    spaced_ticks,
)
from cae.report.data.parameters import varying_parameters
from cae.report.data.results import Results
from cae.report.page.figures import style
from cae.report.statistics.compared_trials import finished_trials
from cae.run.metric_direction import Mode

MAX_PANELS = 12
MAX_POINTS = 600
"""Points per panel. Of more trials, an even sample over the ranking is drawn, with the best one."""
BINS = 10
"""For a parameter with more distinct values, the line shows the best per bin."""
GOLDEN_RATIO = 0.618


@dataclass(frozen=True)
class ParametersData:
    metric: str
    mode: Mode
    axes: list[Axis]
    trials: pd.DataFrame
    """label, state, value and compared value (NaN if it is from fewer epochs than those of others)
    of the trials that are drawn, the best first."""
    hidden: list[str]
    """Names of the parameters beyond the first `MAX_PANELS`."""


def parameters_data(results: Results) -> ParametersData:
    ranked = sample_evenly(results.ranked, MAX_POINTS)
    names = varying_parameters(results, ranked)
    axes = [
        make_axis(name, ranked[name], results.axes.get(name, {})) for name in names[:MAX_PANELS]
    ]
    trials = pd.DataFrame(
        {
            "label": results.labels.loc[ranked.index],
            "state": ranked["state"],
            "value": results.values.loc[ranked.index],
            "compared": finished_trials(results).values.reindex(ranked.index),
        }
    )
    return ParametersData(results.metric, results.mode, axes, trials, names[MAX_PANELS:])


def sample_evenly(ranked: pd.DataFrame, size: int) -> pd.DataFrame:
    """Return at most `size` trials, evenly spread over the ranking, always with the best one."""
    if len(ranked) <= size:
        return ranked
    positions = np.linspace(0, len(ranked) - 1, size).astype(int)
    return ranked.iloc[np.unique(positions)]


def best_at_settings(scale: Axis, values: Floats, mode: Mode) -> pd.DataFrame:
    """Return the best value at each setting, or per bin at its middle: position, best."""
    is_known = np.isfinite(scale.positions) & np.isfinite(values)
    frame = pd.DataFrame({"position": scale.positions[is_known], "best": values[is_known]})
    if scale.kind != "category" and frame["position"].nunique() > BINS:
        edges = np.linspace(scale.low, scale.high, BINS + 1)
        middles = (edges[:-1] + edges[1:]) / 2
        bins = np.clip(np.digitize(frame["position"], edges) - 1, 0, BINS - 1)
        frame["position"] = middles[bins]
    groups = frame.groupby("position")["best"]
    if mode == "min":
        return groups.min().reset_index()
    return groups.max().reset_index()


def draw_parameters(data: ParametersData) -> go.Figure:
    figure = go.Figure()
    value_axis = style.value_axis(data.metric, data.trials["value"].to_numpy(dtype=float))
    compared_values = data.trials["compared"].to_numpy(dtype=float)
    for panel, scale in enumerate(data.axes):
        best = best_at_settings(scale, compared_values, data.mode)
        _draw_trials(figure, data, scale, panel)
        _draw_best(figure, best, scale.kind, panel)
        style.set_panel_layout(figure, panel, _parameter_axis(scale), value_axis)
    panels = max(1, len(data.axes))
    return style.set_layout(
        figure, height=280, panels=panels, columns=min(3, panels), shares_y=True
    )


def _draw_best(figure: go.Figure, best: pd.DataFrame, kind: str, panel: int) -> None:
    dash = "solid"
    if kind == "category":
        dash = "dot"
    figure.add_scatter(
        x=style.compact(best["position"]),
        y=style.compact(best["best"]),
        mode="lines+markers",
        name="best finished trial at this value",
        line={"width": 2, "color": style.ACCENT, "dash": dash},
        marker={"size": 5},
        showlegend=panel == 0,
        legendgroup="best",
        hoverinfo="skip",
        **style.panel_axes(panel),
    )


def _draw_trials(figure: go.Figure, data: ParametersData, scale: Axis, panel: int) -> None:
    """Draw the trials of one panel, spread around their setting so that they do not overlap."""
    count = len(data.trials)
    opacity = 0.7
    if count > 200:
        opacity = 0.4
    offsets = (np.arange(count) * GOLDEN_RATIO) % 1 - 0.5
    width = min(1.0, count / 60) * _spread(scale)
    trials = data.trials.assign(position=scale.positions + width * offsets)
    for state, group in style.groups_by_state(trials[np.isfinite(scale.positions)]):
        texts = [f"{row.label}: {formatting.number(row.value)}" for row in formatting.rows(group)]
        figure.add_scatter(
            x=style.compact(group["position"]),
            y=style.compact(group["value"]),
            mode="markers",
            name=state,
            legendgroup=state,
            showlegend=panel == 0,
            marker=style.state_marker(state, 6),
            opacity=opacity,
            hoverinfo="text",
            customdata=list(group.index),
            text=[style.escaped(text) for text in texts],
            **style.panel_axes(panel),
        )


def _spread(scale: Axis) -> float:
    """Return how far trials of one setting may be spread: 1/3 of the smallest distance."""
    settings = np.unique(scale.positions[np.isfinite(scale.positions)])
    if not 1 < len(settings) <= BINS:
        return 0.0
    return 0.33 * float(np.diff(settings).min())


def _parameter_axis(scale: Axis) -> dict[str, object]:
    margin = max(0.08 * (scale.high - scale.low), 0.75 * _spread(scale))
    if margin == 0:
        margin = 1.0
    ticks = [tick._replace(text=style.escaped(tick.text, 12)) for tick in scale.ticks]
    if scale.kind == "category":
        margin = 0.5
        ticks = [ticks[index] for index in spaced_labels([tick.text for tick in ticks])]
    else:
        sizes = [(len(tick.text) + 2) / PANEL_CHARACTERS for tick in ticks]
        ticks = spaced_ticks(ticks, scale.high - scale.low + 2 * margin, sizes)
    return {
        "title": {"text": style.escaped(scale.name, 32), "standoff": 6},
        "tickvals": [tick.position for tick in ticks],
        "ticktext": [tick.text for tick in ticks],
        "range": [scale.low - margin, scale.high + margin],
        "zeroline": False,
        "tickangle": 0,
        "tickfont": {"size": 11},
    }
