"""Words that several sections use."""

from __future__ import annotations

from cae.report.data.results import Results


def better_direction(results: Results) -> str:
    """Return "lower" if lower values of the sweep's metric are better, otherwise "higher"."""
    if results.mode == "min":
        return "lower"
    return "higher"
