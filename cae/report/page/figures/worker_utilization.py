"""Which trial ran in which slot, over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.figures import style
from cae.report.statistics.worker_utilization import measure_utilization
from cae.run.trial_state import TrialState

MAX_SPANS = 3000
MAX_MARKED_SPANS = 60
"""Up to this many spans per slot begin and end with the symbol of the trial's state."""
MAX_TICKS = 16


@dataclass(frozen=True)
class WorkerUtilizationData:
    spans: pd.DataFrame
    """One row per time that a trial held a slot: trial (index in the table of trials), lane, begin
    and end (hours since the start, without pauses between sessions), state."""
    labels: list[str]
    """Label of each trial by its index."""


def worker_utilization_data(results: Results) -> WorkerUtilizationData:
    return WorkerUtilizationData(
        measure_utilization(results).spans.head(MAX_SPANS), list(results.labels)
    )


def draw_worker_utilization(data: WorkerUtilizationData) -> go.Figure:
    figure = go.Figure()
    lanes = 1
    hours = 0.0
    if len(data.spans):
        lanes = int(data.spans["lane"].max()) + 1
        hours = float(data.spans["end"].max())
    unit = "hours"
    units_per_hour = 1
    if hours < 2:
        unit = "minutes"
        units_per_hour = 60
    mode = "lines"
    if len(data.spans) <= MAX_MARKED_SPANS * lanes:
        mode = "lines+markers"
    for state, spans in style.groups_by_state(data.spans):
        _draw_spans(figure, data, state, spans, lanes, units_per_hour, mode)
    step = -(-lanes // MAX_TICKS)
    ticks = list(range(1, lanes + 1))[::step]
    figure.update_layout(
        xaxis={"title": {"text": f"{unit} of running"}, "rangemode": "tozero"},
        yaxis={
            "title": {"text": "slot"},
            "tickvals": ticks,
            "ticktext": [str(lanes + 1 - tick) for tick in ticks],
            "range": [0.4, lanes + 0.6],
            "zeroline": False,
            "showgrid": False,
        },
    )
    return style.set_layout(figure, height=130 + min(360, 34 * max(2, lanes)))


def _draw_spans(
    figure: go.Figure,
    data: WorkerUtilizationData,
    state: TrialState,
    spans: pd.DataFrame,
    lanes: int,
    units_per_hour: int,
    mode: str,
) -> None:
    """Draw all spans of one state as one trace: a line from begin to end, then a gap."""
    gaps = np.full(len(spans), np.nan)
    heights = lanes - spans["lane"]
    x = np.column_stack([spans["begin"], spans["end"], gaps]).ravel() * units_per_hour
    y = np.column_stack([heights, heights, gaps]).ravel()
    texts: list[str] = []
    trials: list[int] = []
    for span in formatting.rows(spans):
        duration = formatting.duration(3600 * (span.end - span.begin))
        text = style.escaped(f"{data.labels[span.trial]} {state}: {duration}", 80)
        texts += [text, text, ""]
        trials += [span.trial] * 3
    color, symbol = style.STATE_STYLES[state]
    figure.add_scatter(
        x=style.compact(x),
        y=style.compact(y),
        mode=mode,
        name=state,
        hoverinfo="text",
        customdata=trials,
        text=texts,
        line={"width": max(3, min(14, 200 // lanes)), "color": color},
        marker={
            "size": max(4, min(9, 120 // lanes)),
            "symbol": symbol,
            "color": color,
            "line": {"width": 1, "color": "white"},
        },
    )
