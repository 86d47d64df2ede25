"""Notes about folders of images: copies and folders without images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cae.trial.datasets.image_notes import note_on_copies, note_on_empty_folders

NAMES = ["a/1.png", "a/2.png", "b/3.png", "b/4.png"]


def images_with_a_copy() -> np.ndarray:
    """Four images, of which the last one equals the second one."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), np.uint8)
    pixels[3] = pixels[1]
    return pixels


def test_copies_are_counted_and_named() -> None:
    note = note_on_copies(images_with_a_copy(), NAMES, None)
    assert note.startswith("1 image equals another one (such as b/4.png and a/2.png)")
    assert note_on_copies(images_with_a_copy()[:3], NAMES[:3], None) == ""


def test_with_splits_only_copies_in_different_splits_matter() -> None:
    pixels = images_with_a_copy()
    assert "different splits" in note_on_copies(pixels, NAMES, np.array([0, 0, 2, 2], np.uint8))
    assert note_on_copies(pixels, NAMES, np.array([0, 1, 2, 1], np.uint8)) == ""


def test_folders_without_images_are_named(tmp_path: Path) -> None:
    for name in ("cats", "dogs", "empty", ".hidden"):
        (tmp_path / name).mkdir()
    images = [tmp_path / "cats" / "1.png", tmp_path / "dogs" / "2.png"]
    assert note_on_empty_folders(tmp_path, images) == "no images in 1 of the folders: empty"
    (tmp_path / "empty").rmdir()
    assert note_on_empty_folders(tmp_path, images) == ""
