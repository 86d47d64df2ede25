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
"""Stands for a number that a point does not have; another column marks these points."""


def features(points: Sequence[Mapping[str, Any]]) -> Matrix:
    """The points as a matrix, points x columns, of numbers between 0 and 1.

    - A number becomes its rank among the different values of its parameter. Neighboring values are
      equally far apart, so that a logarithmic range needs no logarithm.
    - Any other value is one-hot encoded: a column per value (one column for two values).
    - A numeric parameter that some points lack has a second column, which is 1 for these points.
    - A parameter with the same value in all points has no column.
    """
    names = sorted({name for point in points for name in point})
    columns: list[npt.NDArray[np.float64]] = []
    for name in names:
        columns += _columns([point.get(name) for point in points])
    if not columns:
        return np.zeros((len(points), 0))
    return np.stack(columns, axis=1)


def _columns(values: Sequence[Any]) -> list[npt.NDArray[np.float64]]:
    """The columns of a parameter from its value in each point; None where it is missing."""
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
