"""Style shared by all figures: colors, markers, escaping, log scales, and the grid of panels."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from cae.report import formatting
from cae.run.trial_state import TrialState

Floats = npt.NDArray[np.float64]


class StateStyle(NamedTuple):
    color: str
    symbol: str


STATE_STYLES = {
    TrialState.FINISHED: StateStyle("#2f7fc1", "circle"),
    TrialState.STOPPED: StateStyle("#c98a1b", "diamond"),
    TrialState.RUNNING: StateStyle("#2a9d78", "circle-open"),
    TrialState.INTERRUPTED: StateStyle("#6b8fa3", "square-open"),
    TrialState.WAITING: StateStyle("#6b8fa3", "circle-open-dot"),
    TrialState.KILLED: StateStyle("#8d7b6c", "triangle-down"),
    TrialState.WITHDRAWN: StateStyle("#9aa3ab", "diamond-open"),
    TrialState.PENDING: StateStyle("#9aa3ab", "circle-open"),
    TrialState.DIVERGED: StateStyle("#d0479a", "x"),
    TrialState.FAILED: StateStyle("#d64550", "cross"),
    TrialState.OUT_OF_MEMORY: StateStyle("#8e5bd0", "triangle-up"),
}
"""In the order of the legends. Every state can be recognized without its color, and every color is
legible on white and on near-black."""

ACCENT = "#2f7fc1"
SECOND_ACCENT = "#c98a1b"
MUTED = "#8a94a0"
GRADIENT = [
    "rgb(45,108,214)",
    "rgb(38,140,176)",
    "rgb(84,165,122)",
    "rgb(199,163,64)",
    "rgb(186,170,150)",
]
"""From the best to the worst. Blue to sand can be told apart by color-blind readers. Unlike
Cividis and Viridis, neither end disappears on white or near-black paper."""

CLASS_COLORS = (
    "#2f7fc1",
    "#c98a1b",
    "#2a9d78",
    "#d64550",
    "#8e5bd0",
    "#8a8f1f",
    "#d0479a",
    "#1f93a8",
    "#8d7b6c",
    "#6b8fa3",
)
CLASS_SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "triangle-down")
"""Of classes of images. Neighboring classes differ in color and symbol, so that color-blind readers
can tell them apart; every color is legible on white and on near-black. The number of symbols does
not divide that of colors: 70 classes look different."""

PANEL_GAP = 64
"""Pixels between two panels; charts.js uses the same number."""


def escaped(text: object, max_length: int = 40) -> str:
    """Return user text that plotly shows literally, shortened (long labels shrink the plot)."""
    return html.escape(formatting.short(str(text), max_length), quote=False)


def spans_decades(values: Floats) -> bool:
    """Whether positive values span more than one decade, so that a log scale shows them better."""
    finite = values[np.isfinite(values)]
    return bool(finite.size > 1 and finite.min() > 0 and finite.max() / 10 > finite.min())


def gradient(positions: Floats) -> list[str]:
    """Return the colors of positions from 0 (best) to 1 (worst)."""
    colors = sample_colorscale(GRADIENT, [float(position) for position in positions])
    return [str(color) for color in colors]


def panel_suffix(panel: int) -> str:
    """Suffix of the names of a panel's axes in plotly: "", "2", "3", ..."""
    if panel == 0:
        return ""
    return str(panel + 1)


def panel_axes(panel: int) -> dict[str, str]:
    """Arguments that draw a trace in a panel."""
    suffix = panel_suffix(panel)
    return {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}


def set_panel_layout(
    figure: go.Figure, panel: int, x_axis: dict[str, object], y_axis: dict[str, object]
) -> None:
    """Set both axes of a panel. All panels share the range of the first panel's y axis."""
    suffix = panel_suffix(panel)
    if panel > 0:
        y_axis = {**y_axis, "matches": "y"}
    figure.update_layout({f"xaxis{suffix}": x_axis, f"yaxis{suffix}": y_axis})


def set_layout(
    figure: go.Figure,
    *,
    height: int,
    panels: int = 1,
    columns: int = 1,
    min_width: int = 0,
    row_labels: bool = False,
    shares_y: bool = False,
    parallel_axes: bool = False,
) -> go.Figure:
    """Set size and legend, and arrange `panels` pairs of axes in a grid of `columns`.

    The page arranges them again with the number of columns that fit. If it is narrower than
    `min_width` pixels: with `row_labels`, the y axes have a label for each row, and the page draws
    the labels above the rows; with `parallel_axes`, it draws the axes of parallel coordinates below
    one another; otherwise it scrolls the figure. If `shares_y`, the y axis is only named at the
    first panel of each row.
    """
    figure.update_layout(
        template="none",
        height=height,
        showlegend=True,
        margin={"l": 64, "r": 20, "t": 8, "b": 48},
        hovermode="closest",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        meta={
            "panels": panels,
            "columns": columns,
            "panel_height": height,
            "min_width": min_width,
            "row_labels": row_labels,
            "shares_y": shares_y,
            "parallel_axes": parallel_axes,
        },
    )
    if panels > 1:
        _arrange_panels(figure, panels, columns, height)
    return figure


