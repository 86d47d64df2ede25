"""`cae-sweep new`: every template can be planned and, tried out, runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from cae import Arrays
from cae.cli import app as app_module
from cae.cli.new import FEW_IMAGES, NEEDS_IMAGES, TEMPLATES, template_text
from cae.run.paths import RunDir
from cae.sweep.spec.packaged_sweeps import packaged_sweeps
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


def test_the_help_explains_every_template() -> None:
    text = " ".join(call("new", "--help").output.split())
    for template in TEMPLATES:
        assert f"{template}: " in text


def test_an_unknown_template_is_an_error_with_the_nearest_one() -> None:
    assert "did you mean denoise?" in error_of("mine", "--from", "denoising")
    assert "did you mean cifar_grid?" in error_of("mine", "--from", "cifar_gird")


@pytest.mark.parametrize("name", ["cifar_grid", "quickstart"])
def test_a_copy_of_a_packaged_sweep_has_its_published_numbers(name: str) -> None:
    result = call("new", "mine", "--from", name)
    assert result.exit_code == 0, result.output
    original = packaged_sweeps()[name]
    assert Path("mine.py").read_bytes() == original.read_bytes()
    assert read_sweep_file(Path("mine.py")).published == read_sweep_file(original).published
    assert "run mine.py; --budget smoke" in result.output
    assert read_sweep_file(original).sweep.budget("smoke") is not None


def test_every_packaged_sweep_names_only_published_numbers_that_a_copy_gets() -> None:
    for name, path in packaged_sweeps().items():
        for published in re.findall(r'published="(.*)"', path.read_text()):
            assert published == f"published/{name}.csv"


def test_published_numbers_of_another_sweep_are_not_overwritten() -> None:
    Path("published").mkdir()
    Path("published/cifar_grid.csv").write_text("precious")
    assert "exists already with another content" in error_of("mine", "--from", "cifar_grid")


@pytest.mark.slow
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
    assert 'path="photos"' in Path("mine.py").read_text()


def path_in(file: Path) -> str:
    found = re.search(r'path="(.*?)"', file.read_text())
    assert found is not None
    return found[1]


def test_paths_of_images_are_relative_to_the_sweep_file_if_both_can_be_moved_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    (work / "photos").mkdir(parents=True)
    (work / "sweeps").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(work)
    paths = {
        "beside": "photos",
        "sweeps/below": os.path.join("..", "photos"),
        str(elsewhere / "far"): str(work / "photos"),
    }
    for name, expected in paths.items():
        result = call("new", name, "--from", "photos", "--images", "photos")
        assert result.exit_code == 0, result.output
        assert path_in(Path(f"{name}.py")) == expected
    result = call("new", "other", "--from", "photos", "--images", str(elsewhere))
    assert path_in(Path("other.py")) == str(elsewhere)
    monkeypatch.chdir(tmp_path)  # below the folder of the file, wherever the command runs
    result = call("new", "work/again", "--from", "photos", "--images", str(work / "photos"))
    assert path_in(work / "again.py") == "photos"


def test_a_file_of_arrays_is_examined() -> None:
    cells = np.full((400, 2, 24, 32), 4000, np.uint16)
    cells[0] = 100
    np.save("cells.npy", cells)
    result = call("new", "mine", "--from", "arrays", "--images", "cells.npy")
    assert result.exit_code == 0, result.output
    dataset = read_sweep_file(Path("mine.py")).sweep.base.dataset
    assert isinstance(dataset, Arrays)
    assert dataset.path == "cells.npy"
    assert dataset.shape == (2, 24, 32)
    assert dataset.value_range == (100, 4000)
    assert call("plan", "mine.py", "--budget", "quick").exit_code == 0
    Path("text.npy").write_text("no array")
    assert "text.npy" in error_of("other", "--from", "arrays", "--images", "text.npy")


@pytest.mark.parametrize("count", [40, FEW_IMAGES])
def test_the_number_of_epochs_fits_the_number_of_photos(count: int) -> None:
    Path("photos").mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        pixels = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"photos/{number}.png")
    call("new", "mine", "--from", "photos", "--images", "photos")
    sweep = read_sweep_file(Path("mine.py")).sweep
    steps = sweep.base.epochs * 0.8 * count / sweep.base.batch_size
    assert steps > 150
    assert sweep.scheduler is not None
    assert sweep.scheduler.rungs(sweep.base.epochs)[0] * 0.8 * count / sweep.base.batch_size > 8
    result = call("plan", "mine.py", "--budget", "quick")
    assert result.exit_code == 0, result.output


def test_few_arrays_can_be_tried_out() -> None:
    images = np.random.default_rng(0).integers(0, 4096, (40, 1, 32, 32), dtype=np.uint16)
    np.save("cells.npy", images)
    assert call("new", "mine", "--from", "arrays", "--images", "cells.npy").exit_code == 0
    assert read_sweep_file(Path("mine.py")).sweep.base.epochs > 20
    result = call("plan", "mine.py", "--budget", "quick")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("template", NEEDS_IMAGES)
def test_a_path_that_is_missing_is_named(template: str) -> None:
    result = call("new", "mine", "--from", template)
    assert 'replace "IMAGES"' in result.stdout
    assert Path("mine.py").read_text() == template_text(template)
    assert "dataset.path = 'IMAGES'" in call("plan", "mine.py").stderr
