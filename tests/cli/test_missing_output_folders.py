"""A file in a folder that does not exist is an error before anything works, and makes no folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.errors import UserError
from cae.files import write_output


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        ["plan", "quickstart", "--csv", "missing/out.csv"],
        ["list", "--csv", "missing/out.csv"],
        ["encode", "model", "photo.png", "-o", "missing/codes.npz"],
        ["reconstruct", "model", "photo.png", "-o", "missing/out.png"],
        ["score", "model", "photo.png", "-o", "missing/scores.csv"],
        ["score", "model", "photo.png", "--maps", "missing/maps.npy"],
        ["new", "missing/mine"],
    ],
)
def test_a_missing_folder_is_named_before_anything_works(command: list[str]) -> None:
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2, result.output
    assert "the folder missing does not exist: create it first" in result.stderr
    assert list(Path().iterdir()) == []


def test_an_output_never_makes_its_folder() -> None:
    with pytest.raises(UserError, match="the folder missing does not exist"):
        write_output(Path("missing/out.csv"), "")
    assert not Path("missing").exists()
    write_output(Path("out.csv"), "x")
    assert Path("out.csv").read_text() == "x"
