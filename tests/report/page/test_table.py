"""Tables of the page: rounded texts with exact numbers, and columns with something in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cae.report.page.table import Cell, make_cell, make_table


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, Cell("")),
        (pd.NA, Cell("")),
        (float("nan"), Cell("", is_number=True)),
        (float("inf"), Cell("∞", is_number=True)),
        (0.25, Cell("0.2500", is_number=True)),
        (0.0123456, Cell("0.01235", "0.0123456", is_number=True)),
        (48000, Cell("48,000", is_number=True)),
        (np.int64(3), Cell("3", is_number=True)),
        (True, Cell("True")),
        ("adam", Cell("adam")),
    ],
)
def test_a_cell_shows_a_rounded_number_and_contains_the_exact_one(value: Any, cell: Cell) -> None:
    assert make_cell(value) == cell


def test_parameters_are_printed_as_people_type_them() -> None:
    assert make_cell(0.001, is_parameter=True).text == "0.001"
    assert make_cell(48000, is_parameter=True).text == "48000"


def test_long_text_is_shortened() -> None:
    assert len(make_cell("x" * 1000).text) == 160


def test_columns_of_numbers_and_constant_columns_are_marked() -> None:
    frame = pd.DataFrame({"loss": [0.1, None], "same": ["a", "a"], "mixed": [1, "b"]})
    table = make_table("Losses", frame, headings={"loss": "val_loss"}, rows_are_trials=True)
    assert [column.name for column in table.columns] == ["val_loss", "same", "mixed"]
    assert [column.is_numeric for column in table.columns] == [True, False, False]
    assert [column.is_constant for column in table.columns] == [False, True, False]
    assert [column.css_class for column in table.columns] == ["n", "c", ""]
    assert list(table.trials) == [0, 1]


def test_a_column_with_long_text_is_wide() -> None:
    """In a narrow window it would be one word wide, and its rows as high as the screen."""
    frame = pd.DataFrame({"reason": ["short", "x" * 48], "state": ["finished", "y" * 47]})
    table = make_table("Trials", frame)
    assert [column.css_class for column in table.columns] == ["w", ""]


def test_a_single_row_has_no_constant_columns() -> None:
    table = make_table("One", pd.DataFrame({"same": ["a"]}))
    assert not table.columns[0].is_constant
