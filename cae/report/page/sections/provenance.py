"""Provenance of the values of each axis: stated by the report, or inferred."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.section import Scope, SectionContent, section
from cae.report.page.table import make_table

DESCRIPTIONS = {
    "stated": "stated by the report",
    "repo": "from its author's code or logs",
    "inferred": "inferred",
}


@section("provenance", title="Provenance of the values", order=50, scope=Scope.ALL)
def provenance_section(results: Results) -> SectionContent:
    counts: Counter[str] = Counter()
    rows: list[dict[str, str]] = []
    for name, axis in results.axes.items():
        if not axis.get("origins"):
            continue
        values: dict[str, list[str]] = {origin: [] for origin in DESCRIPTIONS}
        for value, origin in axis["origins"]:
            counts[str(origin)] += 1
            values.setdefault(str(origin), []).append(formatting.parameter(value))
        row = {"parameter": name}
        for origin, description in DESCRIPTIONS.items():
            row[description] = ", ".join(values[origin])
        rows.append(row)
    if not rows:
        return SectionContent(
            verdict="The sweep does not state where the values of its axes come from.",
            is_empty=True,
            is_left_out=True,
        )
    return SectionContent(
        verdict=_verdict(counts, axes=len(rows)),
        tables=[make_table("Values of each axis by provenance", pd.DataFrame(rows))],
    )


def _verdict(counts: Counter[str], axes: int) -> str:
    parts = []
    for origin, description in DESCRIPTIONS.items():
        if counts[origin]:
            parts.append(f"{counts[origin]} {description}")
    value_count = formatting.plural(counts.total(), "value")
    axis_count = formatting.plural(axes, "axis", "axes")
    verdict = f"Of {value_count} on {axis_count}: {formatting.listed(parts)}."
    if counts["inferred"]:
        verdict += " Inferred values may differ from the report's own grid."
    return verdict
