"""Folders of image files: which are read, how they are resized, and the file of an import."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cae.trial.datasets import image_files
from cae.trial.datasets.folder_files import find_images
from cae.trial.datasets.image_files import (
    DecodedFolder,
    decode_folder,
    decode_image,
)
from cae.trial.datasets.image_reader import read_header, read_image
from cae.trial.datasets.imported_files import (
    IMPORTED_FILE,
    imported_shape,
    read_imported,
    write_imported,
)
from cae.trial.datasets.splits import Split
from tests.trial.datasets.small_files import assert_damaged, write_image

# Finding and classes


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Images of the classes a and b and one without a class, each of another red."""
    names = ["b/two.png", "a/one.bmp", "a/deep/er.webp", "b/Three.PNG", "loose.png"]
    for index, name in enumerate(names):
        write_image(tmp_path / name, Image.new("RGB", (20, 10), (index * 40, 0, 0)))
    for hidden in (".cache/x.png", "a/.y.png"):
        write_image(tmp_path / hidden, Image.new("RGB", (9, 9)))
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_images_are_sorted_and_labeled_by_their_first_folder(classes: Path) -> None:
    decoded = decode_folder(classes, 8, 3)
    assert decoded.class_names == tuple(sorted(["a", "b", classes.name]))
    labels = [decoded.class_names[label] for label in decoded.images.labels]
    assert labels == ["a", "a", "b", "b", classes.name]
    assert decoded.images.pixels.shape == (5, 3, 8, 8)
    reds = decoded.images.pixels[:, 0, 4, 4].astype(int)
    # In the order a/deep/er, a/one, b/Three, b/two, loose; webp is not exact.
    np.testing.assert_allclose(reds, [80, 40, 120, 0, 160], atol=6)


def test_links_are_followed_but_not_in_a_circle(classes: Path) -> None:
    (classes / "a" / "up").symlink_to(classes)
    write_image(classes / ".elsewhere" / "six.png", Image.new("RGB", (9, 9)))
    (classes / "c").symlink_to(classes / ".elsewhere")
    names = [path.name for path in find_images(classes)]
    assert names == ["er.webp", "one.bmp", "Three.PNG", "two.png", "six.png", "loose.png"]


# Decoding


def test_the_shorter_side_is_resized_and_the_centre_cropped(tmp_path: Path) -> None:
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = 255  # the centered square is white
    write_image(tmp_path / "wide.png", Image.fromarray(wide))
    write_image(tmp_path / "tall.png", Image.fromarray(wide.transpose(1, 0, 2)))
    for name in ("wide.png", "tall.png"):
        small = decode_image(tmp_path / name, 8, 1)
        assert small.shape == (1, 8, 8)
        assert small[:, 2:6, 2:6].min() > 240
        np.testing.assert_array_equal(decode_image(tmp_path / name, 16, 3), 255)


def test_resizing_is_antialiased(tmp_path: Path) -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    write_image(tmp_path / "stripes.png", Image.fromarray(stripes))
    assert 100 < decode_image(tmp_path / "stripes.png", 8, 1).mean() < 155
    assert decode_image(tmp_path / "stripes.png", 128, 3).shape == (3, 128, 128)


