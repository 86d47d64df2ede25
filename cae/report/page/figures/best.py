"""Means of the best configurations over seeds with intervals, and differences to the best."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.figures import style
from cae.report.statistics.best import compare_configurations, distinguishing_settings
from cae.report.wording.best import distinction_texts, probability_text

TOP = 10


@dataclass(frozen=True)
class BestData:
    metric: str
    configurations: pd.DataFrame
    """The best `TOP` compared configurations: the columns of the comparison, `settings` (in which
    each differs from the others) and `values` (of each seed)."""

    @property
    def has_seeds(self) -> bool:
        """Whether any configuration has several seeds, and so an interval."""
        return bool(self.configurations["low"].notna().any())


def best_data(results: Results) -> BestData:
    configurations = compare_configurations(results).compared.head(TOP)
    first_trials = [trials[0] for trials in configurations["trials"]]
    values = [list(results.values.loc[trials]) for trials in configurations["trials"]]
    return BestData(
        results.metric,
        configurations.assign(
            settings=distinction_texts(distinguishing_settings(results, first_trials)),
            values=pd.Series(values, configurations.index, dtype=object),
        ),
    )


def draw_best(data: BestData) -> go.Figure:
    figure = go.Figure()
    configurations = data.configurations
    count = len(configurations)
    heights = np.arange(count, 0, -1.0)
    _draw_seeds(figure, data, heights)
    _draw_means(figure, data, heights)
    y_axis = {
        "tickvals": list(heights),
        "ticktext": _labels(configurations),
        "range": [0.4, count + 0.6],
        "zeroline": False,
        "automargin": True,
    }
    x_axis = {"title": {"text": style.escaped(data.metric)}, "zeroline": False}
    figure.update_layout(xaxis=x_axis, yaxis=y_axis)
    panels = 1
    if data.has_seeds:
        panels = 2
        _draw_differences(figure, configurations, heights)
        figure.update_layout(
            xaxis2={"title": {"text": "difference to the best"}},
            yaxis2={**y_axis, "showticklabels": False, "matches": "y"},
        )
    height = 110 + 34 * max(2, count)
    return style.set_layout(
        figure, height=height, panels=panels, columns=2, min_width=640, row_labels=True
    )


def _labels(configurations: pd.DataFrame) -> list[str]:
    labels = []
    for row in formatting.rows(configurations):
        label = row.label
        if row.settings:
            label = f"{label}: {row.settings}"
        labels.append(style.escaped(label, 60))
    return labels


def _draw_seeds(figure: go.Figure, data: BestData, heights: style.Floats) -> None:
    """Draw one circle per seed."""
    x: list[float] = []
    y: list[float] = []
    trials: list[int] = []
    for row, height in zip(formatting.rows(data.configurations), heights, strict=True):
        x += row.values
        y += [height] * len(row.values)
        trials += row.trials
    figure.add_scatter(
        x=style.compact(x),
        y=style.compact(y),
        mode="markers",
        name="one seed",
        customdata=trials,
        hoverinfo="text",
        text=[style.escaped(formatting.number(value)) for value in x],
        marker={"size": 7, "color": style.MUTED, "symbol": "circle-open"},
        showlegend=data.has_seeds,
    )


def _draw_means(figure: go.Figure, data: BestData, heights: style.Floats) -> None:
    configurations = data.configurations
    name = data.metric
    if data.has_seeds:
        name = "mean with 95 % interval"
    texts = []
    for row in formatting.rows(configurations):
        seeds = formatting.plural(row.n, "seed")
        text = f"{row.label}: {formatting.number(row.mean)} ({seeds}); {row.settings}"
        texts.append(style.escaped(text, 160))
    figure.add_scatter(
        x=style.compact(configurations["mean"]),
        y=style.compact(heights),
        mode="markers",
        name=name,
        marker={"size": 9, "color": style.ACCENT, "symbol": "diamond"},
        customdata=list(configurations["trials"]),
        hoverinfo="text",
        text=texts,
        error_x=style.error_bars(
            configurations["mean"], configurations["low"], configurations["high"]
        ),
    )


def _draw_differences(
    figure: go.Figure, configurations: pd.DataFrame, heights: style.Floats
) -> None:
    texts = []
    for row in formatting.rows(configurations):
        text = f"{row.label}: {formatting.number(row.difference, 3)}"
        if not math.isnan(row.probability):
            text += f"; the best with a probability of {probability_text(row.probability)}"
        texts.append(style.escaped(text, 120))
    figure.add_scatter(
        x=style.compact(configurations["difference"]),
        y=style.compact(heights),
        mode="markers",
        name="difference of means with 95 % interval",
        marker={"size": 9, "color": style.ACCENT, "symbol": "square"},
        customdata=list(configurations["trials"]),
        xaxis="x2",
        yaxis="y2",
        error_x=style.error_bars(
            configurations["difference"],
            configurations["difference_low"],
            configurations["difference_high"],
        ),
        hoverinfo="text",
        text=texts,
    )
