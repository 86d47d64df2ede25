"""Sweeps over data of the user's own: checked before anything runs, and noted where results are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cae.cli.app import app
from cae.report.page import build as page
from cae.run.paths import RunDir

SWEEP = '''"""Images of the user's own."""

import numpy as np
from ray import tune

from cae import Adam, ConvAutoencoder, Dataset, Reconstruct, Source, Split, Sweep, Trial


class Mine(Dataset):
    """Random images in one of several types."""

    kind: str = "uint8"

    @property
    def image_shape(self):
        return 2, 8, 8

    def read(self, folders):
        pixels = np.random.default_rng(0).integers(0, 256, (64, 2, 8, 8), np.uint8)
        labels = np.arange(64) % 2
        if self.kind == "float32":
            return Source(Split((pixels / np.float32(255)), None))
        if self.kind == "swapped":
            return Source(Split(pixels[:, :, :6].transpose(0, 1, 3, 2) / 127.5 - 1, labels[:9]))
        return Source(Split(pixels, labels))


sweep = Sweep(
    base=Trial(
        dataset=Mine(),
        task=Reconstruct(),
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(lr=1e-2),
        epochs=1,
    ),
    space={"dataset.kind": tune.grid_search(KINDS)},
)
'''


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that writes the sweep over some kinds of images."""
    monkeypatch.chdir(tmp_path)

    def write(*kinds: str) -> Path:
        path = tmp_path / "mine.py"
        path.write_text(SWEEP.replace("KINDS", repr(list(kinds))))
        return path

    return write


def test_floats_have_the_same_results_as_bytes_and_a_note(
    write: Callable[..., Path], run_sweep: Callable[..., RunDir]
) -> None:
    run = run_sweep(write("uint8", "float32"))
    records = {record.config["dataset.kind"]: record for record in run.records().values()}
    expected = records["uint8"].epochs[1]
    for name, value in records["float32"].epochs[1].items():
        if "second" not in name:
            assert value == expected[name]
    [note] = run.read_sweep().image_notes
    assert note == "mine: there are no labels: all images are of class 0"
    assert "there are no labels" in page.build(run).read_text()
    with np.load(run.trial(1) / "samples.npz") as samples:
        for name in ("input", "target", "output"):
            assert samples[name].shape == (6, 1, 8, 16)  # two channels beside one another


def test_wrong_images_and_labels_are_errors_before_anything_is_written(
    write: Callable[..., Path],
) -> None:
    for command in ("plan", "run"):
        result = CliRunner().invoke(app, [command, str(write("uint8", "swapped"))])
        assert result.exit_code == 2
        *_, shape, labels = result.stderr.splitlines()
        assert "train.pixels has the shape (64, 2, 8, 6)" in shape
        assert "9 labels for 64 images" in labels
        assert not Path("runs").exists()


def test_a_plan_names_skipped_files(write: Callable[..., Path]) -> None:
    for index in range(30):
        Path("photos").mkdir(exist_ok=True)
        Image.new("L", (8, 8), 8 * index).save(f"photos/{index}.tif")
    Path("photos/notes.txt").touch()
    path = write("uint8")
    text = path.read_text().replace("dataset=Mine()", 'dataset=ImageFolder(path="photos", size=8)')
    text = text.replace("import Adam", "import Adam, ImageFolder").replace(
        '"dataset.kind"', '"seed"'
    )
    path.write_text(text.replace("['uint8']", "[0]"))
    result = CliRunner().invoke(app, ["plan", str(path)])
    assert result.exit_code == 0, result.output
    note = "images: image_folder: 1 file is no image and skipped: notes.txt"
    assert note in result.stdout


PHOTOS = '''"""Photos beside the sweep file."""

from cae import Adam, ConvAutoencoder, ImageFolder, Reconstruct, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=ImageFolder(path="photos", size=8),
        task=Reconstruct(),
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(lr=1e-2),
        epochs=1,
    ),
)
'''


def write_photos(folder: Path, seed: int) -> None:
    """Twenty random images of 8 x 8 pixels."""
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 8, 8, 3), np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number:02d}.png")


def test_a_run_with_relative_paths_is_exported_from_another_folder(
    tmp_path: Path, run_sweep: Callable[..., RunDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    write_photos(project / "photos", seed=0)
    (project / "photos_sweep.py").write_text(PHOTOS)
    monkeypatch.chdir(project)
    run_sweep(project / "photos_sweep.py")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    def export(name: str) -> str:
        folder = str(project / "run")
        return CliRunner().invoke(app, ["best", folder, "-o", str(tmp_path / name)]).output

    plan = CliRunner().invoke(app, ["plan", str(project / "photos_sweep.py")])
    assert plan.exit_code == 0, plan.output
    assert "re-evaluated" in export("model")
    write_photos(elsewhere / "photos", seed=1)
    assert "differ from those that trial 1 was trained on" in export("of other images")
    for folder in (elsewhere, project):
        (folder / "photos").rename(folder / "moved")
    assert "trial 1: its images are gone" in export("without images")
