"""Errors of a search space with their counts, and with what the user probably meant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from cae.sweep.spec.sweep import Sweep
from cae.trial.messages import short_repr

_DOES_NOT_APPLY = re.compile(r"(\S+) (?:= .* would be ignored: |is not a parameter of )", re.DOTALL)
"""Messages about parameters that belong to other values of another parameter."""


def describe_errors(errors: Mapping[str, int], points: int, sweep: Sweep) -> list[str]:
    """Each error once, with the number of trials that have it if not all have it, and a hint.

    Args:
        errors: The number of points with each error.
        points: The number of all points that were examined.
        sweep: The sweep.
    """
    points_by_parameter: Counter[str] = Counter()
    for message, count in errors.items():
        match = _DOES_NOT_APPLY.match(message)
        if match:
            points_by_parameter[match[1]] += count
    messages: list[str] = []
    for message, count in errors.items():
        text = message
        if count < points:
            text = f"{message} ({count * sweep.seeds} of {points * sweep.seeds} trials)"
        match = _DOES_NOT_APPLY.match(message)
        if match and points_by_parameter[match[1]] < points and _is_axis(match[1], sweep):
            text += (
                f"; to vary {match[1]} only where it applies, write a list of search spaces: "
                f'space=[{{..., "{match[1]}": ...}}, {{...}}]'
            )
        messages.append(text + _grid_hint(message, sweep))
    return messages


def list_constants(sweep: Sweep) -> list[str]:
    """Hints about lists that are one valid value of a parameter and may be meant as a grid."""
    base = sweep.base.flat()
    hints: dict[str, None] = {}  # an ordered set
    for space in sweep.spaces():
        for name, value in space.items():
            is_list_by_default = name not in base or isinstance(base[name], list)
            if isinstance(value, list) and not is_list_by_default:
                hints[
                    f"{name} = {short_repr(value)} is one value of all trials; to vary it, write "
                    f"tune.grid_search({short_repr(value)})"
                ] = None
    return list(hints)


def _is_axis(name: str, sweep: Sweep) -> bool:
    return any(name in space for space in sweep.spaces())


def _grid_hint(message: str, sweep: Sweep) -> str:
    """A hint for an invalid value that is a list without tune.grid_search."""
    for space in sweep.spaces():
        for name, value in space.items():
            if isinstance(value, list) and message.startswith((f"{name} = ", f"{name} (element ")):
                return f"; did you mean tune.grid_search({short_repr(value)})?"
    return ""
