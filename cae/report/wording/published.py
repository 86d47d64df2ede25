"""Sentences about published numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from cae.report import formatting
from cae.report.statistics.published import (
    NotComparable,
    Overrides,
    PublishedComparison,
    PublishedVerdict,
)

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
    counts = Counter(comparison.verdict for comparison in judged)
    parts = [f"{counts[verdict]} {verdict}" for verdict in PublishedVerdict if counts[verdict]]
    total = formatting.plural(len(judged), "published number")
    sentence = f"Of {total}: {formatting.listed(parts)}."
    if reasons and counts[PublishedVerdict.NOT_COMPARABLE]:
        causes = {_not_comparable(comparison): None for comparison in judged}
        causes.pop("", None)
        sentence += f" Not comparable: {formatting.listed(causes, MAX_REASONS)}."
    return sentence


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
    match comparison.verdict:
        case PublishedVerdict.CONTEXT:
            return ""
        case PublishedVerdict.NOT_RUN:
            return _not_run(comparison)
        case PublishedVerdict.NOT_COMPARABLE:
            cause = _not_comparable(comparison)
            return f"{cause[0].upper()}{cause[1:]}."
    return formatting.sentences([_seeds(comparison), _distance(comparison), _choice(comparison)])


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
    if comparison.is_size:
        return ""
    if comparison.n == 1:
        return "One seed."
    return f"{comparison.n} seeds."


def _distance(comparison: PublishedComparison) -> str:
    tolerance = formatting.parameter(comparison.tolerance)
    if comparison.verdict == PublishedVerdict.REPRODUCED:
        return f"Within {tolerance} of the published value."
    side = "lower"
    if comparison.difference > 0:
        side = "higher"
    distance = abs(comparison.difference)
    share = ""
    published_value = comparison.published_value
    if published_value and math.isfinite(published_value):
        share = f" ({formatting.percent(distance, abs(published_value))})"
    text = formatting.number(distance, 3)
    return f"{text}{share} {side} than published; tolerance {tolerance}."


def _choice(comparison: PublishedComparison) -> str:
    measurement = comparison.measurement
    if measurement is None or measurement.matching_configurations < 2:
        return ""
    return f"Best of {measurement.matching_configurations} matching configurations."
