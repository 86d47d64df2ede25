"""Published numbers that a sweep is compared with, and their CSV file. Standard library only."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cae.errors import UserError
from cae.run.fields import Text, parse_fields, schema_of

REQUIRED_COLUMNS = ("quantity", "value")


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """A published number. All columns are text; a missing column is empty."""

    report: Text = ""
    """Name or number of the publication."""
    where: Text = ""
    """Section, table or exercise of the publication."""
    quantity: Text = ""
    """What was measured, in words."""
    value: Text = ""
    """The number as it is printed: half a unit of its last digit is its rounding error."""
    unit: Text = ""
    """A value in `percent` is compared with 100 times the metric."""
    definition: Text = ""
    """Formula or description of the quantity."""
    provenance: Text = ""
    metric: Text = ""
    """The column of trials.csv to compare with; empty: the row is only shown."""
    trials: Text = ""
    """Conditions that a trial has to meet: "NAME=VALUE;NAME=VALUE"; empty or "best": none."""
    comment: Text = ""
    published_sd: Text = ""
    """Standard deviation of the publication's runs, if `value` is their mean. Empty: one run."""
    published_runs: Text = ""
    """Number of these runs."""
    margin: Text = ""
    """Largest difference without importance, in the unit of `value`, chosen before our runs: the
    number is reproduced only if the runs show equality within it. Empty: none."""
    margin_reason: Text = ""
    """Why this margin."""
    explanation: Text = ""
    """Why ours differs, and what was tested for that. Shown if it does; empty: unexplained."""
    other_columns: Mapping[str, str] = field(default_factory=dict)
    """Columns that are not listed above."""

    @classmethod
    def from_columns(cls, columns: Mapping[str, str]) -> Self:
        """The row that has these columns."""
        values = parse_fields(cls, columns)
        other = {name: text for name, text in columns.items() if name not in values}
        return cls(**values, other_columns=other)

    def to_columns(self) -> dict[str, str]:
        """All columns of the row, by name."""
        columns = {name: getattr(self, name) for name in PUBLISHED_COLUMNS}
        return columns | dict(self.other_columns)


PUBLISHED_COLUMNS = tuple(schema_of(PublishedRow).checks)
"""Names of the columns in their order."""


def read_published_rows(path: Path) -> list[PublishedRow]:
    """Read a CSV file of published numbers.

    Raises UserError if it cannot be read, lacks one of REQUIRED_COLUMNS, or contains text in place
    of a number.
    """
    rows: list[PublishedRow] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            header = list(reader.fieldnames or [])
            for cells in reader:
                # Cells beyond the header have the key None; cells that a short line lacks are None.
                columns = {name: text or "" for name, text in cells.items() if name}
                row = PublishedRow.from_columns(columns)
                _check_numbers(row, f"{path}, line {reader.line_num}")
                rows.append(row)
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error})") from None
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    if missing:
        columns_text = ", ".join(PUBLISHED_COLUMNS)
        raise UserError(
            f"{path} has no column {' and no column '.join(missing)}; columns: {columns_text}"
        )
    return rows


def _check_numbers(row: PublishedRow, where: str) -> None:
    """Raise UserError for columns that should be positive numbers, and incomplete pairs."""
    for name, least in (("published_sd", 0.0), ("published_runs", 2.0), ("margin", 0.0)):
        text = getattr(row, name)
        if text and not _is_at_least(text, least):
            raise UserError(f"{where}: {name} = {text!r}: should be a number of at least {least:g}")
    if bool(row.published_sd) != bool(row.published_runs):
        raise UserError(f"{where}: published_sd and published_runs are both needed, or neither")
    if row.margin and not row.margin_reason:
        raise UserError(f"{where}: margin = {row.margin!r}: needs a margin_reason")


def _is_at_least(text: str, least: float) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return math.isfinite(number) and number >= least
