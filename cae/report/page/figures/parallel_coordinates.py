"""Parallel coordinates: one line per trial through its parameters to its value.

Drawn with scatter lines, not with `go.Parcoords`, which draws a missing value as if it were 0,
shows no text on hover, and needs WebGL.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data.axis import (
    Axis,
    Floats,
    Tick,
    make_axis,
    relative_positions,
    spaced_ticks,
    value_axis,
)
from cae.report.data.parameters import varying_parameters
from cae.report.data.results import Results
from cae.report.page.figures import style
from cae.report.page.figures.parameters import sample_evenly
from cae.report.statistics.compared_trials import finished_trials
from cae.run.metric_direction import Mode
from cae.run.trial_state import TrialState

MAX_LINES = 1000
MAX_AXES = 12
MAX_TICKS = 12
LABEL_HEIGHT = 0.045
"""Height of a tick label, as a share of an axis."""
BINS = 12
"""Number of colors. All lines of a bin are one trace: drawing time grows with the number of traces,
not of lines."""
NO_VALUE = -1
"""The bin of trials without a value."""
FEWER_EPOCHS = -2
"""The bin of trials whose value is from fewer epochs than those of the finished trials."""
MISSING_HEIGHT = -0.12
"""Height of the tick "none", below an axis from 0 to 1. Lines of trials without the parameter pass
through it."""
CROWDED_LINES = 200
"""More lines are drawn thinner and more transparent."""
STATES_WITHOUT_VALUE = [TrialState.FAILED, TrialState.DIVERGED, TrialState.OUT_OF_MEMORY]


@dataclass(frozen=True)
class ParallelCoordinatesData:
    axes: list[Axis]
    """The parameters, then the metric."""
    trials: pd.DataFrame
    """label, value and bin (0 is the best finished trial, or `NO_VALUE` or `FEWER_EPOCHS`) of the
    trials drawn."""
    omitted_trials: int
    """How many ranked trials are not drawn."""
    omitted_parameters: list[str]
    """The parameters after the first `MAX_AXES`."""


def parallel_coordinates_data(results: Results) -> ParallelCoordinatesData:
    """Select the trials: ranked ones (a sample if there are many), and some without a value."""
    ranked = sample_evenly(results.ranked, MAX_LINES)
    failed = results.trials[results.trials["state"].isin(STATES_WITHOUT_VALUE)]
    unranked = failed[~failed.index.isin(ranked.index)].head(MAX_LINES - len(ranked))
    drawn = ranked
    if len(unranked):
        drawn = pd.concat([ranked, unranked])
    compared = finished_trials(results).values.reindex(drawn.index)
    values = np.array(compared.fillna(results.values[drawn.index]), dtype=np.float64)
    names = varying_parameters(results, drawn)
    axes = [make_axis(name, drawn[name], results.axes.get(name, {})) for name in names[:MAX_AXES]]
    metric_axis = value_axis(results.metric, values, log=style.spans_decades(values))
    is_compared = compared.notna().to_numpy()
    bins = _bins(np.where(is_compared, metric_axis.positions, np.nan), results.mode)
    bins[~is_compared & np.isfinite(values)] = FEWER_EPOCHS
    trials = pd.DataFrame(
        {"label": results.labels.loc[drawn.index], "value": values, "bin": bins},
        index=drawn.index,
    )
    return ParallelCoordinatesData(
        axes=[*axes, metric_axis],
        trials=trials,
        omitted_trials=len(results.ranked) - len(ranked),
        omitted_parameters=names[MAX_AXES:],
    )


def _bins(positions: Floats, mode: Mode) -> npt.NDArray[np.int64]:
    """Return the bin of each trial: equal bins from the best value to the 95 % quantile.

    The last bin includes the worst 5 %: a few very bad trials must not take all the colors.
    """
    costs = positions
    if mode == "max":
        costs = -positions
    bins = np.full(len(costs), NO_VALUE)
    is_finite = np.isfinite(costs)
    finite = costs[is_finite]
    if not finite.size:
        return bins
    low = float(finite.min())
    span = float(np.quantile(finite, 0.95)) - low
    if span == 0:
        span = 1.0
    bins[is_finite] = np.clip((finite - low) / span * BINS, 0, BINS - 1).astype(int)
    return bins


def draw_parallel_coordinates(data: ParallelCoordinatesData) -> go.Figure:
    figure = go.Figure()
    heights = _heights(data.axes)
    # The best are drawn last, on top.
    for bin_index in [NO_VALUE, FEWER_EPOCHS, *reversed(range(BINS))]:
        _draw_bin(figure, data, heights, bin_index)
    has_missing = any(_has_missing(axis) for axis in data.axes)
    _draw_axes(figure, data.axes, has_missing=has_missing)
    min_width = 110 * len(data.axes) + 60
    return style.set_layout(figure, height=460, min_width=min_width, parallel_axes=True)


def _heights(axes: list[Axis]) -> Floats:
    """Return the height of each trial (columns) on each axis (rows)."""
    rows = []
    for axis in axes:
        positions = relative_positions(axis)
        rows.append(np.where(np.isfinite(positions), positions, MISSING_HEIGHT))
    return np.array(rows)


def _draw_bin(
    figure: go.Figure, data: ParallelCoordinatesData, heights: Floats, bin_index: int
) -> None:
    """Draw all lines of a bin as one trace, with a gap after each line."""
    rows = np.flatnonzero(data.trials["bin"].to_numpy() == bin_index)
    if not rows.size:
        return
    x = np.append(style.compact(range(len(data.axes))), np.nan)
    texts: list[str] = []
    trial_indices: list[int] = []
    metric = data.axes[-1].name
    for trial in formatting.rows(data.trials.iloc[rows]):
        text = style.escaped(f"{trial.label}: {metric} {formatting.number(trial.value)}", 70)
        for _ in data.axes:
            texts.append(text)
            trial_indices.append(trial.Index)
        texts.append("")  # the gap
        trial_indices.append(trial.Index)
    thinning = 1.0
    if len(data.trials) > CROWDED_LINES:
        thinning = 0.5
    figure.add_scatter(
        x=np.tile(x, rows.size),
        y=_gapped_lines(heights, rows),
        mode="lines",
        hoverinfo="text",
        text=texts,
        customdata=trial_indices,
        **_bin_style(data, bin_index, thinning),
    )


def _bin_style(data: ParallelCoordinatesData, bin_index: int, thinning: float) -> dict[str, object]:
    """Return line, opacity, name and visibility; trials without a value are hidden at first."""
    if bin_index == FEWER_EPOCHS:
        return {
            "line": {"width": thinning, "color": style.MUTED},
            "opacity": 0.4 * thinning,
            "name": "after fewer epochs",
            "showlegend": True,
        }
    if bin_index == NO_VALUE:
        return {
            "line": {"width": 1, "color": style.MUTED, "dash": "dash"},
            "opacity": 0.6 * thinning,
            "name": "without a value",
            "visible": "legendonly",
            "showlegend": True,
        }
    values = data.trials.loc[data.trials["bin"] == bin_index, "value"]
    low = formatting.number(values.min(), 3)
    high = formatting.number(values.max(), 3)
    name = low
    if low != high:
        name += f" to {high}"
    width = 1.2
    opacity = 0.6 * thinning
    if bin_index == 0:
        name = f"the best: {name}"
        width = 2.2
        opacity = 0.9
    color = style.gradient(np.linspace(0, 1, BINS))[bin_index]
    return {
        "line": {"width": width * thinning, "color": color},
        "opacity": opacity,
        "name": name,
        "showlegend": bin_index == 0,
    }


def _gapped_lines(heights: Floats, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Return the lines of these rows of the trials one after the other, with NaN after each."""
    lines = np.full((rows.size, len(heights) + 1), np.nan, dtype=np.float32)
    lines[:, :-1] = heights[:, rows].T
    return lines.ravel()


