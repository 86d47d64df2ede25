"""Reading the CSV file of published numbers that a sweep names."""

from __future__ import annotations

from pathlib import Path

from cae.errors import UserError
from cae.run.published_rows import read_published_rows
from cae.trial.messages import ConfigError


def read_published(name: str | None, folder: Path) -> list[dict[str, str]]:
    """The rows of the file, with all columns; none without a name.

    Raises ConfigError if the file cannot be read or is invalid.
    """
    if not name:
        return []
    try:
        rows = read_published_rows(folder / name)
    except UserError as error:
        raise ConfigError([f"published = {name!r}: {error}"]) from None
    return [row.to_columns() for row in rows]
