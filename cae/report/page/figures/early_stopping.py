"""What early stopping rests on: whether early ranks are late ranks, who survives, and what keeping the best few would lose."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.page.figures import style
from cae.report.statistics.early_stopping import Halving

LINES = [
    (style.ACCENT, "solid"),
    ("#c98a1b", "dash"),
    ("#2a9d78", "dot"),
    ("#d0479a", "dashdot"),
    ("#6b8fa3", "longdash"),
    ("#8d7b6c", "solid"),
]


def agreement_figure(data: Halving) -> go.Figure:
    figure, rows = go.Figure(), data.agreement
    firsts, seconds = (sorted(rows[side].unique()) for side in ("a", "b"))
    cells = {(row.a, row.b): row for row in formatting.rows(rows)}
    grid = [[cells.get((a, b)) for b in seconds] for a in firsts]
    text = [
        [
            "" if cell is None else f"{formatting.number(cell.rho, 2)}<br>n = {cell.n}"
            for cell in line
        ]
        for line in grid
    ]
    figure.add_heatmap(
        z=style.small(
            [[np.nan if cell is None else cell.rho for cell in line] for line in grid] or [[np.nan]]
        ),
        text=text or [[""]],
        texttemplate="%{text}",
        zmin=-1,
        zmax=1,
        colorscale="Cividis",
        xgap=2,
        ygap=2,
        hoverinfo="skip",
        x=list(range(len(seconds))),
        y=list(range(len(firsts))),
        colorbar={"title": {"text": "rank correlation"}, "thickness": 12},
    )
    figure.update_layout(
        xaxis={
            "title": {"text": "epoch"},
            "tickvals": list(range(len(seconds))),
            "ticktext": [str(epoch) for epoch in seconds],
            "zeroline": False,
        },
        yaxis={
            "title": {"text": "rung (epoch)"},
            "tickvals": list(range(len(firsts))),
            "ticktext": [str(epoch) for epoch in firsts],
            "zeroline": False,
        },
    )
    return style.layout(figure, height=130 + 46 * max(2, len(firsts)))


def survival_figure(data: Halving) -> go.Figure:
    figure = go.Figure()
    for (name, rows), (colour, dash) in zip(data.survival.items(), LINES * 2, strict=False):
        figure.add_scatter(
            x=style.small(rows["epoch"]),
            y=style.small(100 * rows["share"]),
            mode="lines",
            name=style.escaped(name),
            hoverinfo="text",
            line={
                "shape": "hv",
                "width": 2.5 if name == "all trials" else 1.5,
                "color": colour,
                "dash": dash,
            },
            text=[
                style.escaped(
                    f"{name}: {formatting.percent(row.share, 1)} not stopped after epoch {row.epoch:g} ({formatting.percent(row.low, 1)} to "
                    f"{formatting.percent(row.high, 1)})",
                    120,
                )
                for row in formatting.rows(rows)
            ],
        )
    figure.update_layout(
        xaxis={"title": {"text": "epoch"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "not stopped, %"}, "range": [0, 104]},
    )
    return style.layout(figure, height=320)


def regret_figure(data: Halving) -> go.Figure:
    figure = go.Figure()
    for kept, (colour, dash) in zip(sorted(data.regret["kept"].unique()), LINES, strict=False):
        rows = data.regret[data.regret["kept"] == kept]
        figure.add_scatter(
            x=style.small(rows["epoch"]),
            y=style.small(rows["regret"]),
            mode="lines+markers",
            name=f"the best {kept} kept" if kept > 1 else "only the best kept",
            line={"width": 2, "color": colour, "dash": dash},
            marker={"size": 5},
            hoverinfo="text",
            text=[
                style.escaped(
                    f"after epoch {row.epoch}: {formatting.number(row.regret, 3)} lost", 80
                )
                for row in formatting.rows(rows)
            ],
        )
    figure.update_layout(
        xaxis={"title": {"text": "epoch at which only these are kept"}},
        yaxis={"title": {"text": style.escaped(f"{data.metric} lost")}, "rangemode": "tozero"},
    )
    return style.layout(figure, height=320)
