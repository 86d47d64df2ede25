"""Which trial held which slot when, by state."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data.tables import Results
from cae.report.page.figures import style
from cae.report.statistics import worker_utilization as slots
from cae.report.statistics.worker_utilization import Slots

MOST_SPANS = 3000
MOST_MARKED = 60
"""Of so many trials per slot, each begins and ends with the symbol of its state."""


def hardware_data(results: Results) -> tuple[Slots, list[str]]:
    found = slots.slots(results)
    return found._replace(spans=found.spans.head(MOST_SPANS)), list(results.labels)


def hardware_figure(data: tuple[Slots, list[str]]) -> go.Figure:
    """A line per time in a slot, from its start to its end; one gapped trace per state."""
    figure, (found, labels) = go.Figure(), data
    spans, lanes = found.spans, int(found.spans["lane"].max()) + 1 if len(found.spans) else 1
    minutes = not len(spans) or spans["end"].max() < 2
    for state in [state for state in style.STATES if (spans["state"] == state).any()]:
        some = spans[spans["state"] == state]
        x = np.column_stack([some["begin"], some["end"], np.full(len(some), np.nan)]).ravel() * (
            60 if minutes else 1
        )
        y = np.column_stack([lanes - some["lane"]] * 2 + [np.full(len(some), np.nan)]).ravel()
        texts = [
            style.escaped(
                f"{labels[row.trial]} {state}: {formatting.duration(3600 * (row.end - row.begin))}",
                80,
            )
            for row in formatting.rows(some)
        ]
        figure.add_scatter(
            x=style.small(x),
            y=style.small(y),
            mode="lines+markers" if len(spans) <= MOST_MARKED * lanes else "lines",
            name=state,
            hoverinfo="text",
            customdata=[trial for trial in some["trial"] for _ in range(3)],
            text=[part for text in texts for part in (text, text, "")],
            line={"width": max(3, min(14, 200 // lanes)), "color": style.STATES[state][0]},
            marker={
                "size": max(4, min(9, 120 // lanes)),
                "symbol": style.STATES[state][1],
                "color": style.STATES[state][0],
                "line": {"width": 1, "color": "white"},
            },
        )
    ticks = list(range(1, lanes + 1))[:: -(-lanes // 16)]
    figure.update_layout(
        xaxis={
            "title": {"text": f"{'minutes' if minutes else 'hours'} of running"},
            "rangemode": "tozero",
        },
        yaxis={
            "title": {"text": "slot"},
            "tickvals": ticks,
            "ticktext": [str(lanes + 1 - tick) for tick in ticks],
            "range": [0.4, lanes + 0.6],
            "zeroline": False,
            "showgrid": False,
        },
    )
    return style.layout(figure, height=130 + min(360, 34 * max(2, lanes)))
