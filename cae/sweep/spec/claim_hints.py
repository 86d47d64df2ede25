"""Hints of a plan: claims whose trials are not in it."""

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
    configs = [*in_run, *map(_config, trials)]
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


def hints_about_chosen(
    claims: Sequence[Claim],
    trials: Sequence[Trial],
    chosen: Sequence[Trial],
    overrides: Overrides,
    in_run: Sequence[Mapping[str, Any]] = (),
) -> list[str]:
    """One line about the claims that need trials which `--where` leaves out; empty without any.

    Args:
        claims: The claims of the sweep.
        trials: Its trials.
        chosen: Those of them that `--where` chooses.
        overrides: As for `hints_about_claims`.
        in_run: Configurations of the trials that the run holds.
    """
    all_configs = [*in_run, *map(_config, trials)]
    chosen_configs = [*in_run, *map(_config, chosen)]
    count = 0
    for claim in claims:
        is_in_sweep = _has_trials(claim, all_configs, overrides)
        if is_in_sweep and not _has_trials(claim, chosen_configs, overrides):
            count += 1
    if not count:
        return []
    verb = "needs" if count == 1 else "need"
    return [f"{count} of {count_of(len(claims), 'claim')} {verb} trials that --where leaves out"]


def _config(trial: Trial) -> Mapping[str, Any]:
    return trial.later_defaults() | trial.flat()


def _has_trials(claim: Claim, configs: Sequence[Mapping[str, Any]], overrides: Overrides) -> bool:
    """Whether there are trials on each side of a claim, and with two values of its axis."""
    where = getattr(claim, "where", {})
    matching = [config for config in configs if meets_conditions(config, where, overrides)]
    sides: list[Mapping[str, Any]] = [{}]
    if hasattr(claim, "this") and hasattr(claim, "that"):
        sides = [claim.this, claim.that]
    axis = getattr(claim, "axis", "")
    if axis and hasattr(claim, "value"):
        sides = [{axis: claim.value}]
    for side in sides:
        if not any(meets_conditions(config, side, overrides) for config in matching):
            return False
    return not axis or len(_values(matching, axis)) != 1


def meets_conditions(
    config: Mapping[str, Any], conditions: Mapping[str, Any], overrides: Overrides
) -> bool:
    """Whether a configuration has all required values, or what this run has instead of them."""
    for name, required in conditions.items():
        override = overrides.get(name)
        if override is not None and is_equal_setting(
            plain_setting(required), plain_setting(override.get("full"))
        ):
            required = override.get("here")
        if not is_equal_setting(plain_setting(setting_of(config, name)), plain_setting(required)):
            return False
    return True


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
