"""Figures of the page, one module per section.

Every figure has two steps: `data` computes what is drawn from the results, without plotly;
`draw` makes the plotly figure. No figure uses WebGL: SVG can be printed, shows a text on hover
everywhere, and browsers limit the number of WebGL contexts of a page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import plotly.graph_objects as go

from cae.report.data.results import Results

Data = TypeVar("Data")


@dataclass(frozen=True)
class Figure(Generic[Data]):
    """A figure of a section."""

    name: str
    """Unique on the page; part of the ids of its HTML elements."""
    data: Callable[[Results], Data]
    draw: Callable[[Data], go.Figure]

    def build(self, results: Results) -> go.Figure:
        return self.draw(self.data(results))
