"""Importance of the parameters, means at their settings, and the pair that interacts most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data.axis import Axis, settings_per_trial, spaced_labels
from cae.report.data.results import Results
from cae.report.page.figures import style
from cae.report.statistics.importance import (
    ImportanceAnalysis,
    analyze_importance,
    means_at_settings,
    shown_analysis,
)
from cae.report.wording.importance import population_name
from cae.run.metric_direction import Mode

MAX_PARAMETERS = 12
MAX_PANELS = 6


class PopulationStyle(NamedTuple):
    """How the importances of one population of trials are drawn."""

    color: str
    symbol: str
    offset: float
    """Vertical distance from the center of the row, in rows; 0 is used for a single population."""


POPULATION_STYLES = [
    PopulationStyle(style.ACCENT, "circle", 0.14),
    PopulationStyle(style.SECOND_ACCENT, "diamond", -0.14),
]


@dataclass(frozen=True)
class ImportanceData:
    metric: str
    analyses: list[ImportanceAnalysis]
    """One per population of trials."""


def importance_data(results: Results) -> ImportanceData:
    return ImportanceData(results.metric, analyze_importance(results))


def draw_importance(data: ImportanceData) -> go.Figure:
    """Draw mean importances with intervals, in the order of the first population's parameters."""
    figure = go.Figure()
    analyses = [analysis for analysis in data.analyses if len(analysis.importance)]
    names: list[str] = []
    for analysis in analyses:
        names += analysis.importance["parameter"].tolist()
    parameters = list(dict.fromkeys(names))[:MAX_PARAMETERS]
    row_count = len(parameters)
    # There are at most two populations.
    for analysis, look in zip(analyses, POPULATION_STYLES, strict=False):
        offset = 0.0
        if len(analyses) > 1:
            offset = look.offset
        rows = analysis.importance[analysis.importance["parameter"].isin(parameters)]
        # The first parameter is in the top row, whose y is row_count.
        y = [row_count - parameters.index(name) + offset for name in rows["parameter"]]
        error_bars = style.error_bars(rows["mean"], rows["low"], rows["high"])
        figure.add_scatter(
            x=style.compact(rows["mean"]),
            y=style.compact(y),
            mode="markers",
            name=population_name(analysis.population),
            marker={"size": 10, "color": look.color, "symbol": look.symbol},
            hoverinfo="text",
            error_x={**error_bars, "color": look.color},
            text=[_importance_text(row) for row in formatting.rows(rows)],
        )
    figure.update_layout(
        xaxis={
            "title": {
                "text": "increase in error if the parameter is shuffled,<br>"
                "as a share of the variance"
            },
            "zeroline": True,
        },
        yaxis={
            "tickvals": list(range(row_count, 0, -1)),
            "ticktext": [style.escaped(name, 32) for name in parameters],
            "range": [0.4, row_count + 0.6],
            "zeroline": False,
            "automargin": True,
        },
    )
    height = 120 + 34 * max(2, row_count)
    return style.set_layout(figure, height=height, min_width=480, row_labels=True)


def _importance_text(row: Any) -> str:
    mean = formatting.number(row.mean, 2)
    low = formatting.number(row.low, 2)
    high = formatting.number(row.high, 2)
    return style.escaped(f"{row.parameter}: {mean} ({low} to {high})", 90)


@dataclass(frozen=True)
class MarginalPanel:
    parameter: str
    means: pd.DataFrame
    """Per setting: position, setting, n, mean, low, high."""


@dataclass(frozen=True)
class MarginalsData:
    metric: str
    panels: list[MarginalPanel]
    """Sorted by importance, the most important parameter first."""


def marginals_data(results: Results) -> MarginalsData:
    analysis = shown_analysis(results)
    population = analysis.population
    axes = {axis.name: axis for axis in population.axes}
    # Parameters without a computed importance are last.
    names = list(dict.fromkeys([*analysis.importance["parameter"], *axes]))
    panels = []
    for name in names[:MAX_PANELS]:
        axis = axes[name]
        means = means_at_settings(axis, settings_per_trial(axis), population.values)
        panels.append(MarginalPanel(name, means))
    return MarginalsData(results.metric, panels)


def draw_marginals(data: MarginalsData) -> go.Figure:
    figure = go.Figure()
    y_axis = _marginals_axis(data)
    for index, panel in enumerate(data.panels):
        means = panel.means
        texts = []
        for row in formatting.rows(means):
            value = formatting.number(row.mean)
            text = f"{panel.parameter} {row.setting}: {value}, {row.n} configurations"
            texts.append(style.escaped(text, 90))
        figure.add_scatter(
            x=list(range(len(means))),
            y=style.compact(means["mean"]),
            mode="lines+markers",
            name="mean with 95 % interval",
            showlegend=index == 0,
            line={"width": 1, "dash": "dot", "color": style.ACCENT},
            marker={"size": 8, "color": style.ACCENT},
            hoverinfo="text",
            error_y=style.error_bars(means["mean"], means["low"], means["high"]),
            text=texts,
            **style.panel_axes(index),
        )
        style.set_panel_layout(figure, index, _settings_axis(panel), y_axis)
    panel_count = max(1, len(data.panels))  # a figure without data is one empty panel
    return style.set_layout(
        figure, height=260, panels=panel_count, columns=min(3, panel_count), shares_y=True
    )


