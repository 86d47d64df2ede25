"""Figures: per figure a pure data step and a drawing step. What is in the table below is on the page and is tested, nothing else is.

No figure uses WebGL: scatter lines print, have a hover everywhere, and never run out of contexts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import plotly.graph_objects as go

from cae.report.figures.axes import axes_data, axes_figure
from cae.report.figures.curves import curves_data, curves_figure
from cae.report.figures.parallel import parallel_data, parallel_figure
from cae.report.figures.progress import progress_data, progress_figure
from cae.report.tables import Results


class Figure(NamedTuple):
    data: Callable[[Results], Any]
    draw: Callable[[Any], go.Figure]


FIGURES: dict[str, Figure] = {
    "progress": Figure(progress_data, progress_figure),
    "parallel": Figure(parallel_data, parallel_figure),
    "axes": Figure(axes_data, axes_figure),
    "curves": Figure(curves_data, curves_figure),
}
"""Figure by the id of its section."""
