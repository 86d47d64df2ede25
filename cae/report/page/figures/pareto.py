"""The value of each trial against its size and training time, with the Pareto front of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data.parameters import has_several_values
from cae.report.data.results import Results
from cae.report.page.figures import style
from cae.report.page.figures.hypervolume import second_objective
from cae.report.page.figures.parameters import sample_evenly
from cae.run.metric_direction import Mode

COSTS = {
    "parameters": "parameters",
    "seconds": "training seconds",
    "latent_values": "latent size",
    "megaflops": "megaflops per image",
}
"""Columns of the table of trials that can be costs, with their labels."""
MAX_PANELS = 3
MAX_POINTS = 800


@dataclass(frozen=True)
class ParetoData:
    metric: str
    mode: Mode
    trials: pd.DataFrame
    """label, state, value and a column per cost, the best first; indexed like the results."""
    fronts: dict[str, pd.DataFrame]
    """For each cost that differs among the finished trials, its Pareto-optimal trials: cost, value,
    label; the cheapest first."""


def pareto_data(results: Results) -> ParetoData:
    ranked = results.ranked
    finished = ranked[results.is_fully_trained[ranked.index]]
    costs = [name for name in COSTS if name in finished and has_several_values(finished[name])]
    objective = second_objective(results)
    costs.sort(key=lambda name: name != objective)  # that of the search first
    costs = costs[:MAX_PANELS]
    columns = {name: pd.to_numeric(ranked[name], errors="coerce").astype(float) for name in costs}
    trials = pd.DataFrame(columns, index=ranked.index).assign(
        label=results.labels[ranked.index],
        state=ranked["state"],
        value=results.values[ranked.index],
    )
    fronts: dict[str, pd.DataFrame] = {}
    drawn = sample_evenly(trials, MAX_POINTS).index
    for cost in costs:
        fronts[cost] = pareto_front(trials.loc[finished.index], cost, results.mode)
        drawn = drawn.union(fronts[cost].index, sort=False)
    return ParetoData(results.metric, results.mode, trials.loc[drawn], fronts)


def pareto_front(trials: pd.DataFrame, cost: str, mode: Mode) -> pd.DataFrame:
    """Return each trial that is better than all cheaper ones, the cheapest first."""
    objective = trials["value"]
    if mode == "max":
        objective = -objective
    ordered = trials.assign(objective=objective).dropna(subset=[cost])
    ordered = ordered.sort_values([cost, "objective"], kind="stable")
    best_before = ordered["objective"].cummin().shift(fill_value=np.inf)
    return ordered.loc[ordered["objective"] < best_before, [cost, "value", "label"]]


def draw_pareto(data: ParetoData) -> go.Figure:
    figure = go.Figure()
    values = data.trials["value"].to_numpy(dtype=float)
    value_axis = style.value_axis(data.metric, values)
    for panel, (cost, front) in enumerate(data.fronts.items()):
        _draw_trials(figure, data, cost, panel)
        figure.add_scatter(
            x=style.compact(front[cost]),
            y=style.compact(front["value"]),
            mode="lines",
            name="Pareto front",
            legendgroup="front",
            showlegend=panel == 0,
            line={"shape": "hv", "width": 2, "color": style.ACCENT},
            hoverinfo="skip",
            **style.panel_axes(panel),
        )
        cost_axis = _cost_axis(COSTS[cost], data.trials[cost].to_numpy(dtype=float))
        style.set_panel_layout(figure, panel, cost_axis, value_axis)
    panels = max(1, len(data.fronts))
    return style.set_layout(figure, height=340, panels=panels, columns=panels, shares_y=True)


def _draw_trials(figure: go.Figure, data: ParetoData, cost: str, panel: int) -> None:
    opacity = 0.85
    if len(data.trials) > 200:
        opacity = 0.4
    for state, group in style.groups_by_state(data.trials):
        figure.add_scatter(
            x=style.compact(group[cost]),
            y=style.compact(group["value"]),
            mode="markers",
            name=state,
            legendgroup=state,
            showlegend=panel == 0,
            marker=style.state_marker(state, 7),
            opacity=opacity,
            customdata=list(group.index),
            hoverinfo="text",
            text=_hover_texts(group, cost, data.metric),
            **style.panel_axes(panel),
        )


def _cost_axis(title: str, costs: style.Floats) -> dict[str, object]:
    """Return the axis of a cost. Its ticks are short: three panels have no room for 20,000."""
    axis = style.value_axis(title, costs) | {"tickangle": 0}
    ticks = axis.get("tickvals")
    if isinstance(ticks, list):
        axis["ticktext"] = [_with_si_prefix(tick) for tick in ticks]
    elif np.nanmax(costs) >= 10_000:
        axis["tickformat"] = "~s"
    return axis


def _with_si_prefix(value: float) -> str:
    """Format like plotly's "~s": 200, 20k, 2M."""
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{prefix}"
    return f"{value:g}"


def _hover_texts(trials: pd.DataFrame, cost: str, metric: str) -> list[str]:
    texts = []
    for row in formatting.rows(trials):
        value = formatting.number(row.value)
        amount = formatting.number(getattr(row, cost))
        text = f"{row.label}: {metric} {value}, {amount} {COSTS[cost]}"
        texts.append(style.escaped(text, 120))
    return texts
