"""Points of a search space that cannot be trained: their combination of values is impossible.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cae.run.fields import Count, Object, Text
from cae.run.formatting import count_of, format_value
from cae.run.json_values import JsonObject

MAX_LISTED_REASONS = 3


@dataclass(frozen=True, kw_only=True)
class LeftOutPoints:
    """The points that were left out for one reason."""

    reason: Text = ""
    """Which values do not go together, and why."""
    points: Count = 1
    """How many points."""
    example: Object = field(default_factory=dict)
    """The values of the first of them, by dotted name."""


def left_out_lines(left_out: Sequence[JsonObject], examined: int | None) -> list[str]:
    """How many points were left out and why, a line for each of the first reasons.

    Args:
        left_out: `LeftOutPoints` as sweep.json contains them.
        examined: How many points were examined; None if that is not recorded.
    """
    groups = [LeftOutPoints(**_known_fields(group)) for group in left_out]
    if not groups:
        return []
    total = count_of(sum(group.points for group in groups), "point")
    if examined is not None:
        total += f" of {examined:,}"
    lines = [f"left out as impossible: {total}"]
    for group in groups[:MAX_LISTED_REASONS]:
        example = ", ".join(f"{key} {format_value(v)}" for key, v in group.example.items())
        such_as = ""
        if example:
            such_as = f"; for example {example}"
        lines.append(f"  {count_of(group.points, 'point')}: {group.reason}{such_as}")
    others = groups[MAX_LISTED_REASONS:]
    if others:
        points = count_of(sum(group.points for group in others), "point")
        lines.append(f"  {points} for {count_of(len(others), 'other reason')}")
    return lines


def _known_fields(group: Mapping[str, object]) -> JsonObject:
    names = LeftOutPoints.__dataclass_fields__
    return {name: value for name, value in group.items() if name in names}
