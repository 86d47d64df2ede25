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
