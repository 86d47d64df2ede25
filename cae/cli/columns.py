"""Tables that fit into the terminal: columns that may be wrapped, cut or left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table

GAP = 2
"""Spaces between two columns."""


@dataclass(frozen=True)
class Column:
    name: str
    """May have several lines."""
    cells: Sequence[str]
    """One per row."""
    justify: Literal["left", "right"] = "right"
    min_width: int | None = None
    """Characters that are enough if the table has no more room; None: all that the cells have."""
    is_cut: bool = False
    """Whether a text without room is cut; otherwise it is wrapped."""
    left_out: int | None = None
    """In a table without room, the column with the lowest number is left out first; None: never."""

    @property
    def full_width(self) -> int:
        """Characters of the longest line."""
        lines = self.name.split("\n")
        for cell in self.cells:
            lines += cell.split("\n")
        return max(cell_len(line) for line in lines)

    @property
    def needed_width(self) -> int:
        """Characters without which the column cannot be read."""
        if self.min_width is None:
            return self.full_width
        return min(self.min_width, self.full_width)


def needed_width(columns: Sequence[Column]) -> int:
    """Characters without which a table of these columns cannot be read."""
    return sum(column.needed_width + GAP for column in columns) - GAP


def fitting_columns(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns for which a terminal is wide enough, in their order."""
    kept = list(columns)
    optional = [column for column in columns if column.left_out is not None]
    optional.sort(key=lambda column: column.left_out or 0)
    for column in optional:
        if needed_width(kept) <= width:
            break
        kept.remove(column)
    return kept


def column_widths(columns: Sequence[Column], width: int) -> list[int]:
    """The characters of each column: what it needs, and of the rest up to its longest line."""
    widths = [column.needed_width for column in columns]
    left = max(0, width - needed_width(columns))
    for number, column in enumerate(columns):
        more = min(left, column.full_width - widths[number])
        widths[number] += more
        left -= more
    return widths


def make_table(columns: Sequence[Column], width: int, *, header_style: str) -> Table:
    """A table of at most `width` characters, whose texts are printed as they are."""
    table = Table(box=None, header_style=header_style, padding=(0, GAP, 0, 0), pad_edge=False)
    for column, column_width in zip(columns, column_widths(columns, width), strict=True):
        overflow: Literal["ellipsis", "fold"] = "fold"
        if column.is_cut:
            overflow = "ellipsis"
        table.add_column(
            escape(column.name),
            justify=column.justify,
            no_wrap=column.is_cut,
            width=column_width,
            overflow=overflow,
        )
    rows = 0
    if columns:
        rows = len(columns[0].cells)
    for row in range(rows):
        table.add_row(*[escape(column.cells[row]) for column in columns])
    return table
