"""How fast the trials of a search with two objectives approached the final Pareto front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report.data.results import Results
from cae.report.page.figures import style
from cae.report.page.figures.progress import last_times, thin_out
from cae.run.pareto import Point, hypervolume, pareto_front

MARGIN = 0.1
"""The reference point is worse than the worst values by this share of their range."""


@dataclass(frozen=True)
class HypervolumeData:
    cost: str
    """The second objective: a column of the table of trials; empty if the search has none."""
    shares: list[float]
    """After each finished trial, in the order of their ends: the hypervolume of the Pareto front so
    far, relative to that of the final front; from 0 to 1."""


def second_objective(results: Results) -> str:
    """The second objective of the search; empty if it has none."""
    search = results.sweep.search or {}
    return str(search.get("second_objective") or "")


def hypervolume_data(results: Results) -> HypervolumeData:
    cost = second_objective(results)
    if cost not in results.trials:
        return HypervolumeData(cost, [])
    trials = pd.DataFrame(
        {
            "value": results.values,
            "cost": pd.to_numeric(results.trials[cost], errors="coerce"),
            "time": last_times(results),
        }
    )
    trials = trials[results.is_fully_trained].dropna().sort_values("time", kind="stable")
    values = trials["value"].to_numpy(dtype=float)
    if results.mode == "max":
        values = -values
    first = _scaled(values)
    second = _scaled(trials["cost"].to_numpy(dtype=float))
    return HypervolumeData(cost, _shares(list(zip(first, second, strict=True))))


def _scaled(values: style.Floats) -> style.Floats:
    """The values between 0 and 1: their logarithms if all are positive, like the search."""
    if not len(values):
        return values
    if (values > 0).all():
        values = np.log(values)
    extent = float(values.max() - values.min()) or 1.0
    scaled: style.Floats = (values - values.min()) / extent
    return scaled


def _shares(points: list[Point]) -> list[float]:
    reference = (1 + MARGIN, 1 + MARGIN)
    areas: list[float] = []
    front: list[Point] = []
    for point in points:
        front = pareto_front([*front, point])
        areas.append(hypervolume(front, reference))
    return [area / areas[-1] for area in areas]


def draw_hypervolume(data: HypervolumeData) -> go.Figure:
    figure = go.Figure()
    table = pd.DataFrame(
        {"order": np.arange(1, len(data.shares) + 1), "percent": 100 * np.array(data.shares)}
    )
    drawn = thin_out(table)
    figure.add_scatter(
        x=style.compact(drawn["order"]),
        y=style.compact(drawn["percent"]),
        mode="lines",
        line={"shape": "hv", "width": 2, "color": style.ACCENT},
        hovertemplate="%{y:.1f} % after %{x} finished trials<extra></extra>",
        showlegend=False,
    )
    figure.update_xaxes(title="finished trials, in the order of their ends", tickformat="d")
    figure.update_yaxes(title="hypervolume, % of the final one", range=[0, 105])
    return style.set_layout(figure, height=300)
