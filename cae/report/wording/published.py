"""Sentences about published numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from cae.report import formatting
from cae.report.statistics.published_number import (
    NotComparable,
    Overrides,
    PublishedComparison,
    PublishedVerdict,
)
from cae.report.wording.explanations import explained
from cae.report.wording.shared_dependencies import shared_dependencies_sentence

ONE_SIDED_QUANTILE = 1.645
"""Of the normal distribution, at 95 %."""

MAX_REASONS = 2
"""Reasons in the summary."""


def summary_sentence(comparisons: Sequence[PublishedComparison], *, reasons: bool = True) -> str:
    """Count the verdicts, and state why some numbers are not comparable.

    Empty if nothing was published.
    """
    judged = [comparison for comparison in comparisons if comparison.verdict.is_judged]
    if not comparisons:
        return ""
    if not judged:
        return "The sweep lists published numbers for context only."
    measured = [comparison for comparison in judged if comparison.is_measurement]
    others = [comparison for comparison in judged if not comparison.is_measurement]
    sentence = formatting.sentences(
        [
            _counts(measured, "published number"),
            _counts(others, "size or setting", "sizes and settings"),
        ]
    )
    counts = Counter(comparison.verdict for comparison in judged)
    if reasons and counts[PublishedVerdict.NOT_COMPARABLE]:
        causes = {_not_comparable(comparison): None for comparison in judged}
        causes.pop("", None)
        sentence += f" Not comparable: {formatting.listed(causes, MAX_REASONS)}."
    return sentence


def _counts(comparisons: Sequence[PublishedComparison], noun: str, plural: str = "") -> str:
    """Count the verdicts; empty without comparisons."""
    if not comparisons:
        return ""
    counts = Counter(comparison.verdict for comparison in comparisons)
    parts = [f"{counts[verdict]} {verdict}" for verdict in PublishedVerdict if counts[verdict]]
    total = formatting.plural(len(comparisons), noun)
    if plural and len(comparisons) > 1:
        total = f"{len(comparisons)} {plural}"
    return f"Of {total}: {formatting.listed(parts)}."


def differences(overrides: Overrides) -> str:
    """In which settings a run differs from the report: "epochs 4 instead of 10"."""
    parts = []
    for name, change in overrides.items():
        here = _setting(change.get("here"))
        full = _setting(change.get("full"))
        parts.append(f"{formatting.short(name)} {here} instead of {full}")
    return formatting.listed(parts)


def _setting(value: object) -> str:
    if value is None:
        return "the default"
    return formatting.short(formatting.parameter(value))


def reason(comparison: PublishedComparison) -> str:
    """Why a published number has its verdict, in sentences; empty for context."""
    explanation = ""
    if comparison.verdict.is_contradiction:
        explanation = explained(comparison.published.explanation)
    match comparison.verdict:
        case PublishedVerdict.CONTEXT:
            return ""
        case PublishedVerdict.NOT_RUN:
            return _not_run(comparison)
        case PublishedVerdict.NOT_COMPARABLE:
            cause = _not_comparable(comparison)
            return f"{cause[0].upper()}{cause[1:]}."
    return formatting.sentences(
        [_seeds(comparison), _distance(comparison), _choice(comparison), explanation]
    )


def _not_run(comparison: PublishedComparison) -> str:
    number = comparison.published
    trial = "finished trial"
    if comparison.is_size:
        trial = "trial"
    conditions = ""
    if number.has_conditions:
        conditions = f" with {number.trials}"
    return f"No {trial}{conditions} has {number.metric}."


def _not_comparable(comparison: PublishedComparison) -> str:
    """Why a measured number is not comparable, as a clause; empty if it is."""
    match comparison.not_comparable:
        case NotComparable.NO_NUMBER:
            return f"“{formatting.short(comparison.published.value)}” is not one number"
        case NotComparable.OTHER_SETTINGS:
            return f"this run has {differences(comparison.overrides)}"
        case NotComparable.SEVERAL_GROUPS:
            return (
                "the trials that meet the conditions have different data, tasks or losses; add a "
                "condition to the row"
            )
    return ""


def _seeds(comparison: PublishedComparison) -> str:
    if not comparison.is_measurement:
        return ""
    sentence = f"{comparison.n} seeds."
    if comparison.n == 1:
        sentence = "One seed."
    measurement = comparison.measurement
    if measurement is None:
        return sentence
    missing = ""
    if measurement.missing_seeds:
        seeds = formatting.plural(measurement.missing_seeds, "seed")
        missing = f"{seeds} of this configuration without a value left out."
    shared = shared_dependencies_sentence(measurement.shared_dependencies)
    return formatting.sentences([sentence, missing, shared])


def _distance(comparison: PublishedComparison) -> str:
    tolerance = formatting.number(comparison.tolerance, 3)
    if not comparison.is_measurement:
        if comparison.verdict == PublishedVerdict.EQUAL:
            return ""
        return f"{_size_of_difference(comparison)}."
    match comparison.verdict:
        case PublishedVerdict.REPRODUCED if comparison.n == 1:
            return "Equal to the printed digits."
        case PublishedVerdict.REPRODUCED:
            return formatting.sentences(
                [f"Within the 95 % interval, ± {_relative(comparison)}.", _margin(comparison)]
            )
        case PublishedVerdict.INCONCLUSIVE if math.isnan(comparison.published.printed().margin):
            return (
                f"Not different, but the 95 % interval, ± {_relative(comparison)}, is larger than "
                "the published number."
            )
        case PublishedVerdict.INCONCLUSIVE:
            return (
                f"Not different, but the 95 % interval, ± {_relative(comparison)}, does not show "
                f"equality within the margin of {comparison.published.margin}: "
                f"{_more_seeds(comparison)}."
            )
        case PublishedVerdict.ONE_SEED:
            return f"{_size_of_difference(comparison)}; a comparison needs at least 2 seeds."
    return f"{_size_of_difference(comparison)}; the 95 % interval is ± {tolerance}."


def _more_seeds(comparison: PublishedComparison) -> str:
    """Whether more seeds could show equality within the margin.

    The interval of infinitely many seeds still has the spread of the publication: of its mean, or
    of its single run, which is taken to be that of our runs.
    """
    printed = comparison.published.printed()
    spread = comparison.sd or 0.0
    if printed.count > 1:
        spread = printed.sd / math.sqrt(printed.count)
    least = ONE_SIDED_QUANTILE * spread + printed.half_unit
    if least >= printed.margin:
        return "no number of seeds would, the runs differ too much for this margin"
    return "more seeds may"


def _margin(comparison: PublishedComparison) -> str:
    """The margin that was met; empty if none was declared."""
    margin = comparison.published.margin
    if not margin:
        return ""
    return f"Equal within the declared margin of {margin}."


def _relative(comparison: PublishedComparison) -> str:
    """The half of the interval, with its share of the published value."""
    tolerance = formatting.number(comparison.tolerance, 3)
    published_value = comparison.published_value
    if not published_value or not math.isfinite(published_value):
        return tolerance
    share = formatting.percent(comparison.tolerance, abs(published_value))
    return f"{tolerance} ({share} of the published value)"


def _size_of_difference(comparison: PublishedComparison) -> str:
    side = "lower"
    if comparison.difference > 0:
        side = "higher"
    distance = abs(comparison.difference)
    share = ""
    published_value = comparison.published_value
    if published_value and math.isfinite(published_value):
        share = f" ({formatting.percent(distance, abs(published_value))})"
    return f"{formatting.number(distance, 3)}{share} {side} than published"


def _choice(comparison: PublishedComparison) -> str:
    measurement = comparison.measurement
    if measurement is None or measurement.matching_configurations < 2:
        return ""
    return f"Best of {measurement.matching_configurations} matching configurations."
