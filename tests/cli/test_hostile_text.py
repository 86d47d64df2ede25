"""Names, reasons and logs of others: terminals and spreadsheets take them for text."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.report.data import tables
from cae.run.formatting import visible
from cae.run.paths import RunDir
from tests.report import synthetic_runs

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@pytest.fixture
def hostile_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with control characters in its name, in all its texts and in a log."""
    run = synthetic_runs.write_shape("hostile", tmp_path / "runs", monkeypatch)
    (run.trial(4) / "log.txt").parent.mkdir(parents=True, exist_ok=True)
    (run.trial(4) / "log.txt").write_bytes(b"\x1b[2J \xff line\r\n")
    return run.path.rename(run.path.parent / "=name\x1b[31m")


@pytest.mark.parametrize(
    "command",
    [["list"], ["status"], ["best", "--top", "9"], ["logs", "4"], ["kill", "4"], ["stop"]],
)
def test_no_command_prints_control_characters(command: list[str], hostile_run: Path) -> None:
    name, *options = command
    arguments = [] if name == "list" else [str(hostile_run)]
    result = CliRunner().invoke(app, [name, *arguments, *options])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "\\x1b[" in result.output
    assert not CONTROL.search(result.output)


def test_a_text_that_looks_like_a_formula_starts_with_an_apostrophe_in_csv(
    hostile_run: Path,
) -> None:
    run = RunDir(hostile_run)
    tables.write(tables.read([run]), run)
    with run.trials_csv.open(newline="") as file:
        header, *rows = csv.reader(file)
    cells = [*header, *(cell for row in rows for cell in row)]
    assert not [cell for cell in cells if cell.startswith("=")]
    assert not [cell for cell in cells if CONTROL.search(cell)]
    assert any(cell.startswith("'=1+1 ") for cell in header)
    reasons = {row[header.index("reason")] for row in rows}
    assert any(reason.startswith("'=1+1 ") for reason in reasons)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("a\rb\x9b", "a\\rb\\x9b"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\u202eabc", "\\u202eabc"),
        ("Über 画像 \\x1b", "Über 画像 \\x1b"),
    ],
)
def test_control_characters_are_shown_and_other_text_is_kept(text: str, shown: str) -> None:
    assert visible(text) == shown
