"""Values of configurations as cells of a table."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from cae.report.data.cells import is_missing, to_cell


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ((16, 32), "16-32"),
        ([8, [1, 2]], "8-1-2"),
        ({"b": 1, "a": "x"}, '{"a": "x", "b": 1}'),
        (0.5, 0.5),
        ("same", "same"),
        (None, None),
    ],
)
def test_tuples_are_joined_and_mappings_are_json(value: object, cell: object) -> None:
    assert to_cell(value) == cell


@pytest.mark.parametrize("value", [None, pd.NA, math.nan])
def test_none_and_nan_are_missing(value: object) -> None:
    assert is_missing(value)


@pytest.mark.parametrize("value", [0, "", False, "nan", math.inf])
def test_other_values_are_not_missing(value: object) -> None:
    assert not is_missing(value)
