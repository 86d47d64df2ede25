"""What the model of a search expected of each trial, against what the trial reached."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.figures import style
from cae.report.page.figures.parameters import sample_evenly
from cae.run.trial_state import TrialState

MAX_POINTS = 500


@dataclass(frozen=True)
class SearchData:
    metric: str
    trials: pd.DataFrame
    """One row per finished trial that a model suggested, in the order of the trials: label, state,
    value, predicted, low, high, covered (whether low <= value <= high)."""


def search_data(results: Results) -> SearchData:
    columns = ["label", "state", "value", "predicted", "low", "high", "covered"]
    if "predicted" not in results.trials:
        return SearchData(results.metric, pd.DataFrame(columns=columns))
    trials = results.trials
    table = pd.DataFrame(
        {
            "label": results.labels,
            "state": trials["state"],
            "value": results.values,
            "predicted": pd.to_numeric(trials["predicted"], errors="coerce"),
            "low": pd.to_numeric(trials["predicted_low"], errors="coerce"),
            "high": pd.to_numeric(trials["predicted_high"], errors="coerce"),
        },
        index=trials.index,
    )
    table = table[results.is_fully_trained].dropna()
    table["covered"] = (table["low"] <= table["value"]) & (table["value"] <= table["high"])
    return SearchData(results.metric, table)


def draw_search(data: SearchData) -> go.Figure:
    figure = go.Figure()
    if not len(data.trials):
        return style.set_layout(figure, height=380)
    trials = sample_evenly(data.trials, MAX_POINTS)
    values = data.trials[["value", "predicted"]].to_numpy(dtype=float)
    limits = [float(np.nanmin(values)), float(np.nanmax(values))]
    figure.add_scatter(
        x=limits,
        y=limits,
        mode="lines",
        name="as predicted",
        line={"color": style.MUTED, "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=style.compact(trials["predicted"]),
        y=style.compact(trials["value"]),
        mode="markers",
        name="finished trials",
        marker=style.state_marker(TrialState.FINISHED, 7),
        error_x={
            "type": "data",
            "symmetric": False,
            "array": style.compact(trials["high"] - trials["predicted"]),
            "arrayminus": style.compact(trials["predicted"] - trials["low"]),
            "color": style.MUTED,
            "thickness": 1,
            "width": 0,
        },
        customdata=list(trials.index),
        hoverinfo="text",
        text=_hover_texts(trials, data.metric),
    )
    x_axis = style.value_axis(f"predicted {data.metric}", values.ravel())
    y_axis = style.value_axis(f"reached {data.metric}", values.ravel())
    style.set_panel_layout(figure, 0, x_axis, y_axis)
    return style.set_layout(figure, height=380)


def _hover_texts(trials: pd.DataFrame, metric: str) -> list[str]:
    texts: list[str] = []
    for row in trials.itertuples():
        predicted = formatting.number(row.predicted)
        bounds = f"{formatting.number(row.low)} to {formatting.number(row.high)}"
        reached = f"{metric} {formatting.number(row.value)}"
        texts.append(f"{row.label}<br>{reached}<br>predicted {predicted} ({bounds})")
    return texts
