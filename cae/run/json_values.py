"""JSON with the numbers that it cannot represent, and checks of values read from JSON files.

A number that JSON cannot represent is written as the string "NaN", "Infinity" or "-Infinity" and
read back as a float. Standard library only.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import TypeGuard

MAX_COUNT = 2**53
"""Larger integers are not exact as floats."""

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_METRIC_NAMES: dict[tuple[str, ...], tuple[str, ...]] = {}
"""Each tuple of metric names once: half a million epochs would hold as many copies of the names."""


def is_count(value: object) -> TypeGuard[int]:
    """Whether `value` is a whole number from 0 that a float represents exactly."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_COUNT


def is_finite_number(value: object) -> TypeGuard[float]:
    """Whether `value` is an integer or a float, neither infinite nor NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False


def is_text_mapping(value: object) -> bool:
    """Whether `value` is a dictionary with text as values."""
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def to_json_value(value: object) -> object:
    """Convert to what the json module writes: numpy's numbers to Python's, tuples to lists.

    Raises TypeError for a value that JSON cannot represent.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        if math.isnan(number):
            return "NaN"
        if math.isinf(number):
            return "Infinity" if number > 0 else "-Infinity"
        return number
    if isinstance(value, Mapping):
        return {str(key): to_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_value(item) for item in value]
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def to_metrics(values: Mapping[str, object]) -> dict[str, float]:
    """Read metrics back: "NaN", "Infinity" and "-Infinity" become floats, other text NaN."""
    if set(map(type, values.values())) <= {int, float}:
        names = tuple(values)
        shared_names = _METRIC_NAMES.setdefault(names, names)
        return dict(zip(shared_names, values.values(), strict=True))  # type: ignore[arg-type]
    metrics: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, int | float):
            metrics[name] = value
        else:
            metrics[name] = _NON_FINITE.get(str(value), math.nan)
    return metrics
