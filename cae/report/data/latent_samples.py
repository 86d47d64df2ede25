"""Latent codes of test images, as a trial saves them at its end (see cae/trial/latent_samples.py).

A run may come from anybody: everything in the file is checked.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cae.report.page.images import Pixels, is_image_batch, read_arrays

LATENT = "latent.npz"
MAX_IMAGES = 2_000
MAX_VALUES = 1_024
MAX_DECODED = 500
MAX_SHEET_BYTES = 2**20
MAX_SHEET_PIXELS = 2**23
MAX_TEXT = 300
"""Larger files are not those of a trial."""

Array = npt.NDArray[Any]


class DamagedSamples(Exception):
    """A file is missing, damaged, or does not contain what a trial saves."""


@dataclass(frozen=True)
class Sheet:
    """All images in one JPEG file, row by row."""

    content: bytes
    tile_height: int
    tile_width: int
    columns: int
    width: int
    height: int

    @property
    def tiles(self) -> tuple[int, int, int]:
        """Height, width and number of columns of the tiles."""
        return self.tile_height, self.tile_width, self.columns


@dataclass(frozen=True)
class Unit:
    """A value of the latent code, and outputs of the decoder at several of its levels."""

    index: int
    """In the flattened code."""
    score: float
    """Its variance or KL divergence (`LatentSamples.score`)."""
    levels: list[float]
    images: Pixels
    """T x C x H x W."""


@dataclass(frozen=True)
class Interpolation:
    """Outputs of the decoder between the latent codes of two images."""

    first: int
    last: int
    """Positions of both images."""
    ends: Pixels
    """Both inputs, 2 x C x H x W."""
    images: Pixels
    """S x C' x H' x W'."""


@dataclass(frozen=True, eq=False)
class LatentSamples:
    """N test images with their latent codes, ordered by class."""

    codes: npt.NDArray[np.float32]
    """N x V: the latent codes, or their first principal components."""
    kept_variance: float
    """Share of the variance of the codes in `codes`; 1 if they are the codes themselves."""
    latent_shape: tuple[int, ...]
    indices: npt.NDArray[np.int64]
    """In the test split."""
    labels: npt.NDArray[np.int64]
    classes: list[str]
    """Names of the classes by number; empty if they have none."""
    sheet: Sheet
    reason: str
    """Why nothing is decoded; empty if it is."""
    interpolations: list[Interpolation]
    score: str
    """By what the units were chosen: variance or KL divergence."""
    units: list[Unit]

    @property
    def latent_values(self) -> int:
        """Number of values of the latent code."""
        return int(np.prod(self.latent_shape))

    @property
    def is_code(self) -> bool:
        """Whether `codes` are the latent codes, and not their principal components."""
        return bool(self.codes.shape[1] == self.latent_values)

    @property
    def has_classes(self) -> bool:
        """Whether the images have different classes."""
        return len(np.unique(self.labels)) > 1

    def class_name(self, label: int) -> str:
        """The name of a class, or its number."""
        if 0 <= label < len(self.classes):
            return self.classes[label]
        return str(label)

    def has_images_of(self, other: LatentSamples) -> bool:
        """Whether both have codes of the same images."""
        if not np.array_equal(self.indices, other.indices):
            return False
        if not np.array_equal(self.labels, other.labels):
            return False
        return self.sheet.tiles == other.sheet.tiles


def read_latent_samples(path: Path) -> LatentSamples:
    """Read the file of a trial. Raises DamagedSamples."""
    arrays = read_arrays(path, "codes", "sheet")
    if not arrays:
        raise DamagedSamples(f"{path.name} is missing or damaged")
    try:
        return _parse(arrays)
    except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise DamagedSamples(f"{path.name} is damaged: {error}") from error


