"""Whose the values of the axes are: the report's, its author's code's, or ours."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from cae.report import words
from cae.report.sections.base import Section, table
from cae.report.tables import Results, cell

SAID = {"stated": "stated by the report", "repo": "found in its author's code or logs", "inferred": "inferred, by us"}


def origins(results: Results, _rows: list[dict[str, Any]]) -> Section:
    rows = [
        {"parameter": name, "value": words.parameter(cell(value)), "origin": SAID.get(origin, words.short(str(origin)))}
        for name, axis in results.axes.items()
        for value, origin in axis.get("origins") or []
    ]
    if not rows:
        return Section("origins", "Whose values these are", "The sweep does not say where the values of its axes stand.", empty=True)
    counts = Counter(row["origin"] for row in rows)
    said = words.listed(f"{counts[origin]} {origin}" for origin in SAID.values() if counts[origin])
    axes = len({row["parameter"] for row in rows})
    verdict = f"Of {words.plural(len(rows), 'value')} on {words.plural(axes, 'axis', 'axes')}: {said}."
    if counts[SAID["inferred"]]:
        verdict += " What is inferred is not the report's own grid."
    return Section(
        "origins",
        "Whose values these are",
        verdict,
        data={"id": "origins", "tables": [table("The values of each axis, and where they stand", pd.DataFrame(rows))]},
    )
