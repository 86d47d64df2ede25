"""`cae-sweep new`: every template can be planned and, tried out, runs."""

from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cae import Arrays
from cae.cli import app as app_module
from cae.cli.new import NEEDS_IMAGES, TEMPLATES, template_text
from cae.run.paths import RunDir
from cae.sweep.spec.sweep_file import read_sweep_file

WITHOUT_IMAGES = [name for name in TEMPLATES if name not in NEEDS_IMAGES]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app_module.app, list(arguments))


def error_of(*arguments: str) -> str:
    before = sorted(Path().rglob("*"))
    result = call("new", *arguments)
    assert result.exit_code == 2, result.output
    assert sorted(Path().rglob("*")) == before
    return result.stderr


def test_the_option_has_every_template() -> None:
    hints = get_type_hints(app_module.new)
    assert set(get_args(hints["template"])) == set(TEMPLATES)


@pytest.mark.usefixtures("one_ray")
def test_a_template_runs_as_the_command_says() -> None:
    result = call("new", "mine", "--from", "search")
    assert result.exit_code == 0, result.output
    assert "next: cae-sweep plan mine.py; cae-sweep run mine.py" in result.stdout
    result = call("run", "mine.py", "--budget", "quick", "--yes")
    assert result.exit_code == 0, result.output
    assert len(RunDir(Path("runs/mine-quick")).records()) == 6


@pytest.mark.parametrize("template", WITHOUT_IMAGES)
@pytest.mark.parametrize("budget", ["full", "quick", "smoke"])
def test_every_template_can_be_planned(template: str, budget: str) -> None:
    assert call("new", template, "--from", template).exit_code == 0
    result = call("plan", f"{template}.py", "--budget", budget)
    assert result.exit_code == 0, result.output
    assert "hint:" not in result.output


def test_nothing_is_overwritten() -> None:
    Path("mine.py").write_text("precious")
    assert "mine.py exists already" in error_of("mine")
    assert Path("mine.py").read_text() == "precious"


@pytest.mark.parametrize("name", ["my-sweep", "2nd", "class", "no folder/mine", ""])
def test_an_invalid_name_is_an_error(name: str) -> None:
    error_of(name)


@pytest.mark.parametrize("name", ["cae", "torch", "json"])
def test_a_file_never_hides_a_module(name: str) -> None:
    assert f"{name} is an installed Python module" in error_of(name)
    assert not Path(f"{name}.py").exists()


def test_a_link_to_a_missing_file_is_kept() -> None:
    Path("mine.py").symlink_to("missing")
    assert "mine.py exists already" in error_of("mine")
    assert Path("mine.py").is_symlink()


def test_images_have_to_exist_and_to_be_used() -> None:
    assert "does not exist" in error_of("mine", "--from", "photos", "--images", "nowhere")
    Path("photos").mkdir()
    assert "--from photos and --from arrays" in error_of("mine", "--images", "photos")
    result = call("new", "mine", "--from", "photos", "--images", "photos")
    assert result.exit_code == 0
    assert f'path="{Path("photos").resolve()}"' in Path("mine.py").read_text()


def test_a_file_of_arrays_is_examined() -> None:
    cells = np.full((400, 2, 24, 32), 4000, np.uint16)
    cells[0] = 100
    np.save("cells.npy", cells)
    result = call("new", "mine", "--from", "arrays", "--images", "cells.npy")
    assert result.exit_code == 0, result.output
    dataset = read_sweep_file(Path("mine.py")).sweep.base.dataset
    assert isinstance(dataset, Arrays)
    assert dataset.path == str(Path("cells.npy").resolve())
    assert dataset.shape == (2, 24, 32)
    assert dataset.value_range == (100, 4000)
    assert call("plan", "mine.py", "--budget", "quick").exit_code == 0
    Path("text.npy").write_text("no array")
    assert "text.npy" in error_of("other", "--from", "arrays", "--images", "text.npy")


@pytest.mark.parametrize("template", NEEDS_IMAGES)
def test_a_path_that_is_missing_is_named(template: str) -> None:
    result = call("new", "mine", "--from", template)
    assert 'replace "IMAGES"' in result.stdout
    assert Path("mine.py").read_text() == template_text(template)
    assert "dataset.path = 'IMAGES'" in call("plan", "mine.py").stderr