def _parse(arrays: dict[str, Array]) -> LatentSamples:
    """Raises ValueError, or another error of a conversion, if an array is not as expected."""
    codes = arrays["codes"]
    _require(codes.ndim == 2 and codes.dtype == np.float32, "codes")
    count, values = codes.shape
    _require(0 < count <= MAX_IMAGES and 0 < values <= MAX_VALUES, "codes")
    _require(bool(np.isfinite(codes).all()), "codes")
    latent_shape = _integers(arrays["latent_shape"])
    _require(1 <= latent_shape.size <= 4 and bool((latent_shape > 0).all()), "latent_shape")
    indices = _integers(arrays["indices"])
    labels = _integers(arrays["labels"])
    _require(indices.shape == labels.shape == (count,), "labels")
    units = _units(arrays)
    return LatentSamples(
        codes=codes,
        kept_variance=float(arrays["kept_variance"]),
        latent_shape=tuple(int(size) for size in latent_shape),
        indices=indices,
        labels=labels,
        classes=[_text(name) for name in arrays["classes"]],
        sheet=_sheet(arrays, count),
        reason=_text(arrays["reason"]),
        interpolations=_interpolations(arrays, count),
        score=_text(arrays["score"]),
        units=units,
    )


def _require(condition: bool, name: str) -> None:
    if not condition:
        raise ValueError(name)


def _integers(array: Array) -> npt.NDArray[np.int64]:
    _require(array.ndim == 1 and np.issubdtype(array.dtype, np.integer), "integers")
    return array.astype(np.int64)


def _text(value: object) -> str:
    return str(value)[:MAX_TEXT]


def _sheet(arrays: dict[str, Array], count: int) -> Sheet:
    height, width, columns = (int(number) for number in _integers(arrays["tile"]))
    content = arrays["sheet"]
    _require(content.dtype == np.uint8 and content.ndim == 1, "sheet")
    _require(content.size <= MAX_SHEET_BYTES and min(height, width, columns) > 0, "sheet")
    encoded = content.tobytes()
    size = (columns * width, -(-count // columns) * height)
    _require(size[0] * size[1] <= MAX_SHEET_PIXELS, "sheet")
    try:
        with Image.open(io.BytesIO(encoded), formats=["JPEG"]) as image:
            _require(image.size == size, "sheet")
            image.load()
    except (OSError, SyntaxError) as error:
        raise ValueError("sheet") from error
    return Sheet(encoded, height, width, columns, *size)


def _interpolations(arrays: dict[str, Array], count: int) -> list[Interpolation]:
    pairs = arrays["pairs"]
    _require(pairs.ndim == 2 and pairs.shape[1] == 2, "pairs")
    ends = arrays["ends"]
    images = arrays["interpolations"]
    _require(is_image_batch(ends) and is_image_batch(images), "interpolations")
    if not len(images):
        return []
    _require(len(ends) == 2 * len(pairs) and len(images) <= MAX_DECODED, "interpolations")
    steps = len(images) // len(pairs)
    _require(len(images) == steps * len(pairs), "interpolations")
    interpolations: list[Interpolation] = []
    for number, (first, last) in enumerate(pairs.tolist()):
        _require(0 <= first < count and 0 <= last < count, "pairs")
        interpolations.append(
            Interpolation(
                int(first),
                int(last),
                ends[2 * number : 2 * number + 2],
                images[number * steps : (number + 1) * steps],
            )
        )
    return interpolations


def _units(arrays: dict[str, Array]) -> list[Unit]:
    numbers = _integers(arrays["units"])
    levels = arrays["levels"]
    images = arrays["traversals"]
    scores = arrays["scores"]
    _require(is_image_batch(images) and len(images) <= MAX_DECODED, "traversals")
    if not len(images):
        return []
    _require(levels.ndim == 2 and len(levels) == len(numbers) == len(scores), "units")
    count = levels.shape[1]
    _require(len(images) == levels.size, "traversals")
    units: list[Unit] = []
    for row, index in enumerate(numbers.tolist()):
        of_unit = images[row * count : (row + 1) * count]
        units.append(Unit(index, float(scores[row]), levels[row].tolist(), of_unit))
    return units
