"""Hints of a plan: conditions of claims that no trial can meet."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cae.run.formatting import count_of, format_value
from cae.sweep.spec.claims import Claim
from cae.trial.config import Trial
from cae.trial.plain_values import to_plain

MAX_LISTED_VALUES = 8
MAX_CLAIMS = 2
"""Claims with a hint of their own: a smaller budget often lacks the trials of many."""

Overrides = Mapping[str, Mapping[str, Any]]
"""Settings of the run by name: their values in the full sweep (`full`) and in this run (`here`)."""


def hints_about_claims(
    claims: Sequence[Claim],
    trials: Sequence[Trial],
    overrides: Overrides,
    in_run: Sequence[Mapping[str, Any]] = (),
) -> list[str]:
    """Conditions with a value that no trial has: such a claim would not be testable.

    Args:
        claims: The claims of the sweep.
        trials: Its trials.
        overrides: A condition on the full sweep's value is met by this run's.
        in_run: Configurations of the trials that the run holds: claims use them, too.
    """
    configs: list[Mapping[str, Any]] = list(in_run)
    for trial in trials:
        configs.append(trial.later_defaults() | trial.flat())
    hints: list[str] = []
    for claim in claims:
        for name, value in _conditions(claim):
            values = _values(configs, name)
            allowed = [*values, plain_setting(overrides.get(name, {}).get("full"))]
            if not any(is_equal_setting(plain_setting(value), other) for other in allowed):
                hints.append(f"claim {claim.id}: {_why_none(name, value, values)}")
                break
    if len(hints) > MAX_CLAIMS:
        others = len(hints) - MAX_CLAIMS
        hints[MAX_CLAIMS:] = [f"{count_of(others, 'more claim')} will not be testable"]
    return hints


def _conditions(claim: Claim) -> Iterator[tuple[str, Any]]:
    """Names of parameters and the values that some trials need."""
    for field in ("where", "this", "that"):
        yield from getattr(claim, field, {}).items()
    if hasattr(claim, "axis") and hasattr(claim, "value"):
        yield claim.axis, claim.value


def _values(configs: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """The values of a parameter, or of one element of a parameter that is a list."""
    values: dict[str, Any] = {}
    for config in configs:
        value = setting_of(config, name)
        if value is not None:
            values[repr(value)] = plain_setting(value)
    return list(values.values())


def setting_of(config: Mapping[str, Any], name: str) -> Any:
    """The value of a parameter, or of one element of a parameter that is a list; None without."""
    value = config.get(name)
    parent, _, element = name.rpartition(".")
    elements = config.get(parent)
    if value is None and isinstance(elements, list | tuple) and element.isdecimal():
        position = int(element) - 1
        if 0 <= position < len(elements):
            return elements[position]
    return value


def plain_setting(value: Any) -> Any:
    """A value with lists instead of tuples."""
    value = to_plain(value)
    if isinstance(value, list | tuple):
        return [plain_setting(item) for item in value]
    return value


def is_equal_setting(value: Any, other: Any) -> bool:
    """Whether two values are equal, as numbers if both are numbers."""
    if isinstance(value, bool) == isinstance(other, bool) and value == other:
        return True
    return str(value) == str(other)


def _why_none(name: str, value: Any, values: Sequence[Any]) -> str:
    if not values:
        return f"no trial has the parameter {name}: it will not be testable"
    texts = [format_value(other) for other in values]
    listed = ", ".join(texts[:MAX_LISTED_VALUES])
    if len(texts) > MAX_LISTED_VALUES:
        listed += ", ..."
    message = (
        f"no trial has {name} = {format_value(value)}: it will not be testable; the values are "
        f"{listed}"
    )
    nearest = difflib.get_close_matches(format_value(value), texts, n=1)
    if nearest:
        message += f"; did you mean {nearest[0]}?"
    return message
