"""Parallel coordinates: one line per trial through its parameters to its value, drawn with scatter lines.

Not `go.Parcoords`: that draws a missing value as if it were 0, has no hover, and needs WebGL.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data import axis as scales
from cae.report.data.tables import Results
from cae.report.page.figures import style
from cae.report.page.figures.parameters import sample

MOST_LINES = 1000
MOST_AXES = 12
BINS = 12
"""Colours of the lines, and traces: one gapped trace per bin draws a thousand lines as fast as twelve."""
NONE = -0.12
"""Where a missing value stands: below its axis, at a tick of its own."""


class Parallel(NamedTuple):
    axes: list[scales.Axis]
    """The parameters, then the metric."""
    trials: pd.DataFrame
    """label, value and bin (0 the best; -1 without a value) of the trials that are drawn."""
    left_out: int
    hidden: list[str]


def parallel_data(results: Results) -> Parallel:
    """Ranked trials (an even sample of more than `MOST_LINES`), and those that ended without a value."""
    ranked = sample(results.ranked, MOST_LINES)
    ended = results.trials[results.trials["state"].isin(("failed", "diverged", "oom"))].head(
        MOST_LINES - len(ranked)
    )
    shown = (
        pd.concat([ranked, ended.drop(ended.index.intersection(ranked.index))])
        if len(ended)
        else ranked
    )
    values = np.array(results.values.loc[shown.index], dtype=np.float64)
    names = scales.varying(results, shown)
    axes = [
        scales.axis(name, shown[name], results.axes.get(name, {})) for name in names[:MOST_AXES]
    ]
    axes.append(scales.value_axis(results.metric, values, log=style.spans_decades(values)))
    trials = pd.DataFrame(
        {
            "label": results.labels.loc[shown.index],
            "value": values,
            "bin": _bins(axes[-1].positions, results.mode),
        },
        index=shown.index,
    )
    return Parallel(axes, trials, len(results.ranked) - len(ranked), names[MOST_AXES:])


def _bins(positions: scales.Floats, mode: str) -> list[int]:
    """Even bins from the best value to the 95 % quantile: a few very bad trials must not take all the colours."""
    finite = positions[np.isfinite(positions)] * (1 if mode == "min" else -1)
    if not finite.size:
        return [-1] * len(positions)
    low, high = float(finite.min()), float(np.quantile(finite, 0.95))
    scaled = (positions * (1 if mode == "min" else -1) - low) / ((high - low) or 1.0)
    return [
        int(np.clip(value * BINS, 0, BINS - 1)) if np.isfinite(value) else -1 for value in scaled
    ]


def parallel_figure(data: Parallel) -> go.Figure:
    figure = go.Figure()
    shades = style.colours(np.linspace(0, 1, BINS))
    heights = np.array(
        [
            np.where(np.isfinite(scales.fraction(axis)), scales.fraction(axis), NONE)
            for axis in data.axes
        ]
    )
    texts = _hovers(data)
    thin = 1.0 if len(data.trials) <= 200 else 0.5
    for level in [-1, *reversed(range(BINS))]:  # the best are drawn last, on top
        chosen = np.flatnonzero(data.trials["bin"].to_numpy() == level)
        if not chosen.size:
            continue
        line = {"width": (2.2 if level == 0 else 1.2) * thin, "color": shades[level]}
        if level < 0:
            line |= {"color": style.MUTED, "dash": "dash", "width": 1}
        figure.add_scatter(
            x=np.tile(np.append(style.small(range(len(data.axes))), np.nan), chosen.size),
            y=_gapped(heights, chosen),
            mode="lines",
            line=line,
            opacity=0.9 if level == 0 else 0.6 * thin,
            name=_bin_name(data, level),
            hoverinfo="text",
            text=[text for trial in chosen for text in [texts[trial]] * len(data.axes) + [""]],
            customdata=[
                index for index in data.trials.index[chosen] for _ in range(len(data.axes) + 1)
            ],
            visible="legendonly" if level < 0 else True,
            showlegend=level < 0 or level == 0,
        )
    _draw_axes(figure, data.axes, bool((heights == NONE).any()))
    return style.layout(figure, height=460, min_width=110 * len(data.axes) + 60)


def _gapped(
    heights: scales.Floats, chosen: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The lines of one bin end to end, a NaN between two."""
    lines = np.full((chosen.size, len(heights) + 1), np.nan, dtype=np.float32)
    lines[:, :-1] = heights[:, chosen].T
    return lines.ravel()


def _bin_name(data: Parallel, level: int) -> str:
    if level < 0:
        return "without a value"
    some = data.trials.loc[data.trials["bin"] == level, "value"]
    low, high = formatting.number(some.min(), 3), formatting.number(some.max(), 3)
    return f"the best: {low}" if low == high else f"the best: {low} to {high}"


def _hovers(data: Parallel) -> list[str]:
    """What a line says of itself. The parameters are on the axes; number and value are not."""
    metric = data.axes[-1].name
    return [
        style.escaped(f"{row.label}: {metric} {formatting.number(row.value)}", 70)
        for row in data.trials.itertuples()
    ]


def _draw_axes(figure: go.Figure, axes: list[scales.Axis], some_missing: bool) -> None:
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
    figure.update_yaxes(
        visible=False, range=[NONE - 0.06 if some_missing else -0.05, 1.05], fixedrange=True
    )
    for index, axis in enumerate(axes):
        figure.add_shape(
            type="line",
            x0=index,
            x1=index,
            y0=0,
            y1=1,
            layer="below",
            line={"width": 1, "color": style.MUTED},
        )
        for position, text in _thinned(axis):
            figure.add_annotation(
                **_tick(index, position, style.escaped(text, 12), last=index == len(axes) - 1)
            )
        if some_missing and not np.isfinite(axis.positions).all():
            figure.add_annotation(**_tick(index, NONE, "none", last=index == len(axes) - 1))


def _thinned(axis: scales.Axis, most: int = 12) -> list[tuple[float, str]]:
    """Ticks as (height, text), at most so many."""
    span = (axis.high - axis.low) or 1.0
    placed = [
        ((position - axis.low) / span if axis.high > axis.low else 0.5, text)
        for position, text in axis.ticks
    ]
    return placed[:: -(-len(placed) // most)] if placed else []


def _tick(index: int, height: float, text: str, *, last: bool) -> dict[str, object]:
    """Left of its axis, but right of the last one, where the lines end."""
    place = {
        "x": index,
        "y": height,
        "xanchor": "left" if last else "right",
        "xshift": 5 if last else -5,
        "showarrow": False,
    }
    return {**place, "text": text, "font": {"size": 11}, "borderpad": 1}


def _title(name: str) -> str:
    """A dotted name on a line per part, so that neighbours do not meet."""
    parts = formatting.short(name, 40).split(".")
    return ".<br>".join(
        style.escaped(part, 16) for part in [*parts[:2], ".".join(parts[2:])] if part
    )
