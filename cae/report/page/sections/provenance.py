"""Whose the values of the axes are: the report's, its author's code's, or ours."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from cae.report import formatting
from cae.report.data.tables import Results, typed
from cae.report.page.sections.base import Section, table

SAID = {
    "stated": "stated by the report",
    "repo": "found in its author's code or logs",
    "inferred": "inferred, by us",
}


def origins(results: Results, _rows: list[dict[str, Any]]) -> Section:
    axes = {name: pairs for name, axis in results.axes.items() if (pairs := axis.get("origins"))}
    if not axes:
        return Section(
            "origins",
            "Whose values these are",
            "The sweep does not say where the values of its axes stand.",
            empty=True,
        )
    counts = Counter(str(origin) for pairs in axes.values() for _, origin in pairs)
    said = formatting.listed(
        f"{counts[origin]} {text}" for origin, text in SAID.items() if counts[origin]
    )
    verdict = f"Of {formatting.plural(sum(counts.values()), 'value')} on {formatting.plural(len(axes), 'axis', 'axes')}: {said}."
    if counts["inferred"]:
        verdict += " What is inferred is not the report's own grid."
    rows = [
        {"parameter": name}
        | {
            text: ", ".join(typed(value) for value, of in pairs if of == origin)
            for origin, text in SAID.items()
        }
        for name, pairs in axes.items()
    ]
    return Section(
        "origins",
        "Whose values these are",
        verdict,
        data={
            "id": "origins",
            "tables": [table("The values of each axis, and where they stand", pd.DataFrame(rows))],
        },
    )
