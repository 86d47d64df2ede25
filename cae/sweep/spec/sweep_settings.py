"""Settings of a sweep that a budget or the command line overrides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cae.sweep.spec.space_forms import Space
from cae.sweep.spec.sweep import Sweep
from cae.trial.config import Trial
from cae.trial.messages import ConfigError, short_repr

NO_AXES: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
NO_SPACE: tuple[object, ...] = ("none", None, {})
"""Values of the setting `space` that leave out the search space."""


def with_settings(sweep: Sweep, overrides: dict[str, Any], budget: str) -> Sweep:
    """The sweep with the overrides that are settings of the sweep, which are removed from
    `overrides`. Raises ConfigError."""
    changes: dict[str, Any] = {}
    errors: list[str] = []
    for name in ("seeds", "samples"):
        if name in overrides:
            try:
                changes[name] = positive_number(name, overrides.pop(name))
            except ConfigError as error:
                errors += error.messages
    if "latent" in overrides:
        try:
            changes["latent"] = _true_or_false("latent", overrides.pop("latent"))
        except ConfigError as error:
            errors += error.messages
    if "space" in overrides and overrides["space"] in NO_SPACE:
        del overrides["space"]
        changes["space"] = {}
        changes["search"] = None
        changes.setdefault("samples", 1)
    elif budget == "smoke":  # the embedded images have parameters of their own
        spaces = [_without_dataset(space) for space in sweep.spaces()]
        changes["space"] = spaces
        if not any(spaces):
            changes["search"] = None
    for name in Sweep.model_fields:
        if name in overrides:
            rule = f"{name} is set in the sweep file and cannot be overridden"
            if name == "space":
                rule = "should be none, which leaves out the search space"
            errors.append(f"{name} = {short_repr(overrides[name])}: {rule}")
    if errors:
        raise ConfigError(errors)
    return sweep.model_copy(update=changes)


def positive_number(name: str, value: Any) -> int:
    """A whole number above 0. Raises ConfigError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError([f"{name} = {value!r}: should be a whole number above 0"])
    return value


def _true_or_false(name: str, value: Any) -> bool:
    """True or False. Raises ConfigError for anything else."""
    if not isinstance(value, bool):
        raise ConfigError([f"{name} = {short_repr(value)}: should be True or False"])
    return value


def _without_dataset(space: Space) -> Space:
    axes: dict[str, Any] = {}
    for key, domain in space.items():
        if not key.startswith("dataset.") and ".dataset." not in key:
            axes[key] = domain
    return axes


def changed_settings(
    base: Trial,
    trial: Trial,
    overrides: Mapping[str, Any],
    axes: Mapping[str, Mapping[str, Any]] = NO_AXES,
) -> dict[str, dict[str, Any]]:
    """The settings that budget and command line changed, as {"full": ..., "here": ...}.

    Another seed is not another setting, and neither is a value that the search space has: the
    command line may choose one of its points.

    Args:
        base: The base trial of the sweep file.
        trial: A trial with the overrides.
        overrides: The overrides by name.
        axes: The axes of the sweep file's search space (`describe_axes`).
    """
    full = base.omitted_defaults() | base.flat()
    here = trial.omitted_defaults() | trial.flat()
    changed: dict[str, dict[str, Any]] = {}
    for key in here | full:
        is_override = any(_sets(name, key) for name in overrides)
        is_changed = here.get(key) != full.get(key) and key != "seed"
        if is_override and is_changed and not _is_in_space(here.get(key), full.get(key), key, axes):
            changed[key] = {
                "full": _setting_text(full.get(key, "not set")),
                "here": _setting_text(here.get(key, "not set")),
            }
    return changed


def _is_in_space(value: Any, full: Any, key: str, axes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the search space has the value of a parameter, or of each element that differs."""
    if key in axes:
        return _has_value(axes[key], value)
    if not isinstance(value, list | tuple) or not isinstance(full, list | tuple):
        return False
    if len(value) != len(full):
        return False
    for index, (element, full_element) in enumerate(zip(value, full, strict=True), start=1):
        axis = axes.get(f"{key}.{index}")
        if element != full_element and (axis is None or not _has_value(axis, element)):
            return False
    return True


def _has_value(axis: Mapping[str, Any], value: Any) -> bool:
    """Whether a value is one of an axis, or in its interval."""
    values = axis.get("values")
    if values is not None:
        return json.dumps(value, default=str) in [json.dumps(item, default=str) for item in values]
    low = axis.get("low")
    high = axis.get("high")
    if not isinstance(value, int | float):
        return False
    return (low is None or low <= value) and (high is None or value <= high)


def _setting_text(value: Any) -> Any:
    """None in the image counts of a data set means all images."""
    if value is None:
        return "all"
    return value


def _sets(name: str, key: str) -> bool:
    """Whether overriding `name` changes `key`: itself, a component's parameter, a tuple's
    element."""
    parent, _, element = name.rpartition(".")
    is_element = key == parent and element.isdecimal()
    return key == name or key.startswith(f"{name}.") or is_element