def _arrange_panels(
    figure: go.Figure, panels: int, columns: int, row_height: int, width: int = 1000
) -> None:
    """Place the panels in rows. charts.js repeats this for the width of the window.

    Plotly's domains are shares of the width and the height, from the bottom left.
    """
    rows = math.ceil(panels / columns)
    column_gap = PANEL_GAP / width
    row_gap = PANEL_GAP / (rows * row_height)
    panel_width = (1 - column_gap * (columns - 1)) / columns
    panel_height = (1 - row_gap * (rows - 1)) / rows
    for panel in range(panels):
        row, column = divmod(panel, columns)
        left = column * (panel_width + column_gap)
        top = 1 - row * (panel_height + row_gap)
        suffix = panel_suffix(panel)
        x_axis = {"domain": [left, left + panel_width], "anchor": f"y{suffix}"}
        y_axis = {"domain": [max(0.0, top - panel_height), top], "anchor": f"x{suffix}"}
        figure.update_layout({f"xaxis{suffix}": x_axis, f"yaxis{suffix}": y_axis})
    figure.update_layout(height=rows * row_height)


def value_axis(name: str, values: Floats) -> dict[str, object]:
    """Return an axis for a metric: titled, logarithmic if the values span more than a decade."""
    axis: dict[str, object] = {
        "title": {"text": escaped(name), "standoff": 10},
        "automargin": True,
    }
    if spans_decades(values):
        return axis | _log_scale(values[np.isfinite(values)])
    finite = values[np.isfinite(values)]
    if finite.size and np.ptp(finite) == 0 and finite[0] != 0:
        # plotly would show the range from -1 to 1 around a single small number.
        axis["range"] = sorted((0.5 * finite[0], 1.5 * finite[0]))
    return axis


def _log_scale(values: Floats) -> dict[str, object]:
    """A log scale with round ticks: 1, 2 and 5 per decade if there are few decades."""
    low = np.log10(values.min())
    high = np.log10(values.max())
    margin = 0.06 * (high - low)
    mantissas = [1, 2, 5]
    if high - low >= 2.5:
        mantissas = [1]
    ticks = []
    for power in range(int(low) - 2, int(high) + 2):
        for mantissa in mantissas:
            tick = mantissa * 10.0**power
            if low - margin <= np.log10(tick) <= high + margin:
                ticks.append(tick)
    step = max(1, math.ceil(len(ticks) / 9))
    ticks = ticks[::step]
    return {
        "type": "log",
        "range": [low - margin, high + margin],
        "tickvals": ticks,
        "ticktext": [_tick_text(tick) for tick in ticks],
    }


def _tick_text(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def groups_by_state(trials: pd.DataFrame) -> Iterator[tuple[TrialState, pd.DataFrame]]:
    """Yield every state that occurs in the column `state`, with its rows, in legend order."""
    for state in STATE_STYLES:
        group = trials[trials["state"] == state]
        if len(group):
            yield state, group


def state_marker(state: TrialState, size: int = 8) -> dict[str, object]:
    """Return the marker of a state."""
    color, symbol = STATE_STYLES[state]
    line_width = 0.5
    if symbol.endswith("open"):
        line_width = 1.5
    return {
        "color": color,
        "symbol": symbol,
        "size": size,
        "line": {"width": line_width, "color": color},
    }


def class_color(number: int) -> str:
    """Return the color of a class."""
    return CLASS_COLORS[number % len(CLASS_COLORS)]


def class_marker(number: int, size: int = 6) -> dict[str, object]:
    """Return the marker of a class."""
    symbol = CLASS_SYMBOLS[number % len(CLASS_SYMBOLS)]
    return {"color": class_color(number), "symbol": symbol, "size": size, "opacity": 0.8}


def error_bars(center: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> dict[str, object]:
    """Return error bars from `low` to `high`; none where they are NaN."""
    center_values = np.asarray(center, dtype=np.float64)
    below = center_values - np.asarray(low, dtype=np.float64)
    above = np.asarray(high, dtype=np.float64) - center_values
    return {
        "type": "data",
        "symmetric": False,
        "array": compact(above),
        "arrayminus": compact(below),
        "thickness": 1.5,
    }


def compact(values: npt.ArrayLike) -> npt.NDArray[np.float32] | Floats:
    """Return numbers in single precision if it can hold them, which halves the size of a page."""
    doubles = np.asarray(values, dtype=np.float64)
    magnitudes = np.abs(doubles[np.isfinite(doubles) & (doubles != 0)])
    if magnitudes.size and (magnitudes.max() >= 1e37 or magnitudes.min() <= 1e-37):
        return doubles
    return doubles.astype(np.float32)
