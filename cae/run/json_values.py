"""Values of JSON files: predicates for them, and numbers that JSON cannot represent.

A number that JSON cannot represent is written as the string "NaN", "Infinity" or "-Infinity" and
read back as a float. Standard library only.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeGuard

JsonObject: TypeAlias = dict[str, Any]
"""A dictionary whose values the json module can write."""

MAX_COUNT = 2**53
"""Counts are smaller: larger integers are not exact as floats."""

MAX_NESTING = 50
"""Lists and dictionaries within each other in a value of a run's files."""

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_ONLY_FLOATS = {float}
_METRIC_TEMPLATES: dict[tuple[str, ...], dict[str, float]] = {}
"""A dictionary with zeros for each tuple of metric names. Its copies share the names' strings:
half a million epochs would otherwise hold as many copies of them."""


def without_surrogates(value: Any) -> Any:
    r"""A decoded JSON value whose texts can be written as UTF-8: half of a pair as `\udcff`.

    JSON can hold such halves, and Python makes them from the names of files that are not UTF-8.
    """
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, list):
        return [without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {without_surrogates(key): without_surrogates(item) for key, item in value.items()}
    return value


def is_nested_deeply(value: object) -> bool:
    """Whether lists and dictionaries are nested more than MAX_NESTING times in `value`.

    Functions that follow a deeper nesting would exceed Python's limit of recursion.
    """
    containers = [value]
    for _ in range(MAX_NESTING + 1):
        inner: list[object] = []
        for container in containers:
            if isinstance(container, dict):
                inner.extend(container.values())
            elif isinstance(container, list | tuple):
                inner.extend(container)
        if not inner:
            return False
        containers = inner
    return True


def is_text(value: object) -> TypeGuard[str]:
    """Whether `value` is a string."""
    return isinstance(value, str)


def is_flag(value: object) -> TypeGuard[bool]:
    """Whether `value` is true or false."""
    return isinstance(value, bool)


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


def is_metric(value: object) -> bool:
    """Whether `value` is a metric as it is written: a finite number or the name of another one."""
    if isinstance(value, str):
        return value in _NON_FINITE
    return isinstance(value, bool) or is_finite_number(value)


def to_json_value(value: object) -> object:
    """Convert to the types of JSON: numpy's numbers to Python's, tuples to lists, enums to text.

    Raises TypeError for a value that JSON cannot represent.
    """
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return _to_json_number(float(value))
    if isinstance(value, Mapping):
        return {str(key): to_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_value(item) for item in value]
    raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")


def _to_json_number(number: float) -> float | str:
    if math.isfinite(number):
        return number
    if math.isnan(number):
        return "NaN"
    if number > 0:
        return "Infinity"
    return "-Infinity"


def to_metrics(values: Mapping[str, Any]) -> dict[str, float]:
    """Read metrics back: "NaN", "Infinity" and "-Infinity" become floats.

    Every other value that is not a number in the range of floats becomes NaN.
    """
    if set(map(type, values.values())) == _ONLY_FLOATS:  # as nearly always: no loop over the values
        names = tuple(values)
        template = _METRIC_TEMPLATES.get(names)
        if template is None:
            template = dict.fromkeys(names, 0.0)
            _METRIC_TEMPLATES[names] = template
        metrics = template.copy()
        metrics.update(values)
        return metrics
    return {name: _to_metric(value) for name, value in values.items()}


def _to_metric(value: object) -> float:
    if isinstance(value, float | bool) or is_finite_number(value):
        return value
    return _NON_FINITE.get(str(value), math.nan)
