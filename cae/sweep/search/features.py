"""Points of a search space as vectors of numbers between 0 and 1."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
MISSING = 0.5
"""Value of a number that a point does not have: another column says so."""


def features(points: Sequence[Mapping[str, Any]]) -> Matrix:
    """One row per point, points x columns.

    A number is its rank among the different values of the parameter, from 0 to 1: values of a grid
    are equally far apart, and draws keep the distribution that they were drawn from, so that a
    logarithmic range needs no logarithm. Any other value is a column per value of the parameter,
    1 where a point has it; so is the absence of a parameter that only some points have. Parameters
    with one value have no column.
    """
    names = sorted({name for point in points for name in point})
    columns: list[npt.NDArray[np.float64]] = []
    for name in names:
        columns += _columns([point.get(name) for point in points])
    if not columns:
        return np.zeros((len(points), 0))
    return np.stack(columns, axis=1)


def _columns(values: Sequence[Any]) -> list[npt.NDArray[np.float64]]:
    """The columns of a parameter from its value in each point."""
    present = [value for value in values if value is not None]
    if all(map(_is_number, present)):
        return _number_columns(values)
    texts = [json.dumps(value, sort_keys=True, default=str) for value in values]
    categories = sorted(set(texts))
    if len(categories) == 1:
        return []
    if len(categories) == 2:  # the second column would repeat the first
        categories = categories[1:]
    return [np.array([text == category for text in texts], float) for category in categories]


def _number_columns(values: Sequence[float | None]) -> list[npt.NDArray[np.float64]]:
    distinct = sorted({float(value) for value in values if value is not None})
    columns: list[npt.NDArray[np.float64]] = []
    if len(distinct) > 1:
        ranks = {value: rank / (len(distinct) - 1) for rank, value in enumerate(distinct)}
        column = [MISSING if value is None else ranks[float(value)] for value in values]
        columns.append(np.array(column))
    is_missing = [value is None for value in values]
    if any(is_missing) and not all(is_missing):
        columns.append(np.array(is_missing, float))
    return columns


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