def test_all_modes_are_converted_to_one_or_three_channels(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    gradient = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    write_image(path, Image.fromarray(gradient))
    np.testing.assert_array_equal(decode_image(path, 8, 3), np.stack([gradient] * 3))
    write_image(path, Image.fromarray(gradient.astype(np.uint16) * 257))  # 16 bits per pixel
    np.testing.assert_array_equal(decode_image(path, 8, 1)[0], gradient)
    write_image(path, Image.new("RGBA", (8, 8), (255, 0, 0, 0)))  # transparent: white
    np.testing.assert_array_equal(decode_image(path, 8, 3), 255)
    color = Image.fromarray(np.full((8, 8, 3), (0, 128, 255), np.uint8))
    write_image(path, color.convert("P", palette=Image.Palette.ADAPTIVE))
    np.testing.assert_allclose(decode_image(path, 8, 3)[:, 0, 0], (0, 128, 255), atol=4)
    write_image(path, Image.new("1", (8, 8), 1))
    np.testing.assert_array_equal(decode_image(path, 8, 1), 255)


def test_images_are_rotated_as_exif_requires(tmp_path: Path) -> None:
    left_black = Image.fromarray(np.repeat(np.array([[0] * 8 + [255] * 8], np.uint8), 16, axis=0))
    exif = left_black.getexif()
    exif[0x0112] = 6  # orientation: rotate by 90 degrees clockwise
    left_black.save(tmp_path / "image.png", exif=exif)
    upright = decode_image(tmp_path / "image.png", 16, 1)[0]
    assert upright[0].max() == 0
    assert upright[-1].min() == 255


def test_large_images_are_decoded_with_bounded_memory_and_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    for number, side in enumerate([8, 40, 8, 60, 40, 8, 60]):
        noise = generator.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    expected = decode_folder(tmp_path, size=8, channels=3)
    lock = threading.Lock()
    in_memory: list[int] = []
    sums: list[int] = []

    def read_and_count(path: Path, channels: int, max_value: int | None, **options: Any) -> Any:
        pixels = read_header(path).pixels
        with lock:
            in_memory.append(pixels)
            sums.append(sum(in_memory))
        time.sleep(0.02)
        try:
            return read_image(path, channels, max_value, **options)
        finally:
            with lock:
                in_memory.remove(pixels)

    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(image_files, "read_image", read_and_count)
    monkeypatch.setattr(image_files, "MAX_PIXELS_IN_MEMORY", 2000)
    bounded = decode_folder(tmp_path, size=8, channels=3)
    assert max(sums) == 60 * 60, "the largest are decoded alone"
    np.testing.assert_array_equal(bounded.images.pixels, expected.images.pixels)


def test_all_damaged_images_are_reported_together(tmp_path: Path) -> None:
    random_pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    write_image(tmp_path / "good.png", Image.fromarray(random_pixels))
    complete = (tmp_path / "good.png").read_bytes()
    damaged = [complete[: len(complete) // 2], b"", b"\x89PNG\r\n\x1a\n", complete[:100]]
    for index in range(7):
        (tmp_path / f"bad{index}.png").write_bytes(damaged[index % 4])
    message = assert_damaged(
        lambda: decode_folder(tmp_path, 8, 3), "7 of 8 images cannot be decoded", "and 2 more"
    )
    assert sum(f"bad{index}.png" in message for index in range(7)) == 5
    assert "good.png" not in message


# The file of an import


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4), np.uint8)


def test_an_imported_file_is_read_as_written(tmp_path: Path, pixels: np.ndarray) -> None:
    folder = DecodedFolder(Split(pixels, np.array([0, 1, 1, 0, 1])), ("cat", "dög"))
    path = tmp_path / IMPORTED_FILE
    write_imported(path, folder, Path("/photos"))
    assert os.listdir(tmp_path) == [IMPORTED_FILE]  # no temporary file is left
    imported = read_imported(path)
    np.testing.assert_array_equal(imported.images.pixels, pixels)
    np.testing.assert_array_equal(imported.images.labels, folder.images.labels)
    assert imported.class_names == ("cat", "dög")
    assert imported_shape(path) == (5, 3, 4, 4)


def test_a_damaged_imported_file_is_an_error(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / IMPORTED_FILE
    folder = DecodedFolder(Split(pixels, np.array([0, 1, 1, 0, 1])), ("cat", "dog"))
    write_imported(path, folder, Path("/photos"))
    complete = path.read_bytes()
    for content in (complete[:-3], b"", b"garbage" * 9):
        path.write_bytes(content)
        assert_damaged(lambda: read_imported(path), str(path))
        assert_damaged(lambda: imported_shape(path), str(path))


def test_an_imported_file_with_invalid_arrays_is_an_error(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    path = tmp_path / IMPORTED_FILE
    names = ("cat", "dog")
    for invalid in (
        DecodedFolder(Split(pixels, np.array([0, 1, 2, 0, 1])), names),
        DecodedFolder(Split(pixels, np.array([0, 1])), names),
        DecodedFolder(Split(pixels[0], np.array([0, 1, 0])), names),
        DecodedFolder(Split(pixels.astype(np.float64), np.zeros(5, np.int64)), ("cat",)),
    ):
        write_imported(path, invalid, Path("/photos"))
        assert_damaged(lambda: read_imported(path), str(path), "expected")
