"""Values of `--set KEY=VALUE`: every form in which plans, tables and pages print a value."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

from cae.trial.config import Trial
from cae.trial.messages import ConfigError

ALL_IMAGES = "all"
"""How None is printed for the number of images of a split."""


def parse_value(text: str) -> Any:
    """Parse a value: JSON (`true`, `[3, 5]`), else a Python literal (`True`, `(3,)`, `.5`), else
    text."""
    with contextlib.suppress(ValueError):
        return json.loads(text)
    with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        value = ast.literal_eval(text.strip())
        if _is_plain(value):
            return value
    return text


def _is_plain(value: object) -> bool:
    """Whether JSON can represent a value: no bytes, sets or complex numbers."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def adapt_settings(settings: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Convert printed forms of a parameter's values to the values.

    `32` and `8-8-8` are lists for a parameter that is a list, and `all` means all images.

    Args:
        settings: Values by dotted name.
        base: The base trial's values by dotted name, with the components that settings select
            (see `base_values`).
    """
    adapted: dict[str, Any] = {}
    for key, value in settings.items():
        adapted[key] = value
        if isinstance(base.get(key), list):
            adapted[key] = _to_list(value)
        elif value == ALL_IMAGES and key.endswith("_images"):
            adapted[key] = None
    return adapted


def base_values(settings: Mapping[str, Any], base: Trial) -> dict[str, Any]:
    """The values of the base trial, with the components that settings select."""
    components = {kind: settings[kind] for kind in Trial.COMPONENTS if kind in settings}
    if components:
        with contextlib.suppress(ConfigError):  # reported when the trials are built
            return base.override(components).flat()
    return base.flat()


def _to_list(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value]
    if isinstance(value, str) and re.fullmatch(r"\d+(-\d+)+", value):
        return [int(number) for number in value.split("-")]
    return value
