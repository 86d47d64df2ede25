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
from cae.report.data.axis import Axis, Floats, make_axis, relative_positions, value_axis
from cae.report.data.parameters import varying_parameters
from cae.report.data.results import Results
from cae.report.page.figures import style
from cae.report.page.figures.parameters import sample_evenly
from cae.run.trial_state import TrialState

MAX_LINES = 1000
MAX_AXES = 12
MAX_TICKS = 12
BINS = 12
"""Number of colors and of traces: one trace per bin draws a thousand lines as fast as twelve."""
NO_VALUE = -1
"""The bin of trials without a value."""
MISSING_HEIGHT = -0.12
"""Height of the tick "none", below the axis, through which trials without this parameter pass."""
WITHOUT_VALUE = [TrialState.FAILED, TrialState.DIVERGED, TrialState.OUT_OF_MEMORY]


@dataclass(frozen=True)
class ParallelCoordinatesData:
    axes: list[Axis]
    """The parameters, then the metric."""
    trials: pd.DataFrame
    """label, value and bin (0 is the best, `NO_VALUE` without a value) of the trials drawn."""
    left_out: int
    """How many ranked trials are not drawn."""
    hidden: list[str]
    """Names of the parameters beyond the first `MAX_AXES`."""


def parallel_coordinates_data(results: Results) -> ParallelCoordinatesData:
    """Select the trials: ranked ones (a sample if there are many), and some without a value."""
    ranked = sample_evenly(results.ranked, MAX_LINES)
    without_value = results.trials[results.trials["state"].isin(WITHOUT_VALUE)]
    without_value = without_value.head(MAX_LINES - len(ranked))
    drawn = ranked
    if len(without_value):
        drawn = pd.concat([ranked, without_value])
        drawn = drawn[~drawn.index.duplicated()]
    values = np.array(results.values.loc[drawn.index], dtype=np.float64)
    names = varying_parameters(results, drawn)
    axes = [make_axis(name, drawn[name], results.axes.get(name, {})) for name in names[:MAX_AXES]]
    metric_axis = value_axis(results.metric, values, log=style.spans_decades(values))
    trials = pd.DataFrame(
        {
            "label": results.labels.loc[drawn.index],
            "value": values,
            "bin": _bins(metric_axis.positions, results.mode),
        },
        index=drawn.index,
    )
    return ParallelCoordinatesData(
        [*axes, metric_axis], trials, len(results.ranked) - len(ranked), names[MAX_AXES:]
    )


def _bins(positions: Floats, mode: str) -> list[int]:
    """Divide the range from the best value to the 95 % quantile into even bins.

    The last bin includes the worst 5 %: a few very bad trials must not take all the colors.
    """
    costs = positions
    if mode == "max":
        costs = -positions
    finite = costs[np.isfinite(costs)]
    if not finite.size:
        return [NO_VALUE] * len(positions)
    low = float(finite.min())
    span = float(np.quantile(finite, 0.95)) - low
    if span == 0:
        span = 1.0
    bins = []
    for cost in costs:
        if math.isfinite(cost):
            bins.append(int(np.clip((cost - low) / span * BINS, 0, BINS - 1)))
        else:
            bins.append(NO_VALUE)
    return bins


def draw_parallel_coordinates(data: ParallelCoordinatesData) -> go.Figure:
    figure = go.Figure()
    heights = _heights(data.axes)
    for level in [NO_VALUE, *reversed(range(BINS))]:  # the best are drawn last, on top
        _draw_bin(figure, data, heights, level)
    has_missing = bool((heights == MISSING_HEIGHT).any())
    _draw_axes(figure, data.axes, has_missing=has_missing)
    return style.set_layout(figure, height=460, min_width=110 * len(data.axes) + 60)


def _heights(axes: list[Axis]) -> Floats:
    """Return the height of each trial (columns) on each axis (rows)."""
    rows = []
    for scale in axes:
        positions = relative_positions(scale)
        rows.append(np.where(np.isfinite(positions), positions, MISSING_HEIGHT))
    return np.array(rows)


