"""Cells of the tables of trials, as columns of the table of trials."""

from __future__ import annotations

import math

import pandas as pd

from cae.report.data.results import Run
from cae.run.json_values import JsonObject
from cae.run.table_cells import SEPARATOR, TableCell, parse_cell


def with_cell(trials: pd.DataFrame, run: Run, metric: str) -> pd.DataFrame:
    """Return the trials of a run with a column for a metric that names a cell of their tables.

    The column is NaN where a trial lacks the cell. Other metrics change nothing.
    """
    if SEPARATOR not in metric or metric in trials:
        return trials
    try:
        cell = parse_cell(metric)
    except ValueError:  # of a run of somebody else: no trial has the cell
        return trials
    if cell is None:
        return trials
    values: list[float] = []
    for number in trials["trial"]:
        table = run.records[int(number)].final_tables.get(cell.table, [])
        values.append(_value(table, cell))
    return trials.assign(**{metric: values})


def _value(table: list[JsonObject], cell: TableCell) -> float:
    """Return the number in a cell of a table; NaN without one."""
    for row in table:
        first_cell = next(iter(row.values()))
        value = row.get(cell.column)
        if str(first_cell) == cell.row and isinstance(value, int | float):
            return float(value)
    return math.nan
