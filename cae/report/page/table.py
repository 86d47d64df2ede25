"""Tables of the page: text to read, and the exact number behind a rounded text to sort by."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results

MAX_CELL_LENGTH = 160
LONG_TEXT = 48
"""Characters from which on a text needs a wide column: in a narrow window it would be one word
wide, and its row as high as the screen."""


class Cell(NamedTuple):
    """One cell. A named tuple, because a page has tens of thousands of them."""

    text: str
    exact: str = ""
    """The number in full if `text` rounds it, otherwise ""."""
    is_number: bool = False
    css_class: str = ""


@dataclass(frozen=True)
class Column:
    """The heading of a column, and what all of its cells have in common."""

    name: str
    is_numeric: bool = False
    is_constant: bool = False
    """Whether all rows hold the same value. The table of trials hides such columns at first."""
    has_long_text: bool = False

    @property
    def css_class(self) -> str:
        """n for numbers, c for constant columns, w for wide ones: short, because every cell has
        them."""
        classes = []
        if self.is_numeric:
            classes.append("n")
        if self.is_constant:
            classes.append("c")
        if self.has_long_text:
            classes.append("w")
        return " ".join(classes)


@dataclass(frozen=True)
class Table:
    """A table with its caption. Captions are read by screen readers and not shown."""

    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    trials: Sequence[int] = ()
    """Per row the index of its trial in the table of trials; empty if rows are not trials."""


def make_table(
    caption: str,
    frame: pd.DataFrame,
    *,
    parameters: Sequence[str] = (),
    headings: Mapping[str, str] | None = None,
    rows_are_trials: bool = False,
) -> Table:
    """Convert a data frame to a table of the page.

    `parameters` are columns that hold values of the configuration, which are printed as people
    type them. `headings` replaces the names of some columns. If `rows_are_trials`, the index of
    the frame is that of the table of trials.
    """
    columns: list[Column] = []
    columns_of_cells: list[list[Cell]] = []
    for name in frame:
        is_parameter = name in parameters
        cells = [make_cell(value, is_parameter=is_parameter) for value in frame[name].tolist()]
        heading = str(name)
        if headings is not None:
            heading = headings.get(heading, heading)
        has_long_text = any(len(cell.text) >= LONG_TEXT for cell in cells)
        columns.append(Column(heading, _is_numeric(cells), _is_constant(cells), has_long_text))
        columns_of_cells.append(cells)
    rows = [list(row) for row in zip(*columns_of_cells, strict=True)]
    trials: list[int] = []
    if rows_are_trials:
        trials = [int(index) for index in frame.index]
    return Table(caption, columns, rows, trials)


def make_cell(value: object, *, is_parameter: bool = False) -> Cell:
    """Format a value. Parameters are printed as people type them, other numbers are rounded."""
    if value is None or value is pd.NA or value is pd.NaT:
        return Cell("")
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return Cell(formatting.short(str(value), MAX_CELL_LENGTH))
    if math.isnan(float(value)):
        return Cell("", is_number=True)
    text = formatting.parameter(value) if is_parameter else formatting.number(value)
    if not math.isfinite(float(value)):
        return Cell(text, is_number=True)
    return Cell(text, _exact(value, text), is_number=True)


def parameter_columns(results: Results) -> list[str]:
    """Columns that hold parameters of the configuration, or numbers that are names (a seed)."""
    names: dict[str, None] = {}
    for run in results.runs:
        for record in run.records.values():
            names |= dict.fromkeys(record.config)
    return [*names, *results.axes, "trial", "seed"]


def _exact(value: numbers.Real, text: str) -> str:
    """Return the number in full if the text rounds it, otherwise ""."""
    full = str(value) if isinstance(value, numbers.Integral) else repr(float(value))
    if float(text.replace(",", "")) == float(full):
        return ""
    return full


def _is_numeric(cells: Sequence[Cell]) -> bool:
    has_number = any(cell.is_number for cell in cells)
    return has_number and all(cell.is_number or not cell.text for cell in cells)


def _is_constant(cells: Sequence[Cell]) -> bool:
    if len(cells) < 2:
        return False
    return len({(cell.text, cell.exact) for cell in cells}) == 1
