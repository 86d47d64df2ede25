"""Importance of each parameter with its interval; means at each setting; the two parameters that interact most."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data import axis as scales
from cae.report.data.tables import Results
from cae.report.page.figures import style
from cae.report.statistics import importance as surrogate

MOST_BARS, MOST_PANELS = 12, 6
LOOKS = [(style.ACCENT, "circle"), ("#c98a1b", "diamond")]


class Importance(NamedTuple):
    metric: str
    found: list[surrogate.Surrogate]


def importance_data(results: Results) -> Importance:
    return Importance(results.metric, surrogate.surrogates(results))


def importance_figure(data: Importance) -> go.Figure:
    """Dots with intervals, one colour and symbol per population. The first population gives the order."""
    figure = go.Figure()
    shown = [one for one in data.found if len(one.importance)]
    order = list(dict.fromkeys(name for one in shown for name in one.importance["parameter"]))[
        :MOST_BARS
    ]
    for place, (one, (colour, symbol)) in enumerate(zip(shown, LOOKS, strict=False)):
        rows = one.importance[one.importance["parameter"].isin(order)]
        shift = 0.14 * (1 - 2 * place) if len(shown) > 1 else 0.0
        figure.add_scatter(
            x=style.small(rows["mean"]),
            y=style.small([len(order) - order.index(name) + shift for name in rows["parameter"]]),
            mode="markers",
            name=one.population.name,
            marker={"size": 10, "color": colour, "symbol": symbol},
            hoverinfo="text",
            error_x={**style.whiskers(rows["mean"], rows["low"], rows["high"]), "color": colour},
            text=[
                style.escaped(
                    f"{row.parameter}: {formatting.number(row.mean, 2)} ({formatting.number(row.low, 2)} to {formatting.number(row.high, 2)})",
                    90,
                )
                for row in formatting.rows(rows)
            ],
        )
    ticks = {
        "tickvals": list(range(len(order), 0, -1)),
        "ticktext": [style.escaped(name, 32) for name in order],
    }
    figure.update_layout(
        xaxis={
            "title": {"text": "growth of the error when shuffled, in shares of the variance"},
            "zeroline": True,
        },
        yaxis={**ticks, "range": [0.4, len(order) + 0.6], "zeroline": False, "automargin": True},
    )
    return style.layout(figure, height=120 + 34 * max(2, len(order)), min_width=480)


class Marginals(NamedTuple):
    metric: str
    panels: list[tuple[str, pd.DataFrame]]
    """Parameter and surrogate.marginal of it, the most important first."""
    hidden: list[str]


def marginals_data(results: Results) -> Marginals:
    one = surrogate.believed(results)
    axes = {axis.name: axis for axis in one.population.axes}
    names = [
        *one.importance["parameter"],
        *[name for name in axes if name not in set(one.importance["parameter"])],
    ]
    panels = [
        (name, surrogate.marginal(axes[name], scales.groups(axes[name]), one.population.values))
        for name in names[:MOST_PANELS]
    ]
    return Marginals(results.metric, panels, names[MOST_PANELS:])


def marginals_figure(data: Marginals) -> go.Figure:
    figure = go.Figure()
    ends = [
        rows[side].to_numpy(dtype=float)
        for _, rows in data.panels
        for side in ("mean", "low", "high")
    ]
    finite = np.concatenate(ends) if ends else np.array([])
    finite = finite[np.isfinite(finite)]
    room = 0.08 * float(np.ptp(finite)) if finite.size else 0.0
    for panel, (name, rows) in enumerate(data.panels):
        suffix = str(panel + 1) if panel else ""
        figure.add_scatter(
            x=list(range(len(rows))),
            y=style.small(rows["mean"]),
            mode="lines+markers",
            name="mean, with its interval of 95 %",
            showlegend=panel == 0,
            line={"width": 1, "dash": "dot", "color": style.ACCENT},
            marker={"size": 8, "color": style.ACCENT},
            hoverinfo="text",
            error_y=style.whiskers(rows["mean"], rows["low"], rows["high"]),
            xaxis=f"x{suffix}",
            yaxis=f"y{suffix}",
            text=[
                style.escaped(
                    f"{name} {row.setting}: {formatting.number(row.mean)}, {row.n} configurations",
                    90,
                )
                for row in formatting.rows(rows)
            ],
        )
        labels = [
            style.escaped(setting, 24).replace(" to ", "<br>to ") for setting in rows["setting"]
        ]
        kept = scales.fitting([max(label.split("<br>"), key=len) for label in labels])
        x: dict[str, Any] = {
            "tickvals": kept,
            "ticktext": [labels[place] for place in kept],
            "tickangle": 0,
            "zeroline": False,
        }
        y: dict[str, Any] = {"title": {"text": style.escaped(data.metric)}} | (
            {"matches": "y"} if panel else {}
        )
        if room:
            y["range"] = [float(finite.min()) - room, float(finite.max()) + room]
        figure.update_layout(
            {
                f"xaxis{suffix}": {
                    **x,
                    "title": {"text": style.escaped(name, 32)},
                    "range": [-0.5, len(rows) - 0.5],
                },
                f"yaxis{suffix}": y,
            }
        )
    return style.layout(
        figure,
        height=260,
        panels=max(1, len(data.panels)),
        columns=min(3, max(1, len(data.panels))),
        shared=True,
    )


class Interaction(NamedTuple):
    metric: str
    mode: str
    a: str
    b: str
    cells: pd.DataFrame
    """Mean value by setting of a (rows) and b (columns), as it was measured; NaN where nothing was."""
    counts: pd.DataFrame


def interaction_data(results: Results) -> Interaction | None:
    one = surrogate.believed(results)
    if not len(one.pairs):
        return None
    axes = {axis.name: axis for axis in one.population.axes}
    a, b = (axes[str(one.pairs[side].iloc[0])] for side in ("a", "b"))
    frame = pd.DataFrame(
        {
            "a": scales.groups(a).to_numpy(),
            "b": scales.groups(b).to_numpy(),
            "value": one.population.values,
        }
    )
    orders = [
        list(pd.Series(axis.positions).groupby(scales.groups(axis)).min().sort_values().index)
        for axis in (a, b)
    ]
    grouped = frame.groupby(["a", "b"])["value"]
    cells, counts = (
        part.unstack().reindex(index=orders[0], columns=orders[1])
        for part in (grouped.mean(), grouped.size())
    )
    return Interaction(
        results.metric, results.mode, a.name, b.name, cells, counts.fillna(0).astype(int)
    )


def interaction_figure(data: Interaction | None) -> go.Figure:
    figure = go.Figure()
    if data is None:
        return style.layout(figure, height=200)
    text = [
        [
            f"{formatting.number(value, 3)}<br>n = {count}" if count else ""
            for value, count in zip(*row, strict=True)
        ]
        for row in zip(data.cells.to_numpy(), data.counts.to_numpy(), strict=True)
    ]
    figure.add_heatmap(
        z=style.small(data.cells.to_numpy()),
        text=text,
        texttemplate="%{text}",
        colorscale="Cividis",
        reversescale=data.mode == "max",
        hoverinfo="skip",
        x=list(range(data.cells.shape[1])),
        y=list(range(data.cells.shape[0])),
        xgap=2,
        ygap=2,
        colorbar={"title": {"text": style.escaped(data.metric, 24)}, "thickness": 12},
    )
    figure.update_layout(
        xaxis={
            "title": {"text": style.escaped(data.b)},
            "tickvals": list(range(data.cells.shape[1])),
            "ticktext": [style.escaped(text, 24) for text in data.cells.columns],
            "zeroline": False,
        },
        yaxis={
            "title": {"text": style.escaped(data.a)},
            "tickvals": list(range(data.cells.shape[0])),
            "ticktext": [style.escaped(text, 24) for text in data.cells.index],
            "zeroline": False,
            "automargin": True,
        },
    )
    return style.layout(figure, height=120 + 60 * max(2, data.cells.shape[0]))
