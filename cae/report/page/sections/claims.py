"""The claims of the report, each judged by a statistical test."""

from __future__ import annotations

from typing import Any

from cae.report import formatting
from cae.report.data.tables import Results
from cae.report.page.section import SectionContent, section
from cae.report.page.table import Cell, Column, Table
from cae.report.statistics import claims


@section("claims", title="Claims", order=40)
def claims_section(results: Results) -> SectionContent:
    rows = claims.judge(results)
    if not rows:
        return SectionContent(verdict="The sweep has no claims to judge.", is_empty=True)
    sentences = [claims.sentence(rows)]
    differences = [row["differs"] for row in rows if row["differs"]]
    if differences and not results.joined:
        sentences.append(f"All under {differences[0]}.")
    return SectionContent(
        verdict=formatting.sentences(sentences),
        method=(
            f"Supported: the effect has the claimed sign, and p is below {claims.ALPHA}. "
            "Contradicted: it has the opposite sign, and p is below this limit. Undecided: "
            "neither, or too few seeds for a test. Not testable: the run lacks the trials. Only "
            "finished trials count, because stopped ones were trained for fewer epochs. If "
            "possible, the two sides are compared between trials that are equal in all other "
            "settings. Tests are two-sided. If a claim needs several comparisons, Holm's "
            "correction is applied. There is no correction between claims: of 20 claims without "
            "any effect, one would be decided by chance."
        ),
        tables=[_table(results, rows)],
    )


def _table(results: Results, rows: list[dict[str, Any]]) -> Table:
    names = ["claim", "provenance", "test", "numbers", "seeds", "verdict", "reason"]
    if results.joined:
        names.insert(0, "run")
    columns = [Column(name) for name in names]
    cells = [_cells(row, joined=results.joined) for row in rows]
    return Table("Claims and their verdicts", columns, cells)


def _cells(row: dict[str, Any], *, joined: bool) -> list[Cell]:
    reason = row["why"]
    if not joined:  # the section states the settings once
        reason = reason.removesuffix(f" Under {row['differs']}.")
    seeds = ""
    if row["seeds"]:
        seeds = str(row["seeds"])
    verdict_class = f"verdict verdict-{row['verdict'].replace(' ', '-')}"
    cells = [
        Cell(formatting.short(f"{row['id']}: {row['text']}", 400)),
        Cell(formatting.short(row["provenance"], 80)),
        Cell(row["test"]),
        Cell(formatting.short(_numbers(row), 300)),
        Cell(seeds),
        Cell(row["verdict"], css_class=verdict_class),
        Cell(formatting.short(reason, 800)),
    ]
    if joined:
        cells.insert(0, Cell(formatting.short(row["run"], 80)))
    return cells


def _numbers(row: dict[str, Any]) -> str:
    """Return the effect, its p value and the number of trials."""
    if not row["n"]:
        return ""
    numbers = row["effect"]
    if row["p"] is not None:
        numbers += f", {claims.chance(row['p'])}"
    return f"{numbers}, {formatting.plural(row['n'], 'trial')}"
