"""The best configurations: their means over seeds with intervals, and how far each is from the best one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data import axis as scales
from cae.report.data.tables import Results
from cae.report.page.figures import style
from cae.report.statistics import best as seeds

TOP = 10


class Best(NamedTuple):
    metric: str
    rows: pd.DataFrame
    """The table of seeds.Contest, those in the contest, the best `TOP`; and `settings`, `values` (of each seed)."""


def best_data(results: Results) -> Best:
    rows = seeds.contest(results).ranked.head(TOP)
    firsts = [trials[0] for trials in rows["trials"]]
    values = [list(results.values.loc[trials]) for trials in rows["trials"]]
    return Best(
        results.metric,
        rows.assign(
            settings=seeds.apart(results, firsts),
            values=pd.Series(values, rows.index, dtype=object),
        ),
    )


def best_figure(data: Best) -> go.Figure:
    figure, rows = go.Figure(), data.rows
    height = np.arange(len(rows), 0, -1.0)
    several = bool(rows["low"].notna().any())
    dots = [
        (value, place, trial)
        for values, trials, place in zip(rows["values"], rows["trials"], height, strict=True)
        for value, trial in zip(values, trials, strict=True)
    ]
    x, y, trials = (list(column) for column in zip(*dots, strict=True)) if dots else ([], [], [])
    figure.add_scatter(
        x=style.small(x),
        y=style.small(y),
        mode="markers",
        name="one seed",
        customdata=trials,
        hoverinfo="text",
        text=[style.escaped(f"{formatting.number(value)}") for value in x],
        marker={"size": 7, "color": style.MUTED, "symbol": "circle-open"},
        showlegend=several,
    )
    figure.add_scatter(
        x=style.small(rows["mean"]),
        y=style.small(height),
        mode="markers",
        name="mean, with its interval of 95 %" if several else data.metric,
        marker={"size": 9, "color": style.ACCENT, "symbol": "diamond"},
        customdata=list(rows["trials"]),
        hoverinfo="text",
        text=[
            style.escaped(
                f"{row.label}: {formatting.number(row.mean)} ({formatting.plural(row.n, 'seed')}); {row.settings}",
                160,
            )
            for row in formatting.rows(rows)
        ],
        error_x=style.whiskers(rows["mean"], rows["low"], rows["high"]),
    )
    if several:
        _gaps(figure, rows, height)
    labels = [
        style.escaped(f"{row.label}: {row.settings}" if row.settings else row.label, 60)
        for row in formatting.rows(rows)
    ]
    ticks = {
        "tickvals": list(height),
        "ticktext": labels,
        "range": [0.4, len(rows) + 0.6],
        "zeroline": False,
        "automargin": True,
    }
    figure.update_layout(
        xaxis={"title": {"text": style.escaped(data.metric)}, "zeroline": False}, yaxis=ticks
    )
    if several:
        figure.update_layout(
            xaxis2={"title": {"text": "difference to the best"}},
            yaxis2={**ticks, "showticklabels": False, "matches": "y"},
        )
    return style.layout(
        figure,
        height=110 + 34 * max(2, len(rows)),
        panels=2 if several else 1,
        columns=2,
        min_width=640,
    )


def _gaps(figure: go.Figure, rows: pd.DataFrame, height: scales.Floats) -> None:
    chances = [
        ""
        if np.isnan(chance)
        else f"; the best with a probability of {formatting.percent(chance, 1)}"
        for chance in rows["chance"]
    ]
    figure.add_scatter(
        x=style.small(rows["gap"]),
        y=style.small(height),
        mode="markers",
        name="difference of means, with its interval of 95 %",
        marker={"size": 9, "color": style.ACCENT, "symbol": "square"},
        customdata=list(rows["trials"]),
        xaxis="x2",
        yaxis="y2",
        error_x=style.whiskers(rows["gap"], rows["gap_low"], rows["gap_high"]),
        hoverinfo="text",
        text=[
            style.escaped(f"{row.label}: {formatting.number(row.gap, 3)}{chance}", 120)
            for row, chance in zip(formatting.rows(rows), chances, strict=True)
        ],
    )
