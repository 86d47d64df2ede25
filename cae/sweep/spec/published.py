"""Reading the CSV file of published numbers that a sweep names."""

from __future__ import annotations

import csv
from pathlib import Path

from cae.run.sweep_json import PUBLISHED
from cae.trial.config import ConfigError

REQUIRED_COLUMNS = ("quantity", "value")


def read_published(name: str | None, folder: Path) -> list[dict[str, str]]:
    """The rows of the file, with all columns of PUBLISHED; none without a name.

    Raises ConfigError if the file cannot be read or lacks a required column.
    """
    if not name:
        return []
    file = folder / name
    rows: list[dict[str, str]] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            for line in reader:
                row = dict.fromkeys(PUBLISHED, "")
                for column, value in line.items():
                    if column:
                        row[column] = value or ""
                rows.append(row)
            columns = reader.fieldnames or []
    except (OSError, UnicodeError, csv.Error) as error:
        message = f"published = {name!r}: {file} cannot be read ({error})"
        raise ConfigError([message]) from None
    missing = [column for column in REQUIRED_COLUMNS if column not in columns]
    if missing:
        names = " and no column ".join(missing)
        message = f"published = {name!r}: {file} has no column {names}: {', '.join(PUBLISHED)}"
        raise ConfigError([message])
    return rows
