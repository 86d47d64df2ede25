"""What all figures share: colours and symbols of the states, escaping, log scales, a layout that the page lays out again when narrow."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from cae.report import formatting
from cae.report.data.axis import Floats

STATES = {
    "finished": ("#2f7fc1", "circle"),
    "stopped": ("#c98a1b", "diamond"),
    "running": ("#2a9d78", "circle-open"),
    "interrupted": ("#6b8fa3", "square-open"),
    "killed": ("#8d7b6c", "triangle-down"),
    "withdrawn": ("#9aa3ab", "diamond-open"),
    "pending": ("#9aa3ab", "circle-open"),
    "diverged": ("#d0479a", "x"),
    "failed": ("#d64550", "cross"),
    "oom": ("#8e5bd0", "triangle-up"),
}
"""Colour and symbol of every state, everywhere on the page: told apart without colour, and legible on white and on near-black."""

ACCENT = "#2f7fc1"
RAMP = [
    "rgb(45,108,214)",
    "rgb(38,140,176)",
    "rgb(84,165,122)",
    "rgb(199,163,64)",
    "rgb(186,170,150)",
]
MUTED = "#8a94a0"


def escaped(text: Any, most: int = 40) -> str:
    """User text as plotly shows it literally: no markup, cut to `most` characters (a long label pushes the plot away)."""
    return html.escape(formatting.short(str(text), most), quote=False)


def spans_decades(values: Floats) -> bool:
    """Whether positive values span more than one decade, so that a log scale shows them better."""
    finite = values[np.isfinite(values)]
    return bool(finite.size > 1 and finite.min() > 0 and finite.max() / 10 > finite.min())


def colours(positions: Floats) -> list[str]:
    """Colours of positions 0 (best) to 1. Blue to sand stays apart for colour-blind readers, and, unlike Cividis or Viridis, neither
    end vanishes on white or on near-black paper."""
    return [
        str(colour)
        for colour in sample_colorscale(RAMP, [float(position) for position in positions])
    ]


def layout(
    figure: go.Figure,
    *,
    height: int,
    panels: int = 1,
    columns: int = 1,
    min_width: int = 0,
    shared: bool = False,
) -> go.Figure:
    """Size and legend; `panels` axes pairs in a grid of `columns`. The page repeats `grid` with the columns that fit, or scrolls.

    `shared` panels have one y axis in common, named at the first of each row only.
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
            "shared": shared,
        },
    )
    return grid(figure, panels, columns, height) if panels > 1 else figure


def grid(
    figure: go.Figure, panels: int, columns: int, panel_height: int, width: int = 1000
) -> go.Figure:
    """Places the axes pairs x, x2, x3 ... in rows of `columns`; page.js does the same arithmetic at the width it finds."""
    rows = -(-panels // columns)
    across, down = 64 / width, 64 / (rows * panel_height)
    wide, high = (1 - across * (columns - 1)) / columns, (1 - down * (rows - 1)) / rows
    for index in range(panels):
        left, top = (index % columns) * (wide + across), 1 - (index // columns) * (high + down)
        suffix = str(index + 1) if index else ""
        figure.update_layout(
            {
                f"xaxis{suffix}": {"domain": [left, left + wide], "anchor": f"y{suffix}"},
                f"yaxis{suffix}": {"domain": [max(0.0, top - high), top], "anchor": f"x{suffix}"},
            }
        )
    return figure.update_layout(height=rows * panel_height)


def value_axis(name: str, values: Floats) -> dict[str, Any]:
    """A y axis for a metric: its real name as title, logarithmic when the values span more than a decade."""
    title = {"text": escaped(name), "standoff": 10}
    finite = values[np.isfinite(values)]
    if not spans_decades(values):
        alone = (
            finite.size > 0 and np.ptp(finite) == 0 and finite[0] != 0
        )  # plotly would show -1 to 1 round a small number
        return {"title": title, "automargin": True} | (
            {"range": sorted((0.5 * finite[0], 1.5 * finite[0]))} if alone else {}
        )
    low, high = np.log10(finite.min()), np.log10(finite.max())
    pad = 0.06 * (high - low)
    mantissas = (1, 2, 5) if high - low < 2.5 else (1,)
    marks = [
        mantissa * 10.0**power
        for power in range(int(low) - 2, int(high) + 2)
        for mantissa in mantissas
    ]
    shown = [mark for mark in marks if low - pad <= np.log10(mark) <= high + pad]
    shown = shown[:: -(-len(shown) // 9)]
    scale = {
        "type": "log",
        "range": [low - pad, high + pad],
        "tickvals": shown,
        "ticktext": [f"{mark:,.0f}" if mark >= 1000 else f"{mark:.4g}" for mark in shown],
    }
    return {"title": title, "automargin": True, **scale}


def state_marker(state: str, size: int = 8) -> dict[str, Any]:
    colour, symbol = STATES.get(state, (MUTED, "hexagon-open"))
    return {
        "color": colour,
        "symbol": symbol,
        "size": size,
        "line": {"width": 1.5 if symbol.endswith("open") else 0.5, "color": colour},
    }


def whiskers(middle: Any, low: Any, high: Any) -> dict[str, Any]:
    """Error bars of an interval; none where it is not known."""
    middle, low, high = (np.asarray(side, dtype=np.float64) for side in (middle, low, high))
    return {
        "type": "data",
        "symmetric": False,
        "array": small(high - middle),
        "arrayminus": small(middle - low),
        "thickness": 1.5,
    }


def small(values: Any) -> npt.NDArray[np.float32] | Floats:
    """Numbers for drawing: single precision, where it holds them all, halves what the page weighs."""
    whole = np.asarray(values, dtype=np.float64)
    sizes = np.abs(whole[np.isfinite(whole) & (whole != 0)])
    fits = not sizes.size or (sizes.max() < 1e37 and sizes.min() > 1e-37)
    return whole.astype(np.float32) if fits else whole
