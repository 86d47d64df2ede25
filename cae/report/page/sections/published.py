"""Published numbers and ours."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cae.report import formatting
from cae.report.data.tables import Results
from cae.report.page.section import SectionContent, section
from cae.report.statistics import published

MAX_TEXT = 200


@dataclass(frozen=True)
class PublishedRow:
    """One published number as the page prints it."""

    quantity: str
    source: str
    """Report, and where in it."""
    value: str
    unit: str
    definition: str
    comment: str
    ours: str
    ours_details: str
    """Our metric, the number of seeds and the trials."""
    verdict: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PublishedContent(SectionContent):
    rows: Sequence[PublishedRow] = ()


@functools.lru_cache(maxsize=2)
def published_rows(results: Results) -> list[dict[str, Any]]:
    """Return every published number with ours; the summary and verdicts.json need it, too."""
    return published.compare(results)


@section("published", title="Published numbers", order=30)
def published_section(results: Results) -> SectionContent:
    rows = published_rows(results)
    if not rows:
        return PublishedContent(
            verdict="The sweep has no published numbers to compare with.", is_empty=True
        )
    return PublishedContent(
        verdict=published.sentence(rows),
        method=(
            "Ours is the best finished trial that meets the condition of the row: mean, standard "
            "deviation and number of its seeds. Reproduced: within the larger of 2 standard "
            "deviations and half a unit of the last printed digit. Numbers measured with other "
            "settings than the report's are shown and not judged; sizes of networks do not depend "
            "on images or epochs."
        ),
        rows=[_row(row) for row in rows],
    )


def _row(row: dict[str, Any]) -> PublishedRow:
    ours = formatting.number(row["ours"])
    if row["sd"] is not None:
        ours += f" ± {formatting.number(row['sd'], 2)}"
    return PublishedRow(
        quantity=_short(row["quantity"]),
        source=f"{_short(row['report'])} {_short(row['where'])}",
        value=_short(row["value"]),
        unit=_short(row["unit"]),
        definition=_short(row["definition"]),
        comment=_short(row["comment"]),
        ours=ours,
        ours_details=_details(row),
        verdict=row["verdict"],
        reason=_short(row["why"]),
    )


def _details(row: dict[str, Any]) -> str:
    details = [_short(row["metric"])]
    if row["n"] > 1:
        details.append(f"n = {row['n']}")
    elif row["n"] == 1 and not row["size"]:
        details.append("one seed")
    if row["trials_used"]:
        trials = ", ".join(str(trial) for trial in row["trials_used"])
        details.append(f"trial {trials}")
    return ", ".join(details)


def _short(text: object) -> str:
    return formatting.short(str(text), MAX_TEXT)
