"""Declarations of the tables of a task's final evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cae.trial.metrics import Metric, description


@dataclass(frozen=True)
class DeclaredTable:
    """Which columns and rows a table may have. The first column names the rows."""

    columns: Mapping[str, Metric]
    """All columns but the first, by name."""
    has_class_rows: bool = True
    """Whether there is a row per class."""
    other_rows: tuple[str, ...] = ()
    """Names of further rows."""


def column_name(table: str, column: str) -> str:
    """The name of a column among declared metrics, as in cae/run/table_cells.py."""
    return f"{table}:{column}"


IMAGES = description("images", "images", "Number of images.", 0.0, depends_on_training=False)


def declared_table(
    columns: Iterable[Metric], *, has_class_rows: bool = True, other_rows: tuple[str, ...] = ()
) -> DeclaredTable:
    """The declaration of a table with these columns."""
    by_name = {metric.name: metric for metric in columns}
    return DeclaredTable(by_name, has_class_rows=has_class_rows, other_rows=other_rows)
