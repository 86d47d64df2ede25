"""The IDX format of MNIST's files, gzipped or not.

A file consists of 2 zero bytes, the type (8: unsigned byte), the number of dimensions, one
big-endian uint32 per dimension, and the bytes of the array.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np

from cae.trial.datasets.errors import DatasetDamaged
from cae.trial.datasets.files import open_binary, read_bytes, validate_labels
from cae.trial.datasets.splits import Split

IMAGE_SIZE = (28, 28)
CLASSES = 10


def read_idx_pair(image_file: Path, label_file: Path) -> Split:
    """Return the images (N x 1 x 28 x 28) and labels of a pair of files. Raises DatasetDamaged."""
    pixels = read_idx(image_file, 3)
    labels = read_idx(label_file, 1)
    if pixels.shape[1:] != IMAGE_SIZE:
        raise DatasetDamaged(
            f"{image_file}: expected images of 28 x 28 pixels, "
            f"found {pixels.shape[1]} x {pixels.shape[2]}"
        )
    if len(pixels) != len(labels):
        raise DatasetDamaged(
            f"{label_file}: expected {len(pixels)} labels, one for each image of "
            f"{image_file.name}, found {len(labels)}"
        )
    return Split(pixels[:, None], validate_labels(labels, label_file, CLASSES))


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array of an IDX file with this number of dimensions.

    Raises DatasetDamaged.
    """
    data = read_bytes(path)
    magic = _magic(dimensions)
    if data[:4] != magic:
        raise DatasetDamaged(
            f"{path}: expected an IDX file of {dimensions}-dimensional bytes "
            f"(first bytes {magic.hex()}), found {data[:4].hex()!r}"
        )
    header_bytes = 4 + 4 * dimensions
    # A file that ends within its header is reported below, by its size.
    sizes = data[4:header_bytes].ljust(4 * dimensions, b"\0")
    shape = tuple(np.frombuffer(sizes, dtype=">u4").tolist())
    expected_bytes = header_bytes + math.prod(shape)
    if len(data) != expected_bytes:
        described_shape = " x ".join(map(str, shape))
        raise DatasetDamaged(
            f"{path}: expected {expected_bytes:,} bytes for the header's {described_shape}, "
            f"found {len(data):,} bytes"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=header_bytes).reshape(shape)


def count_idx_images(path: Path) -> int:
    """Return the number of images from the header of an IDX file. Raises DatasetDamaged."""
    with open_binary(path) as file:
        try:
            header = file.read(8)
        except (OSError, EOFError, zlib.error) as error:
            raise DatasetDamaged(f"{path}: cannot be read: {error}") from None
    if len(header) < 8 or header[:4] != _magic(3):
        raise DatasetDamaged(
            f"{path}: expected an IDX file of images, found the first bytes {header[:4].hex()!r}"
        )
    return int.from_bytes(header[4:8], "big")


def _magic(dimensions: int) -> bytes:
    return bytes((0, 0, 8, dimensions))
