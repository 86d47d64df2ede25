"""Published numbers and ours."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.section import Scope, SectionContent, section
from cae.report.statistics.published import compare_published, group_comparisons
from cae.report.statistics.published_number import PublishedComparison, PublishedVerdict
from cae.report.wording import published

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
    verdict: PublishedVerdict
    reason: str


@dataclass(frozen=True, kw_only=True)
class PublishedContent(SectionContent):
    compared: Sequence[PublishedRow] = ()
    """Measured at the report's own settings."""
    settings: Sequence[PublishedRow] = ()
    """Sizes and settings, which do not depend on training."""
    others: Sequence[PublishedRow] = ()
    """Not comparable, not run, or context."""


@functools.lru_cache(maxsize=2)
def published_comparisons(results: Results) -> list[PublishedComparison]:
    """Return every published number with ours; the summary and verdicts.json need it, too."""
    return compare_published(results)


@section("published", title="Published numbers", order=30, scope=Scope.ALL)
def published_section(results: Results) -> SectionContent:
    comparisons = published_comparisons(results)
    if not comparisons:
        return PublishedContent(
            verdict="The sweep has no published numbers to compare with.",
            is_empty=True,
            is_left_out=True,
        )
    groups = group_comparisons(comparisons)
    return PublishedContent(
        verdict=published.summary_sentence(comparisons),
        method=(
            "Ours is the best finished trial that meets the condition of the row: mean, standard "
            "deviation and number of its seeds. Reproduced: the published number lies in the 95 % "
            "prediction interval of our runs (a mean of several runs: Welch's test does not reject "
            "equality), half a unit of its last digit added; if a margin was declared before the "
            "runs, two one-sided tests show equality within it. Inconclusive: neither "
            "different nor equal within the margin. One seed: not equal to the printed digits, and "
            "one run has no interval. Numbers measured with other settings than the report's are "
            "shown and not judged. Sizes, settings and metrics that do not depend on training "
            "are compared exactly and counted apart."
        ),
        compared=[_row(comparison) for comparison in groups.compared],
        settings=[_row(comparison) for comparison in groups.settings],
        others=[_row(comparison) for comparison in groups.others],
    )


def _row(comparison: PublishedComparison) -> PublishedRow:
    number = comparison.published
    ours = formatting.number(comparison.ours)
    if comparison.sd is not None:
        ours += f" ± {formatting.number(comparison.sd, 2)}"
    return PublishedRow(
        quantity=_short(number.quantity),
        source=f"{_short(number.report)} {_short(number.where)}",
        value=_short(number.value),
        unit=_short(number.unit),
        definition=_short(number.definition),
        comment=_short(number.comment),
        ours=ours,
        ours_details=_details(comparison),
        verdict=comparison.verdict,
        reason=_short(published.reason(comparison)),
    )


def _details(comparison: PublishedComparison) -> str:
    details = [_short(comparison.published.metric)]
    if comparison.n > 1:
        details.append(f"n = {comparison.n}")
    elif comparison.n == 1 and comparison.is_measurement:
        details.append("one seed")
    if comparison.measurement is not None:
        trials = ", ".join(str(trial) for trial in comparison.measurement.trials)
        details.append(f"trial {trials}")
    return ", ".join(details)


def _short(text: object) -> str:
    return formatting.short(str(text), MAX_TEXT)
