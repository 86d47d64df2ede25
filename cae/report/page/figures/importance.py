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
    trusted_analysis,
)
from cae.report.wording.importance import population_name

MAX_BARS = 12
MAX_PANELS = 6


class PopulationStyle(NamedTuple):
    """How the importances of one population of trials are drawn."""

    color: str
    symbol: str
    offset: float
    """Distance to the middle of the row, if there are two populations."""


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
    """Draw means with intervals, one color and symbol per population, in the order of the first."""
    figure = go.Figure()
    analyses = [analysis for analysis in data.analyses if len(analysis.importance)]
    parameters: list[str] = []
    for analysis in analyses:
        parameters += analysis.importance["parameter"].tolist()
    parameters = list(dict.fromkeys(parameters))[:MAX_BARS]
    count = len(parameters)
    for analysis, (color, symbol, offset) in zip(analyses, POPULATION_STYLES, strict=False):
        if len(analyses) == 1:
            offset = 0.0
        rows = analysis.importance[analysis.importance["parameter"].isin(parameters)]
        heights = [count - parameters.index(name) + offset for name in rows["parameter"]]
        error_bars = style.error_bars(rows["mean"], rows["low"], rows["high"])
        figure.add_scatter(
            x=style.compact(rows["mean"]),
            y=style.compact(heights),
            mode="markers",
            name=population_name(analysis.population),
            marker={"size": 10, "color": color, "symbol": symbol},
            hoverinfo="text",
            error_x={**error_bars, "color": color},
            text=[_importance_text(row) for row in formatting.rows(rows)],
        )
    figure.update_layout(
        xaxis={
            "title": {"text": "increase of the error when shuffled, as a share of the variance"},
            "zeroline": True,
        },
        yaxis={
            "tickvals": list(range(count, 0, -1)),
            "ticktext": [style.escaped(name, 32) for name in parameters],
            "range": [0.4, count + 0.6],
            "zeroline": False,
            "automargin": True,
        },
    )
    return style.set_layout(figure, height=120 + 34 * max(2, count), min_width=480)


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
    """The most important parameter first."""


def marginals_data(results: Results) -> MarginalsData:
    analysis = trusted_analysis(results)
    population = analysis.population
    axes = {scale.name: scale for scale in population.axes}
    names = list(dict.fromkeys([*analysis.importance["parameter"], *axes]))
    panels = []
    for name in names[:MAX_PANELS]:
        scale = axes[name]
        panels.append(
            MarginalPanel(
                name, means_at_settings(scale, settings_per_trial(scale), population.values)
            )
        )
    return MarginalsData(results.metric, panels)


def draw_marginals(data: MarginalsData) -> go.Figure:
    figure = go.Figure()
    y_axis = _marginals_axis(data)
    for panel, marginals in enumerate(data.panels):
        means = marginals.means
        texts = []
        for row in formatting.rows(means):
            value = formatting.number(row.mean)
            text = f"{marginals.parameter} {row.setting}: {value}, {row.n} configurations"
            texts.append(style.escaped(text, 90))
        figure.add_scatter(
            x=list(range(len(means))),
            y=style.compact(means["mean"]),
            mode="lines+markers",
            name="mean with 95 % interval",
            showlegend=panel == 0,
            line={"width": 1, "dash": "dot", "color": style.ACCENT},
            marker={"size": 8, "color": style.ACCENT},
            hoverinfo="text",
            error_y=style.error_bars(means["mean"], means["low"], means["high"]),
            text=texts,
            **style.panel_axes(panel),
        )
        style.set_panel_layout(figure, panel, _settings_axis(marginals), y_axis)
    panels = max(1, len(data.panels))
    return style.set_layout(
        figure, height=260, panels=panels, columns=min(3, panels), shares_y=True
    )


def _marginals_axis(data: MarginalsData) -> dict[str, object]:
    """Return the y axis of all panels, with room for all intervals."""
    axis: dict[str, object] = {
        "title": {"text": style.escaped(data.metric), "standoff": 10},
        "automargin": True,
    }
    ends = [panel.means[["mean", "low", "high"]].to_numpy(dtype=float) for panel in data.panels]
    if not ends:
        return axis
    values = np.concatenate(ends)
    finite = values[np.isfinite(values)]
    if not finite.size or np.ptp(finite) == 0:
        return axis
    margin = 0.08 * float(np.ptp(finite))
    axis["range"] = [float(finite.min()) - margin, float(finite.max()) + margin]
    return axis


def _settings_axis(panel: MarginalPanel) -> dict[str, object]:
    """Return the x axis of a panel: ranges are on two lines, and labels that overlap left out."""
    labels = []
    widest_lines = []
    for setting in panel.means["setting"]:
        label = style.escaped(setting, 24).replace(" to ", "<br>to ")
        labels.append(label)
        widest_lines.append(max(label.split("<br>"), key=len))
    shown = spaced_labels(widest_lines)
    return {
        "title": {"text": style.escaped(panel.parameter, 32)},
        "range": [-0.5, len(labels) - 0.5],
        "tickvals": shown,
        "ticktext": [labels[index] for index in shown],
        "tickangle": 0,
        "zeroline": False,
    }


@dataclass(frozen=True)
class InteractionData:
    metric: str
    mode: str
    row_parameter: str
    column_parameter: str
    means: pd.DataFrame
    """Mean value as it was measured, by setting of both parameters; NaN without a trial."""
    counts: pd.DataFrame
    """Number of configurations in each cell."""


def interaction_data(results: Results) -> InteractionData | None:
    """Return the measured means of the pair that interacts most; None if no pair was analyzed."""
    analysis = trusted_analysis(results)
    if not len(analysis.pairs):
        return None
    axes = {scale.name: scale for scale in analysis.population.axes}
    rows = axes[str(analysis.pairs["a"].iloc[0])]
    columns = axes[str(analysis.pairs["b"].iloc[0])]
    frame = pd.DataFrame(
        {
            "row": settings_per_trial(rows).to_numpy(),
            "column": settings_per_trial(columns).to_numpy(),
            "value": analysis.population.values,
        }
    )
    values = frame.groupby(["row", "column"])["value"]
    row_order = _ordered_settings(rows)
    column_order = _ordered_settings(columns)
    means = values.mean().unstack().reindex(index=row_order, columns=column_order)
    counts = values.size().unstack().reindex(index=row_order, columns=column_order)
    return InteractionData(
        results.metric,
        results.mode,
        rows.name,
        columns.name,
        means,
        counts.fillna(0).astype(int),
    )


def _ordered_settings(scale: Axis) -> list[str]:
    positions = pd.Series(scale.positions).groupby(settings_per_trial(scale)).min()
    return list(positions.sort_values().index)


def draw_interaction(data: InteractionData | None) -> go.Figure:
    figure = go.Figure()
    if data is None:
        return style.set_layout(figure, height=200)
    means = data.means.to_numpy()
    texts = np.full(means.shape, "", dtype=object)
    for row, column in zip(*np.nonzero(data.counts.to_numpy()), strict=True):
        value = formatting.number(means[row, column], 3)
        texts[row, column] = f"{value}<br>n = {data.counts.iloc[row, column]}"
    row_count, column_count = means.shape
    figure.add_heatmap(
        z=style.compact(means),
        text=texts.tolist(),
        texttemplate="%{text}",
        colorscale="Cividis",
        reversescale=data.mode == "max",
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
