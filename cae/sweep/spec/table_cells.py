"""Checking names of tables, rows and columns that claims and published numbers use."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from cae.run.table_cells import parse_cell
from cae.sweep.spec.claims import Claim, SmallestRows
from cae.sweep.spec.sweep import Sweep
from cae.trial.config import Trial


def check_cells(sweep: Sweep, published: Sequence[Mapping[str, str]]) -> list[str]:
    """Errors: claims and published numbers that name cells which no trial has.

    Nothing is checked if the search space or a budget changes the task. Tables of a user's task
    are known only if it declares them.

    Args:
        sweep: The sweep.
        published: The rows of its file of published numbers.
    """
    if not sweep.base.is_complete():
        return []
    is_task_fixed = not any("task" in names for names in [*sweep.spaces(), *sweep.budgets.values()])
    errors: list[str] = []
    for number, row in enumerate(published, start=1):
        metric = row.get("metric", "")
        where = f"published, row {number}: metric = {metric!r}"
        try:
            cell = parse_cell(metric)
        except ValueError as error:
            errors.append(f"{where}: {error}")
            continue
        if cell is not None and is_task_fixed:
            problem = _cell_error(sweep.base, cell.table, [cell.row], cell.column)
            if problem:
                errors.append(f"{where}: {problem}")
    if is_task_fixed:
        errors += _claim_errors(sweep.base, sweep.claims)
    return errors


def _claim_errors(base: Trial, claims: Iterable[Claim]) -> list[str]:
    errors: list[str] = []
    for claim in claims:
        if isinstance(claim, SmallestRows):
            error = _cell_error(base, claim.table, claim.rows, claim.column)
            if error:
                errors.append(f"claims: {claim.id}: {error}")
    return errors


def _cell_error(trial: Trial, table: str, rows: Sequence[str], column: str) -> str:
    """What is wrong with the name of a cell, with the nearest valid choice; empty if nothing is."""
    declared = trial.task.declared_tables()
    if table not in declared:
        if not trial.task.is_builtin():
            return ""
        task = trial.task.name
        return f"{table!r} is not a table of task {task!r}{_choice(table, declared)}"
    columns = declared[table].columns
    if column not in columns:
        return f"{column!r} is not a column of table {table}{_choice(column, columns)}"
    if not declared[table].has_class_rows or not trial.dataset.class_names:
        return ""
    names = [*trial.dataset.class_names, *declared[table].other_rows]
    for row in rows:
        if row not in names:
            return f"{row!r} is not a row of table {table}{_choice(row, names)}"
    return ""


def _choice(name: str, names: Iterable[str]) -> str:
    """The nearest of the valid names, or all of them."""
    nearest = difflib.get_close_matches(name, names, n=1)
    if nearest:
        return f"; did you mean {nearest[0]!r}?"
    return f"; choose one of {', '.join(names)}"
