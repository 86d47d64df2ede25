"""Loss and probe accuracy against the size of the latent code."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.figures import style
from cae.report.page.figures.parameters import sample_evenly
from cae.report.statistics.rate_distortion import (
    ACCURACY,
    PCA,
    PIXELS,
    RANDOM_ENCODER,
    RateDistortion,
    rate_distortion,
)

MAX_POINTS = 800
MIN_FLOOR_SHARE = 1e-3
"""Floors below this share of the smallest value are not drawn: they would flatten the chart."""
SIZE_TITLE = "latent size"
FLOOR_STYLES = {
    PCA: ("PCA of the images", style.SECOND_ACCENT, "dash"),
    RANDOM_ENCODER: ("encoder with random weights", "#8e5bd0", "dot"),
    PIXELS: ("pixels", style.MUTED, "dashdot"),
}
"""Label, color and dash of each."""


def rate_distortion_data(results: Results) -> RateDistortion:
    return rate_distortion(results)


def draw_rate_distortion(data: RateDistortion) -> go.Figure:
    figure = go.Figure()
    _draw_panel(figure, data, 0, "loss", data.loss, data.loss_floors)
    panels = 1
    if data.has_accuracy:
        _draw_panel(figure, data, 1, "accuracy", ACCURACY, data.accuracy_floors)
        panels = 2
    return style.set_layout(figure, height=340, panels=panels, columns=panels)


def _draw_panel(
    figure: go.Figure,
    data: RateDistortion,
    panel: int,
    column: str,
    metric: str,
    floors: dict[str, pd.DataFrame],
) -> None:
    """Draw all trials, the best of each size, and the floors."""
    measured = data.trials.dropna(subset=[column])
    best = measured[measured["is_best"]].sort_values("size")
    others = sample_evenly(measured[~measured["is_best"]], MAX_POINTS)
    axes = style.panel_axes(panel)
    values = [measured[column]]
    for name, floor in floors.items():
        label, color, dash = FLOOR_STYLES[name]
        # As many components as pixels restore the images up to rounding errors.
        frame = floor[floor["value"] > measured[column].min() * MIN_FLOOR_SHARE]
        values.append(frame["value"])
        figure.add_scatter(
            x=style.compact(frame["size"]),
            y=style.compact(frame["value"]),
            mode="lines+markers",
            name=label,
            legendgroup=name,
            showlegend=panel == 0 or name not in data.loss_floors,
            line={"color": color, "dash": dash, "width": 1.5},
            marker={"color": color, "symbol": "line-ew-open", "size": 8},
            hovertemplate=f"{label}: {style.escaped(metric)} %{{y:.4g}}<extra></extra>",
            **axes,
        )
    figure.add_scatter(
        x=style.compact(others["size"]),
        y=style.compact(others[column]),
        mode="markers",
        name="trial",
        legendgroup="trial",
        showlegend=panel == 0,
        marker={"color": style.ACCENT, "symbol": "circle-open", "size": 7},
        opacity=0.6,
        customdata=list(others.index),
        hoverinfo="text",
        text=_hover_texts(others, column, metric),
        **axes,
    )
    figure.add_scatter(
        x=style.compact(best["size"]),
        y=style.compact(best[column]),
        mode="lines+markers",
        name="best trial of each size",
        legendgroup="best",
        showlegend=panel == 0,
        line={"color": style.ACCENT, "width": 2},
        marker={"color": style.ACCENT, "symbol": "circle", "size": 9},
        customdata=list(best.index),
        hoverinfo="text",
        text=_hover_texts(best, column, metric),
        **axes,
    )
    suffix = style.panel_suffix(panel)
    sizes = data.trials["size"].to_numpy(dtype=float)
    figure.update_layout(
        {
            f"xaxis{suffix}": style.value_axis(SIZE_TITLE, sizes) | {"tickangle": 0},
            f"yaxis{suffix}": style.value_axis(metric, np.concatenate(values)),
        }
    )


def _hover_texts(trials: pd.DataFrame, column: str, metric: str) -> list[str]:
    texts: list[str] = []
    for row in formatting.rows(trials):
        value = formatting.number(getattr(row, column))
        size = formatting.number(int(row.size))
        texts.append(style.escaped(f"{row.label}: {metric} {value}, latent size {size}", 120))
    return texts
