"""Arrays that would give wrong numbers in silence: each is refused, or shown as it is."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from cae.cli.app import app
from cae.errors import UserError
from cae.trial.datasets import Arrays, load_images

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 1, 4, 6), np.uint8)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def error_of(path: str, value_range: tuple[float, float] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_images(Arrays(path=path, shape=(1, 4, 6), value_range=value_range), [])
    return str(caught.value)


def test_a_tiff_of_several_series_is_refused_and_not_read_in_part() -> None:
    with tifffile.TiffWriter("stack.tif") as file:
        for image in PIXELS[:, 0]:
            file.write(image, metadata=None)
        file.write(PIXELS[0, 0, :2], metadata=None)
    error = error_of("stack.tif")
    assert "2 separate series of images (uint8 20 x 4 x 6, uint8 2 x 6)" in error
    assert "numpy.stack(images)" in error


def test_two_arrays_of_one_name_are_refused() -> None:
    np.savez("twice.npz", x=PIXELS)
    with zipfile.ZipFile("twice.npz", "a") as archive:
        first = archive.read("x.npy")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x.npy", first)
    assert "two arrays of the name x" in error_of("twice.npz")


def test_labels_of_one_split_only_are_refused() -> None:
    np.savez("split.npz", x_train=PIXELS, y_train=np.arange(20) % 3, x_test=PIXELS)
    assert "train has labels, and test has none" in error_of("split.npz")


@pytest.mark.parametrize(
    "value_range", [(0.0, 1e300), (0.0, 1e-42), (-3e38, 3e38), (1e9, 1e9 + 1000)]
)
def test_a_range_that_float32_cannot_resolve_is_refused(value_range: tuple[float, float]) -> None:
    black, white = value_range
    np.save("wide.npy", PIXELS / 255 * (white / 2 - black / 2) * 2 * 0.9 + black)
    error = error_of("wide.npy", value_range)
    assert "dataset.value_range" in error
    assert "float32" in error


def test_a_range_of_256_levels_is_accepted() -> None:
    np.save("deep.npy", PIXELS.astype(np.int64) + 2**23)
    limits = (2.0**23, 2.0**23 + 256)
    images = load_images(Arrays(path="deep.npy", shape=(1, 4, 6), value_range=limits), [])
    assert images.train.pixels.dtype == np.float32
    assert any("int64 values are kept as float32" in note for note in images.notes)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.full((3, 4, 6), np.nan), "NaN or infinite values in 3 of 3 images"),
        (PIXELS[:0], "no images: odd: uint8 0 x 1 x 4 x 6"),
        (PIXELS[:, :, :0], "no images: odd: uint8 20 x 1 x 0 x 6"),
        (np.full((3, 4, 6), 7, np.uint16), "all pixels have the same value"),
    ],
)
def test_show_prints_no_range_where_there_is_none(pixels: np.ndarray, expected: str) -> None:
    np.save("odd.npy", pixels)
    result = CliRunner().invoke(app, ["data", "show", "odd.npy"])
    assert expected in result.output
    assert "use it as" not in result.output


def test_a_folder_with_a_link_to_itself_is_an_error_in_words() -> None:
    Path("loop.npy").symlink_to("loop.npy")
    assert "loop.npy: cannot be read" in error_of(".")


@pytest.mark.parametrize("path", ["x" * 5000, "~nobody-of-this-name/x.npy"])
def test_a_path_that_cannot_exist_is_a_missing_file(path: str) -> None:
    assert "there is no such file or folder" in error_of(path)
