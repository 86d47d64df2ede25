"""Figures: per figure a pure data step and a drawing step. What is in the table below is on the page and is tested, nothing else is.

No figure uses WebGL: scatter lines print, have a hover everywhere, and never run out of contexts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import plotly.graph_objects as go

from cae.report.data.tables import Results
from cae.report.page.figures import best, curves, importance, progress
from cae.report.page.figures import early_stopping as stopping
from cae.report.page.figures import parallel_coordinates as parallel
from cae.report.page.figures import parameters as axes
from cae.report.page.figures import pareto as tradeoff
from cae.report.page.figures import worker_utilization as hardware
from cae.report.statistics.early_stopping import halving


class Figure(NamedTuple):
    data: Callable[[Results], Any]
    draw: Callable[[Any], go.Figure]


FIGURES: dict[str, Figure] = {
    "best": Figure(best.best_data, best.best_figure),
    "progress": Figure(progress.progress_data, progress.progress_figure),
    "tradeoff": Figure(tradeoff.tradeoff_data, tradeoff.tradeoff_figure),
    "parallel": Figure(parallel.parallel_data, parallel.parallel_figure),
    "axes": Figure(axes.axes_data, axes.axes_figure),
    "importance": Figure(importance.importance_data, importance.importance_figure),
    "marginals": Figure(importance.marginals_data, importance.marginals_figure),
    "interaction": Figure(importance.interaction_data, importance.interaction_figure),
    "curves": Figure(curves.curves_data, curves.curves_figure),
    "agreement": Figure(halving, stopping.agreement_figure),
    "survival": Figure(halving, stopping.survival_figure),
    "regret": Figure(halving, stopping.regret_figure),
    "hardware": Figure(hardware.hardware_data, hardware.hardware_figure),
}
"""Figure by its name; a section says which of them it shows, with the data step that it made itself."""
