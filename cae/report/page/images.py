"""Images on the page: reading arrays of a trial, reducing them, and embedding them as PNG files."""

from __future__ import annotations

import base64
import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cae.files import check_regular

Pixels = npt.NDArray[np.uint8]

MAX_ARRAY_BYTES = 2**29
"""Arrays of a file that is read: a small archive can unpack to any size."""
MAX_SIDE = 64
"""Pixels. Larger images are reduced by a whole factor."""


def read_arrays(path: Path, *required: str) -> dict[str, npt.NDArray[np.generic]]:
    """Read all arrays of a file without unpickling anything.

    Returns no arrays if the file is missing, damaged or too large, or lacks a required one.
    """
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    try:
        check_regular(path)
        if _unpacked_bytes(path) > MAX_ARRAY_BYTES:
            return {}
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in archive.files:
                arrays[name] = np.asarray(archive[name])
    except (OSError, KeyError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error):
        return {}
    if not arrays.keys() >= set(required):
        return {}
    return arrays


def _unpacked_bytes(path: Path) -> int:
    """The size of all files in an archive. Raises BadZipFile or OSError."""
    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist())


def is_image_batch(array: npt.NDArray[np.generic]) -> bool:
    """Whether the array holds 8-bit images, N x C x H x W, with 1 or 3 channels."""
    return array.ndim == 4 and array.dtype == np.uint8 and array.shape[1] in (1, 3)


def reduction_factor(side: int) -> int:
    """Return the whole factor that reduces a side of an image to at most `MAX_SIDE` pixels."""
    return math.ceil(side / MAX_SIDE)


def reduce(images: Pixels, factor: int) -> Pixels:
    """Average over blocks of factor x factor pixels; edges that do not fill one are repeated."""
    if factor == 1:
        return images
    missing_rows = -images.shape[2] % factor
    missing_columns = -images.shape[3] % factor
    padding = ((0, 0), (0, 0), (0, missing_rows), (0, missing_columns))
    padded = np.pad(images, padding, mode="edge")
    count, channels, height, width = padded.shape
    blocks = padded.reshape(count, channels, height // factor, factor, width // factor, factor)
    return np.asarray(blocks.mean(axis=(3, 5)).round(), dtype=np.uint8)


def to_data_uri(image: Image.Image) -> str:
    """Return an image as a lossless PNG file inside a URI."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