def _draw_axes(figure: go.Figure, axes: list[Axis], *, has_missing: bool) -> None:
    bottom = -0.05
    if has_missing:
        bottom = MISSING_HEIGHT - 0.06
    figure.update_xaxes(
        tickvals=list(range(len(axes))),
        ticktext=[_title(axis.name) for axis in axes],
        range=[-0.35, len(axes) - 0.5],
        showgrid=False,
        zeroline=False,
        side="bottom",
        fixedrange=True,
        tickangle=0,
    )
    figure.update_yaxes(visible=False, range=[bottom, 1.05], fixedrange=True)
    for index, axis in enumerate(axes):
        is_last = index == len(axes) - 1
        figure.add_shape(
            type="line",
            x0=index,
            x1=index,
            y0=0,
            y1=1,
            layer="below",
            line={"width": 1, "color": style.MUTED},
        )
        ticks = _visible_ticks(axis)
        if _has_missing(axis):
            ticks.append(Tick(MISSING_HEIGHT, "none"))
        for height, text in ticks:
            label = style.escaped(text, 12)
            figure.add_annotation(**_tick_annotation(index, height, label, is_last=is_last))


def _has_missing(axis: Axis) -> bool:
    """Return whether a trial has no position on the axis."""
    return not np.isfinite(axis.positions).all()


def _visible_ticks(axis: Axis) -> list[Tick]:
    """Return height and text of at most `MAX_TICKS` ticks."""
    ticks: list[Tick] = []
    for position, text in axis.ticks:
        height = 0.5
        if axis.high > axis.low:
            height = (position - axis.low) / (axis.high - axis.low)
        ticks.append(Tick(height, text))
    step = max(1, math.ceil(len(ticks) / MAX_TICKS))
    ticks = ticks[::step]
    return spaced_ticks(ticks, 1.0, [LABEL_HEIGHT] * len(ticks))


def _tick_annotation(index: int, height: float, text: str, *, is_last: bool) -> dict[str, object]:
    """Return the annotation of a tick: left of its axis, but right of the last axis."""
    anchor = "right"
    shift = -5
    if is_last:
        anchor = "left"
        shift = 5
    return {
        "x": index,
        "y": height,
        "xanchor": anchor,
        "xshift": shift,
        "showarrow": False,
        "text": text,
        "font": {"size": 11},
        "borderpad": 1,
    }


def _title(name: str) -> str:
    """Return a dotted name on up to three lines, so that neighboring titles do not overlap."""
    parts = formatting.short(name, 40).split(".")
    lines = [*parts[:2], ".".join(parts[2:])]
    return ".<br>".join(style.escaped(line, 16) for line in lines if line)
