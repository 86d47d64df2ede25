"""Names of cells in the tables of a trial's final evaluation: `per_class:3:precision`.

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

SEPARATOR = ":"


@dataclass(frozen=True)
class TableCell:
    """A cell of a table of a trial."""

    table: str
    """Name of the table."""
    row: str
    """Value of the table's first column in this row."""
    column: str

    @property
    def column_name(self) -> str:
        """The name of the column among declared metrics: `per_class:precision`."""
        return column_name(self.table, self.column)


def column_name(table: str, column: str) -> str:
    """The name of a column of a table among declared metrics."""
    return f"{table}{SEPARATOR}{column}"


def parse_cell(metric: str) -> TableCell | None:
    """The cell that a metric names; None if it is the name of a column of trials.csv.

    The row may contain colons. Raises ValueError if a part is empty.
    """
    if SEPARATOR not in metric:
        return None
    table, _, rest = metric.partition(SEPARATOR)
    row, _, column = rest.rpartition(SEPARATOR)
    cell = TableCell(table.strip(), row.strip(), column.strip())
    if not cell.table or not cell.row or not cell.column:
        raise ValueError("should be TABLE:ROW:COLUMN, such as per_class:3:precision")
    return cell