def _draw_bin(
    figure: go.Figure, data: ParallelCoordinatesData, heights: Floats, level: int
) -> None:
    """Draw all lines of a bin as one trace, with a gap after each line."""
    members = np.flatnonzero(data.trials["bin"].to_numpy() == level)
    if not members.size:
        return
    points = len(data.axes) + 1  # the last one is the gap
    x = np.append(style.compact(range(len(data.axes))), np.nan)
    texts: list[str] = []
    trials: list[int] = []
    metric = data.axes[-1].name
    for row in formatting.rows(data.trials.iloc[members]):
        text = style.escaped(f"{row.label}: {metric} {formatting.number(row.value)}", 70)
        texts += [text] * (points - 1) + [""]
        trials += [row.Index] * points
    thinning = 1.0
    if len(data.trials) > 200:
        thinning = 0.5
    figure.add_scatter(
        x=np.tile(x, members.size),
        y=_gapped_lines(heights, members),
        mode="lines",
        hoverinfo="text",
        text=texts,
        customdata=trials,
        **_bin_style(data, level, thinning),
    )


def _bin_style(data: ParallelCoordinatesData, level: int, thinning: float) -> dict[str, object]:
    """Return line, opacity, name and visibility; trials without a value are hidden at first."""
    if level == NO_VALUE:
        return {
            "line": {"width": 1, "color": style.MUTED, "dash": "dash"},
            "opacity": 0.6 * thinning,
            "name": "without a value",
            "visible": "legendonly",
            "showlegend": True,
        }
    values = data.trials.loc[data.trials["bin"] == level, "value"]
    low = formatting.number(values.min(), 3)
    high = formatting.number(values.max(), 3)
    name = f"the best: {low}"
    if low != high:
        name += f" to {high}"
    width = 1.2
    opacity = 0.6 * thinning
    if level == 0:
        width = 2.2
        opacity = 0.9
    color = style.gradient(np.linspace(0, 1, BINS))[level]
    return {
        "line": {"width": width * thinning, "color": color},
        "opacity": opacity,
        "name": name,
        "showlegend": level == 0,
    }


def _gapped_lines(heights: Floats, members: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Return the lines of some trials one after the other, with NaN after each."""
    lines = np.full((members.size, len(heights) + 1), np.nan, dtype=np.float32)
    lines[:, :-1] = heights[:, members].T
    return lines.ravel()


def _draw_axes(figure: go.Figure, axes: list[Axis], *, has_missing: bool) -> None:
    bottom = -0.05
    if has_missing:
        bottom = MISSING_HEIGHT - 0.06
    figure.update_xaxes(
        tickvals=list(range(len(axes))),
        ticktext=[_title(scale.name) for scale in axes],
        range=[-0.35, len(axes) - 0.5],
        showgrid=False,
        zeroline=False,
        side="bottom",
        fixedrange=True,
        tickangle=0,
    )
    figure.update_yaxes(visible=False, range=[bottom, 1.05], fixedrange=True)
    for index, scale in enumerate(axes):
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
        for height, text in _ticks(scale):
            figure.add_annotation(**_tick(index, height, style.escaped(text, 12), is_last=is_last))
        if has_missing and not np.isfinite(scale.positions).all():
            figure.add_annotation(**_tick(index, MISSING_HEIGHT, "none", is_last=is_last))


def _ticks(scale: Axis) -> list[tuple[float, str]]:
    """Return height and text of at most `MAX_TICKS` ticks."""
    ticks = []
    for position, text in scale.ticks:
        height = 0.5
        if scale.high > scale.low:
            height = (position - scale.low) / (scale.high - scale.low)
        ticks.append((height, text))
    step = max(1, math.ceil(len(ticks) / MAX_TICKS))
    return ticks[::step]


def _tick(index: int, height: float, text: str, *, is_last: bool) -> dict[str, object]:
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
