"""The sections of the page, in their order. Each says its verdict in words first; what it has nothing to say on is one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cae.report.sections import (
    charts,
    claims,
    failures,
    findings,
    galleries,
    hardware,
    images,
    importance,
    origins,
    ranking,
    record,
    runs,
    stopping,
    tradeoff,
)  # fmt: skip
from cae.report.sections.base import Section
from cae.report.tables import Results

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