def _marginals_axis(data: MarginalsData) -> dict[str, object]:
    """Return the y axis of all panels, with room for all intervals."""
    axis: dict[str, object] = {
        "title": {"text": style.escaped(data.metric), "standoff": 10},
        "automargin": True,
    }
    panel_values = []
    for panel in data.panels:
        panel_values.append(panel.means[["mean", "low", "high"]].to_numpy(dtype=float))
    if not panel_values:
        return axis
    values = np.concatenate(panel_values)
    finite = values[np.isfinite(values)]
    if not finite.size or np.ptp(finite) == 0:
        return axis
    margin = 0.08 * float(np.ptp(finite))
    axis["range"] = [float(finite.min()) - margin, float(finite.max()) + margin]
    return axis


def _settings_axis(panel: MarginalPanel) -> dict[str, object]:
    """Return the x axis of a panel.

    Labels of ranges are split into two lines; labels that would overlap are left out.
    """
    labels = []
    widest_lines = []
    for setting in panel.means["setting"]:
        label = style.escaped(setting, 24).replace(" to ", "<br>to ")
        labels.append(label)
        widest_lines.append(max(label.split("<br>"), key=len))
    shown_indices = spaced_labels(widest_lines)
    return {
        "title": {"text": style.escaped(panel.parameter, 32)},
        "range": [-0.5, len(labels) - 0.5],
        "tickvals": shown_indices,
        "ticktext": [labels[index] for index in shown_indices],
        "tickangle": 0,
        "zeroline": False,
    }


@dataclass(frozen=True)
class InteractionData:
    metric: str
    mode: Mode
    row_parameter: str
    column_parameter: str
    means: pd.DataFrame
    """Measured mean of the metric: a row per setting of `row_parameter`, a column per setting of
    `column_parameter`; NaN if no trial has both settings."""
    counts: pd.DataFrame
    """Number of configurations per cell, in the same shape."""


def interaction_data(results: Results) -> InteractionData | None:
    """Return the measured means of the pair that interacts most; None if no pair was analyzed."""
    analysis = shown_analysis(results)
    if not len(analysis.pairs):
        return None
    axes = {axis.name: axis for axis in analysis.population.axes}
    strongest_pair = analysis.pairs.iloc[0]
    row_axis = axes[str(strongest_pair["first"])]
    column_axis = axes[str(strongest_pair["second"])]
    frame = pd.DataFrame(
        {
            "row": settings_per_trial(row_axis).to_numpy(),
            "column": settings_per_trial(column_axis).to_numpy(),
            "value": analysis.population.values,
        }
    )
    cells = frame.groupby(["row", "column"])["value"]
    row_order = _ordered_settings(row_axis)
    column_order = _ordered_settings(column_axis)
    means = cells.mean().unstack().reindex(index=row_order, columns=column_order)
    counts = cells.size().unstack().reindex(index=row_order, columns=column_order)
    return InteractionData(
        metric=results.metric,
        mode=results.mode,
        row_parameter=row_axis.name,
        column_parameter=column_axis.name,
        means=means,
        counts=counts.fillna(0).astype(int),
    )


def _ordered_settings(axis: Axis) -> list[str]:
    """Return the settings of a parameter in the order of their smallest positions on the axis."""
    positions = pd.Series(axis.positions).groupby(settings_per_trial(axis)).min()
    return list(positions.sort_values().index)


def draw_interaction(data: InteractionData | None) -> go.Figure:
    figure = go.Figure()
    if data is None:
        return style.set_layout(figure, height=200)
    means = data.means.to_numpy()
    texts = np.full(means.shape, "", dtype=object)
    for row, column in np.argwhere(data.counts.to_numpy() > 0):
        value = formatting.number(means[row, column], 3)
        texts[row, column] = f"{value}<br>n = {data.counts.iloc[row, column]}"
    row_count, column_count = means.shape
    figure.add_heatmap(
        z=style.compact(means),
        text=texts.tolist(),
        texttemplate="%{text}",
        colorscale="Cividis",
        reversescale=data.mode == "max",  # better values are darker in both modes
        hoverinfo="skip",
        x=list(range(column_count)),
        y=list(range(row_count)),
        xgap=2,
        ygap=2,
        colorbar={"title": {"text": style.escaped(data.metric, 24)}, "thickness": 12},
    )
    x_axis = _heat_map_axis(data.column_parameter, data.means.columns)
    y_axis = _heat_map_axis(data.row_parameter, data.means.index)
    figure.update_layout(xaxis=x_axis, yaxis={**y_axis, "automargin": True})
    return style.set_layout(figure, height=120 + 60 * max(2, row_count))


def _heat_map_axis(parameter: str, settings: pd.Index[str]) -> dict[str, object]:
    return {
        "title": {"text": style.escaped(parameter)},
        "tickvals": list(range(len(settings))),
        "ticktext": [style.escaped(setting, 24) for setting in settings],
        "zeroline": False,
    }
