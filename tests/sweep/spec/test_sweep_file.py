"""Reading sweep files: errors with their lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.config import ConfigError


@pytest.mark.parametrize(
    ("code", "line", "error"),
    [
        ("import sys\nsys.exit('no data')\n", 2, "SystemExit: no data"),
        ("\n\nraise SystemExit(3)\n", 3, "SystemExit: 3"),
        ("x = 1\n1 / 0\n", 2, "ZeroDivisionError: division by zero"),
        (
            "import argparse\nparser = argparse.ArgumentParser()\nparser.error('which?')\n",
            3,
            "SystemExit: 2",
        ),
        ("x = 1\ny = (\n", 2, "SyntaxError: '(' was never closed"),
    ],
)
def test_a_file_that_cannot_be_executed_is_an_error_with_its_line(
    code: str, line: int, error: str, tmp_path: Path
) -> None:
    path = tmp_path / "sweep.py"
    path.write_text(code)
    with pytest.raises(ConfigError) as caught:
        read_sweep_file(path)
    assert caught.value.messages == [f"{path} cannot be executed: line {line}: {error}"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (b"x = 1\n\0", "SyntaxError: source code string cannot contain null bytes"),
        (b"# -*- coding: morse -*-\n", "SyntaxError: unknown encoding: morse"),
    ],
    ids=["null byte", "unknown encoding"],
)
def test_an_error_without_a_line_names_none(code: bytes, error: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.py"
    path.write_bytes(code)
    with pytest.raises(ConfigError) as caught:
        read_sweep_file(path)
    assert caught.value.messages == [f"{path} cannot be executed: {error}"]


def test_a_syntax_error_in_an_imported_module_has_the_line_of_the_import(tmp_path: Path) -> None:
    (tmp_path / "invalid_helper.py").write_text("\n\n\nx = (\n")
    path = tmp_path / "sweep.py"
    path.write_text("\nimport invalid_helper\n")
    with pytest.raises(ConfigError) as caught:
        read_sweep_file(path)
    error = "SyntaxError: '(' was never closed (invalid_helper.py, line 4)"
    assert caught.value.messages == [f"{path} cannot be executed: line 2: {error}"]
