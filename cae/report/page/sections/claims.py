"""What the report claims, and what the trials say to it."""

from __future__ import annotations

from typing import Any

from cae.report import formatting
from cae.report.data.tables import Results
from cae.report.page.sections.base import Cell, Section, Table
from cae.report.statistics import claims as judging


def claims(results: Results, _rows: list[dict[str, Any]]) -> Section:
    rows = judging.judge(results)
    if not rows:
        return Section("claims", "Claims", "The sweep lists no claims to judge.", empty=True)
    differs = (
        next((row["differs"] for row in rows if row["differs"]), "") if not results.joined else ""
    )
    return Section(
        "claims",
        "Claims",
        formatting.sentences([judging.sentence(rows), differs and f"All under {differs}."]),
        how=f"Supported: the effect has the claimed sign, and p is below {judging.ALPHA}. Contradicted: it has the other sign, and p is "
        "below that. Undecided: neither, or too few seeds for a test. Not testable: this run lacks the trials. Only finished trials count; "
        "those that were stopped trained for fewer epochs. Sides are compared between trials that are alike in all other settings, where "
        "there are such. Tests are two-sided; where one claim takes several comparisons, Holm's correction is applied. Between claims, "
        "nothing is corrected: of 20 claims about nothing, one would come out by chance.",
        data={"table": _table(results, rows), "rows": rows},
    )


def _table(results: Results, rows: list[dict[str, Any]]) -> Table:
    columns = [
        *(["run"] if results.joined else []),
        "claim",
        "provenance",
        "test",
        "numbers",
        "seeds",
        "verdict",
        "why",
    ]
    cells = [[Cell(text, "", False) for text in _texts(row, joined=results.joined)] for row in rows]
    return Table(
        "Claims and their verdicts", columns, cells, [False] * len(columns), [False] * len(columns)
    )


def _texts(row: dict[str, Any], *, joined: bool) -> list[str]:
    p = f", {judging.chance(row['p'])}" if row["p"] is not None else ""
    numbers = f"{row['effect']}{p}, {formatting.plural(row['n'], 'trial')}" if row["n"] else ""
    return [
        *([formatting.short(row["run"], 80)] if joined else []),
        formatting.short(f"{row['id']}: {row['text']}", 400),
        formatting.short(row["provenance"], 80),
        row["test"],
        formatting.short(numbers, 300),
        str(row["seeds"] or ""),
        row["verdict"],
        formatting.short(
            row["why"] if joined else row["why"].removesuffix(f" Under {row['differs']}."), 800
        ),
    ]
