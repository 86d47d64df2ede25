"""The sections of the page, in their order. Each says its verdict in words first; what it has nothing to say on is one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cae.report.data.tables import Results
from cae.report.page.sections import best as ranking
from cae.report.page.sections import charts, claims, failures, galleries, importance
from cae.report.page.sections import early_stopping as stopping
from cae.report.page.sections import final_evaluation as findings
from cae.report.page.sections import joined_runs as runs
from cae.report.page.sections import pareto as tradeoff
from cae.report.page.sections import provenance as origins
from cae.report.page.sections import reconstructions as images
from cae.report.page.sections import trials as record
from cae.report.page.sections import worker_utilization as hardware
from cae.report.page.sections.base import Section

SECTIONS: dict[str, Callable[[Results, list[dict[str, Any]]], Section]] = {
    "summary": ranking.summary,
    "best": ranking.best,
    "published": ranking.published_numbers,
    "claims": claims.claims,
    "origins": origins.origins,
    "progress": charts.progress,
    "tradeoff": tradeoff.tradeoff,
    "parallel": charts.parallel,
    "axes": charts.axes,
    "importance": importance.importance,
    "curves": charts.curves,
    "stopping": stopping.stopping,
    "images": images.images,
    "galleries": galleries.galleries,
    "baselines": findings.baselines,
    "findings": findings.findings,
    "failures": failures.failures_section,
    "hardware": hardware.hardware,
    "runs": runs.runs,
    "trials": record.trials,
    "about": record.about,
}
"""Section by its fixed id: (results, published rows with their verdicts) -> Section."""
