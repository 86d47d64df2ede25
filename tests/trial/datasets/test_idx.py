"""The IDX format: complete files are read exactly, damaged ones are errors."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from cae.trial.datasets.idx import count_idx_images, read_idx, read_idx_pair
from tests.trial.datasets.small_files import assert_damaged, idx_content

COUNT = 7


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (COUNT, 28, 28), np.uint8)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_pixels_and_labels_are_read_as_written(
    suffix: str, tmp_path: Path, pixels: np.ndarray
) -> None:
    image_file = tmp_path / f"images{suffix}"
    label_file = tmp_path / f"labels{suffix}"
    image_content = idx_content(pixels)
    label_content = idx_content(np.arange(COUNT, dtype=np.uint8))
    if suffix == ".gz":
        image_content = gzip.compress(image_content)
        label_content = gzip.compress(label_content)
    image_file.write_bytes(image_content)
    label_file.write_bytes(label_content)
    split = read_idx_pair(image_file, label_file)
    assert split.pixels.dtype == np.uint8
    assert split.pixels.shape == (COUNT, 1, 28, 28)
    assert split.labels.dtype == np.int64
    np.testing.assert_array_equal(split.pixels[:, 0], pixels)
    np.testing.assert_array_equal(split.labels, np.arange(COUNT))
    assert count_idx_images(image_file) == COUNT


def test_another_format_or_size_is_damage(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "images"
    complete = idx_content(pixels)
    for content, part_of_message in [
        (complete[:-1], f"found {len(complete) - 1:,} bytes"),
        (complete + b"\0", f"expected {len(complete):,} bytes"),
        (b"", "found ''"),
        (complete[:10], "bytes"),
        (b"<!DOCTYPE html>", "3c21444f"),
        (idx_content(pixels.reshape(-1)), "00000801"),
    ]:
        path.write_bytes(content)
        assert_damaged(lambda: read_idx(path, 3), str(path), part_of_message)


def test_a_truncated_or_changed_gzip_file_is_damage(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "images.gz"
    complete = gzip.compress(idx_content(pixels))
    middle = len(complete) // 2
    flipped = bytearray(complete)
    flipped[middle] ^= 0xFF
    wrong_checksum = complete[:-8] + bytes(8)
    for content in (complete[:middle], bytes(flipped), b"not gzip at all", wrong_checksum):
        path.write_bytes(content)
        assert_damaged(lambda: read_idx(path, 3), str(path), "complete gzip file")
    path.write_bytes(complete[:5])
    assert_damaged(lambda: count_idx_images(path), str(path))


def test_images_and_labels_have_to_match(tmp_path: Path, pixels: np.ndarray) -> None:
    image_file = tmp_path / "images"
    label_file = tmp_path / "labels"

    def read() -> object:
        return read_idx_pair(image_file, label_file)

    image_file.write_bytes(idx_content(pixels))
    label_file.write_bytes(idx_content(np.zeros(COUNT - 1, np.uint8)))
    assert_damaged(read, f"expected {COUNT} labels", f"found {COUNT - 1}")
    label_file.write_bytes(idx_content(np.full(COUNT, 10, np.uint8)))
    assert_damaged(read, "from 0 to 9", "found 10 to 10")
    image_file.write_bytes(idx_content(pixels[:, :27]))
    assert_damaged(read, "28 x 28", "27 x 28")
