"""Early stopping: rank correlation between epochs, survival of trials, and regret of selection."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.page.figures import style
from cae.report.statistics.early_stopping import EarlyStoppingAnalysis
from cae.report.wording.early_stopping import curve_name

LINE_STYLES = [
    (style.ACCENT, "solid"),
    (style.SECOND_ACCENT, "dash"),
    ("#2a9d78", "dot"),
    ("#d0479a", "dashdot"),
    ("#6b8fa3", "longdash"),
    ("#8d7b6c", "solid"),
]


def draw_rank_correlation(analysis: EarlyStoppingAnalysis) -> go.Figure:
    """Draw a heat map: earlier epochs in rows, later epochs in columns."""
    pairs = analysis.rank_correlations
    early_epochs = sorted(pairs["early_epoch"].unique())
    late_epochs = sorted(pairs["late_epoch"].unique())
    # Without pairs, the heat map has one empty cell.
    shape = (max(1, len(early_epochs)), max(1, len(late_epochs)))
    correlations = np.full(shape, np.nan)
    texts = np.full(shape, "", dtype=object)
    for pair in formatting.rows(pairs):
        row = early_epochs.index(pair.early_epoch)
        column = late_epochs.index(pair.late_epoch)
        correlations[row, column] = pair.correlation
        texts[row, column] = f"{formatting.number(pair.correlation, 2)}<br>n = {pair.n}"
    figure = go.Figure()
    figure.add_heatmap(
        z=style.compact(correlations),
        text=texts.tolist(),
        texttemplate="%{text}",
        zmin=-1,
        zmax=1,
        colorscale="Cividis",
        xgap=2,
        ygap=2,
        hoverinfo="skip",
        x=list(range(len(late_epochs))),
        y=list(range(len(early_epochs))),
        colorbar={"title": {"text": "rank correlation"}, "thickness": 12},
    )
    figure.update_layout(
        xaxis=_epoch_axis("epoch", late_epochs), yaxis=_epoch_axis("rung (epoch)", early_epochs)
    )
    return style.set_layout(figure, height=130 + 46 * max(2, len(early_epochs)))


def _epoch_axis(title: str, epochs: list[int]) -> dict[str, object]:
    return {
        "title": {"text": title},
        "tickvals": list(range(len(epochs))),
        "ticktext": [str(epoch) for epoch in epochs],
        "zeroline": False,
    }


def draw_survival(analysis: EarlyStoppingAnalysis) -> go.Figure:
    """Draw the share of trials that were not stopped, one line per group of trials."""
    figure = go.Figure()
    for index, curve in enumerate(analysis.survival):
        name = curve_name(curve)
        color, dash = LINE_STYLES[index % len(LINE_STYLES)]
        width = 1.5
        if index == 0:  # the curve of all trials; the others are of groups
            width = 2.5
        texts = []
        for step in formatting.rows(curve.steps):
            share = formatting.percent(step.share, 1)
            low = formatting.percent(step.low, 1)
            high = formatting.percent(step.high, 1)
            text = f"{name}: {share} not stopped after epoch {step.epoch:g} ({low} to {high})"
            texts.append(style.escaped(text, 120))
        figure.add_scatter(
            x=style.compact(curve.steps["epoch"]),
            y=style.compact(100 * curve.steps["share"]),
            mode="lines",
            name=style.escaped(name),
            hoverinfo="text",
            line={"shape": "hv", "width": width, "color": color, "dash": dash},
            text=texts,
        )
    figure.update_layout(
        xaxis={"title": {"text": "epoch"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "not stopped, %"}, "range": [0, 104]},
    )
    return style.set_layout(figure, height=320)


def draw_regret(analysis: EarlyStoppingAnalysis) -> go.Figure:
    """Draw the regret of keeping only the best trials at an epoch, one line per number kept."""
    figure = go.Figure()
    for index, (kept, rows) in enumerate(analysis.regret.groupby("kept")):
        color, dash = LINE_STYLES[index % len(LINE_STYLES)]
        name = f"best {kept} trials kept"
        if kept == 1:
            name = "only the best trial kept"
        texts = []
        for row in formatting.rows(rows):
            text = f"after epoch {row.epoch}: {formatting.number(row.regret, 3)} lost"
            texts.append(style.escaped(text, 80))
        figure.add_scatter(
            x=style.compact(rows["epoch"]),
            y=style.compact(rows["regret"]),
            mode="lines+markers",
            name=name,
            line={"width": 2, "color": color, "dash": dash},
            marker={"size": 5},
            hoverinfo="text",
            text=texts,
        )
    figure.update_layout(
        xaxis={"title": {"text": "epoch of the selection"}},
        yaxis={"title": {"text": style.escaped(f"{analysis.metric} lost")}, "rangemode": "tozero"},
    )
    return style.set_layout(figure, height=320)
