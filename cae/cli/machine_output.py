"""Output of commands for other programs: JSON and CSV.

JSON goes to the standard output, CSV to a file, or to the standard output for the file "-".
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cae.cli.output import echo
from cae.errors import UserError
from cae.files import check_output, write_output
from cae.run.formatting import spreadsheet_text

Row = Mapping[str, Any]
"""Values by column."""
STANDARD_OUTPUT = Path("-")


def check_outputs(*, as_json: bool, csv_file: Path | None) -> None:
    """Raise UserError if JSON and CSV would both go to the standard output, or the folder of the
    CSV file does not exist."""
    if csv_file is not None and csv_file != STANDARD_OUTPUT:
        check_output(csv_file)
    if as_json and csv_file == STANDARD_OUTPUT:
        raise UserError("--json --csv -: both print to the standard output; use --csv FILE")


@contextlib.contextmanager
def prints_to_stderr() -> Iterator[None]:
    """Let everything that is printed go to stderr: a sweep file or a network may print."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def echo_json(value: object) -> None:
    """Print a value as JSON (`json_text`)."""
    echo(json_text(value))


def json_text(value: object) -> str:
    """A value as JSON; NaN and infinity, which JSON lacks, become null."""
    return json.dumps(_without_nan(value), indent=2, allow_nan=False)


def write_csv(rows: Sequence[Row], file: Path, first_columns: Sequence[str] = ()) -> None:
    """Write rows with the columns of all of them, in the order of their first use.

    `first_columns` are the header of a table without rows.
    """
    columns = dict.fromkeys(first_columns)
    for row in rows:
        columns |= dict.fromkeys(row)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([spreadsheet_text(name) for name in columns])
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])
    if file == STANDARD_OUTPUT:
        echo(text.getvalue().removesuffix("\n"))
    else:
        write_output(file, text.getvalue())


def _cell(value: object) -> object:
    """A value as a cell: nothing for None and NaN, lists as JSON."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | tuple | dict):
        value = json.dumps(value, default=str)
    if isinstance(value, str):
        return spreadsheet_text(value)
    return value


def _without_nan(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value
