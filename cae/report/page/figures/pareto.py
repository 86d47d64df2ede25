"""The value of each trial against what it costs: parameters, training time, size of the code; and the front of those that no other
one beats in both."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data import axis as scales
from cae.report.data.tables import Results
from cae.report.page.figures import style
from cae.report.page.figures.parameters import sample

COSTS = {
    "parameters": "parameters",
    "seconds": "training seconds",
    "latent_values": "values of the code",
    "megaflops": "megaflops per image",
}
MOST_PANELS, MOST_POINTS = 3, 800


class Tradeoff(NamedTuple):
    metric: str
    mode: str
    costs: list[str]
    """Those of `COSTS` that differ among the finished trials."""
    trials: pd.DataFrame
    """label, state, value and a column per cost; the best first. Its index is that of the results."""
    fronts: dict[str, pd.DataFrame]
    """Per cost the finished trials that no other one beats in both: cost, value, label; the cheapest first."""


def tradeoff_data(results: Results) -> Tradeoff:
    ranked = results.ranked
    done = ranked[ranked["state"] == "finished"]
    costs = [name for name in COSTS if name in done and scales.differs(done[name])][:MOST_PANELS]
    trials = pd.DataFrame(
        {name: pd.to_numeric(ranked[name], errors="coerce").astype(float) for name in costs},
        index=ranked.index,
    )
    trials = trials.assign(
        label=results.labels[ranked.index],
        state=ranked["state"],
        value=results.values[ranked.index],
    )
    fronts = {name: front(trials.loc[done.index], name, results.mode) for name in costs}
    drawn = sample(trials, MOST_POINTS)
    kept = [index for one in fronts.values() for index in one.index]
    return Tradeoff(
        results.metric, results.mode, costs, trials.loc[drawn.index.union(kept, sort=False)], fronts
    )


def front(trials: pd.DataFrame, cost: str, mode: str) -> pd.DataFrame:
    """From the cheapest on, each trial that is better than all cheaper ones."""
    ordered = trials.dropna(subset=[cost]).assign(
        merit=trials["value"] if mode == "min" else -trials["value"]
    )
    ordered = ordered.sort_values([cost, "merit"], kind="stable")
    before = ordered["merit"].cummin().shift(fill_value=np.inf)
    return ordered.loc[ordered["merit"] < before, [cost, "value", "label"]]


def tradeoff_figure(data: Tradeoff) -> go.Figure:
    figure = go.Figure()
    values = data.trials["value"].to_numpy(dtype=float)
    scale = style.value_axis(data.metric, values)
    for panel, cost in enumerate(data.costs):
        suffix = str(panel + 1) if panel else ""
        axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        for state in [state for state in style.STATES if (data.trials["state"] == state).any()]:
            some = data.trials[data.trials["state"] == state]
            figure.add_scatter(
                x=style.small(some[cost]),
                y=style.small(some["value"]),
                mode="markers",
                name=state,
                legendgroup=state,
                showlegend=panel == 0,
                marker=style.state_marker(state, 7),
                opacity=0.85 if len(data.trials) <= 200 else 0.4,
                customdata=list(some.index),
                hoverinfo="text",
                text=[_hover(row, cost, data.metric) for row in formatting.rows(some)],
                **axes,
            )
        edge = data.fronts[cost]
        figure.add_scatter(
            x=style.small(edge[cost]),
            y=style.small(edge["value"]),
            mode="lines",
            name="front",
            legendgroup="front",
            showlegend=panel == 0,
            line={"shape": "hv", "width": 2, "color": style.ACCENT},
            hoverinfo="skip",
            **axes,
        )
        x = style.value_axis(COSTS[cost], data.trials[cost].to_numpy(dtype=float)) | {
            "tickangle": 0
        }
        largest = float(data.trials[cost].max())
        if "ticktext" in x:  # three panels beside one another have room for 20k, not for 20,000
            x["ticktext"] = [_brief(mark) for mark in x["tickvals"]]
        elif largest >= 10_000:
            x["tickformat"] = "~s"
        figure.update_layout(
            {
                f"xaxis{suffix}": x,
                f"yaxis{suffix}": {**scale, **({"matches": "y"} if panel else {})},
            }
        )
    return style.layout(
        figure,
        height=340,
        panels=max(1, len(data.costs)),
        columns=max(1, len(data.costs)),
        shared=True,
    )


def _brief(value: float) -> str:
    """As plotly's ~s: 200, 20k, 2M."""
    return next(
        (
            f"{value / size:g}{name}"
            for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k"))
            if value >= size
        ),
        f"{value:g}",
    )


def _hover(row: Any, cost: str, metric: str) -> str:
    return style.escaped(
        f"{row.label}: {metric} {formatting.number(row.value)}, {formatting.number(getattr(row, cost))} {COSTS[cost]}",
        120,
    )
