"""Small files of images in the formats of the published data sets, and errors of readers."""

from __future__ import annotations

import gzip
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cae.trial.datasets import DatasetDamaged, Split

TRAIN_IMAGES = 60
TEST_IMAGES = 20
CIFAR_IMAGES = 12
"""Images per file of a small CIFAR-10."""


def numbered_images(count: int, start: int = 0, shape: tuple[int, int, int] = (1, 28, 28)) -> Split:
    """Distinguishable images: the first two bytes of each are its number."""
    numbers = np.arange(start, start + count)
    pixels = np.zeros((count, *shape), np.uint8)
    first_bytes = pixels.reshape(count, -1)
    first_bytes[:, 0] = numbers // 256
    first_bytes[:, 1] = numbers % 256
    return Split(pixels, (numbers * 7 % 10).astype(np.int64))


def image_numbers(split: Split) -> list[int]:
    first_bytes = split.pixels.reshape(len(split.pixels), -1).astype(int)
    numbers: list[int] = (first_bytes[:, 0] * 256 + first_bytes[:, 1]).tolist()
    return numbers


def idx_content(array: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write_idx_files(
    folder: Path, train: Split, test: Split, suffix: str = "", separator: str = "-"
) -> None:
    """Write the four files of MNIST, gzipped if the suffix is `.gz`."""
    arrays = {
        f"train-images{separator}idx3-ubyte": train.pixels[:, 0],
        f"train-labels{separator}idx1-ubyte": train.labels.astype(np.uint8),
        f"t10k-images{separator}idx3-ubyte": test.pixels[:, 0],
        f"t10k-labels{separator}idx1-ubyte": test.labels.astype(np.uint8),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        content = idx_content(array)
        if suffix == ".gz":
            content = gzip.compress(content)
        (folder / f"{name}{suffix}").write_bytes(content)


def binary_cifar_content(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    """The binary version of images (N x 3072) and their labels."""
    return np.concatenate([labels.astype(np.uint8)[:, None], pixels], axis=1).tobytes()


def write_cifar_files(folder: Path, version: str, count: int = CIFAR_IMAGES) -> None:
    """Write the six files of CIFAR-10, numbered images of all files, in version `bin` or `py`."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"data_batch_{number}" for number in range(1, 6)]
    for index, name in enumerate([*names, "test_batch"]):
        split = numbered_images(count, index * count, (3, 32, 32))
        pixels = split.pixels.reshape(count, 3072)
        if version == "bin":
            content = binary_cifar_content(pixels, split.labels)
            (folder / f"{name}.bin").write_bytes(content)
        else:
            batch = {b"data": pixels, b"labels": split.labels.tolist()}
            (folder / name).write_bytes(pickle.dumps(batch, protocol=2))


def write_image(path: Path, image: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def write_random_images(folder: Path, names: list[str]) -> None:
    """Write color images of 25 x 20 random pixels."""
    random_pixels = np.random.default_rng(0).integers(0, 256, (len(names), 20, 25, 3), np.uint8)
    for name, pixels in zip(names, random_pixels, strict=True):
        write_image(folder / name, Image.fromarray(pixels))


def assert_damaged(read: Callable[[], object], *parts: str) -> str:
    """Assert that `read` raises DatasetDamaged with these parts in its message; return it."""
    with pytest.raises(DatasetDamaged) as caught:
        read()
    message = str(caught.value)
    for part in parts:
        assert part in message
    return message
