"""Sentences of a model card about its sweep: verdicts on claims and published numbers."""

from __future__ import annotations

from collections.abc import Sequence

from cae.report import formatting
from cae.report.statistics.claims.verdict import ClaimResult
from cae.report.statistics.published_number import PublishedComparison
from cae.report.wording import claims, published
from cae.run.markdown import escaped


def verdict_lines(
    trial: int,
    claim_results: Sequence[ClaimResult],
    comparisons: Sequence[PublishedComparison],
) -> list[str]:
    """Return the paragraphs of a card about a trial, as Markdown; empty without either.

    Every claim is listed, and the published numbers that were compared with this trial; the others
    are counted.
    """
    paragraphs: list[str] = []
    if claim_results:
        items = [f"- {result.verdict}: {escaped(result.text)}" for result in claim_results]
        paragraphs.append(claims.summary_sentence(claim_results))
        paragraphs.append("\n".join(items))
    summary = published.summary_sentence(comparisons)
    if summary:
        paragraphs.append(escaped(summary))
        items = [_published_item(item) for item in comparisons if _uses(item, trial)]
        if items:
            paragraphs.append("Measured with this trial:")
            paragraphs.append("\n".join(items))
    return paragraphs


def _uses(comparison: PublishedComparison, trial: int) -> bool:
    return comparison.measurement is not None and trial in comparison.measurement.trials


def _published_item(comparison: PublishedComparison) -> str:
    number = comparison.published
    place = escaped(f"report {number.report}, {number.where}".strip(", "))
    seeds = ""
    if comparison.n > 1:
        seeds = f" (mean of {comparison.n} seeds)"
    return (
        f"- {comparison.verdict}: {escaped(number.quantity)}, published {escaped(number.value)} "
        f"({place}); here {formatting.number(comparison.ours)}{seeds}"
    )
