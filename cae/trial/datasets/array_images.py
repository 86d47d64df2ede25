"""The axes of arrays of images, and the range of their values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cae.trial.datasets.array_files import StoredArray, check_memory
from cae.trial.datasets.array_names import FoundArrays
from cae.trial.datasets.errors import DatasetInvalid
from cae.trial.datasets.image_memory import choose_streaming
from cae.trial.datasets.mapped import AXES_OF_LAYOUT, MappedPixels, map_file
from cae.trial.datasets.pixel_values import (
    DARK,
    STORED_TYPES,
    ValueRange,
    exact_range,
    format_range,
    stored_type,
)
from cae.trial.datasets.splits import digest_images, pixel_blocks

Layout = Literal["NCHW", "NHWC", "NHW"]
LAYOUTS: tuple[Layout, ...] = ("NCHW", "NHWC", "NHW")
TYPE_RANGES: dict[str, ValueRange] = {
    "bool": (0.0, 1.0),
    "uint8": (0.0, 255.0),
    "uint16": (0.0, 65535.0),
}
"""The usual value range of a type."""


@dataclass(frozen=True)
class LoadedArrays:
    """The images of each split, N x C x H x W."""

    pixels: dict[str, np.ndarray | MappedPixels]
    value_range: ValueRange
    notes: list[str]


# Axes


def check_shapes(
    found: FoundArrays, shape: tuple[int, int, int], stated: Layout | None
) -> dict[str, Layout]:
    """Return the layout of the images of each split.

    Raises DatasetInvalid, with the lines to write, if `shape` (C, H, W) does not fit, or fits in
    more than one layout and none is stated.
    """
    layouts: dict[str, Layout] = {}
    errors: list[str] = []
    for split, array in found.images.items():
        fitting = [layout for layout in LAYOUTS if _fits(array.shape, shape, layout)]
        if stated is not None:
            fitting = [layout for layout in fitting if layout == stated]
        if len(fitting) == 1:
            layouts[split] = fitting[0]
        elif fitting:
            errors.append(
                f"{array.path}: {array.describe()} fits dataset.shape = {shape} as "
                f"{' and as '.join(fitting)}: set layout to the right one"
            )
        else:
            errors.append(_shape_error(array, shape, stated))
    if errors:
        raise DatasetInvalid(errors)
    return layouts


def _fits(stored: tuple[int, ...], shape: tuple[int, int, int], layout: Layout) -> bool:
    channels, height, width = shape
    expected = {
        "NCHW": (channels, height, width),
        "NHWC": (height, width, channels),
        "NHW": (height, width),
    }
    if layout == "NHW" and channels != 1:
        return False
    return tuple(stored[1:]) == expected[layout]


def _shape_error(array: StoredArray, shape: tuple[int, int, int], stated: Layout | None) -> str:
    found = f"{array.path}: {array.describe()}"
    if array.axes:
        found += f" (axes {array.axes})"
    layout = ""
    if stated is not None:
        layout = f" with layout = {stated!r}"
    message = f"{found}: does not fit dataset.shape = {shape}{layout}"
    suggestions = suggest_shapes(array)
    if suggestions:
        return f"{message}; write {' or '.join(suggestions)}"
    return f"{message}; should be N x C x H x W, N x H x W x C, or N x H x W for one channel"


def suggest_shapes(array: StoredArray) -> list[str]:
    """Return the arguments that fit an array; several if it may have several layouts."""
    if len(array.shape) == 3:
        return [f"shape=(1, {array.shape[1]}, {array.shape[2]})"]
    if len(array.shape) != 4:
        return []
    _, first, second, third = array.shape
    as_channels_first = f"shape=({first}, {second}, {third})"
    as_channels_last = f"shape=({third}, {first}, {second})"
    if array.axes.endswith("S") or (third <= 4 < first):
        return [as_channels_last]
    if array.axes.endswith("YX") or first <= 4 < third:
        return [as_channels_first]
    return [f"{as_channels_first} for N x C x H x W", f"{as_channels_last} for N x H x W x C"]


# Values


def load_arrays(
    path: Path,
    found: FoundArrays,
    layouts: Mapping[str, Layout],
    stated: ValueRange | None,
) -> LoadedArrays:
    """Return the images of each split, read or, if they are large, streamed from their file.

    Raises DatasetInvalid for values that are not finite, outside of the range, or of an unknown
    one.
    """
    images = found.images
    errors = [error for array in images.values() for error in _type_errors(array)]
    types = sorted({array.dtype.newbyteorder("=").name for array in images.values()})
    if len(types) > 1:
        errors.append(
            f"{path}: the splits are of several types, {' and '.join(types)}: save them as one"
        )
    if errors:
        raise DatasetInvalid(errors)
    nbytes = sum(array.nbytes for array in images.values())
    can_stream = all(array.offset is not None for array in images.values())
    is_streamed, note = choose_streaming(nbytes, can_stream=can_stream, what=str(path))
    sources: dict[str, np.ndarray | MappedPixels] = {}
    for split, array in images.items():
        sources[split] = _open(array, layouts[split], is_streamed=is_streamed)
    facts = {split: _examine(pixels) for split, pixels in sources.items()}
    value_range = _find_range(found, sources, facts, stated)
    notes = [note] if note else []
    stored = stored_type(np.empty(0, types[0]), value_range)
    loaded: dict[str, np.ndarray | MappedPixels] = {}
    for split, pixels in sources.items():
        if isinstance(pixels, MappedPixels):
            pixels.dtype = stored
            pixels.digests = facts[split].digests
            loaded[split] = pixels
        else:
            loaded[split] = np.ascontiguousarray(pixels, dtype=stored)
    if stored == np.float32 and types[0] != "float32":
        notes.append(f"{types[0]} values are kept as float32: rounded to 24 bits")
    return LoadedArrays(loaded, value_range, notes)


def _type_errors(array: StoredArray) -> list[str]:
    if array.dtype.kind not in "buif":
        return [
            f"{array.path}: {array.describe()}: should be whole numbers or floats, such as uint8, "
            "uint16 or float32"
        ]
    if array.shape[0] == 0:
        return [f"{array.path}: {array.describe()}: there are no images"]
    return []


def _open(array: StoredArray, layout: Layout, *, is_streamed: bool) -> np.ndarray | MappedPixels:
    """The images as N x C x H x W, in the type of the file."""
    shape = array.shape
    if layout == "NHW":
        shape = (shape[0], 1, *shape[1:])
        layout = "NCHW"
    if is_streamed:
        assert array.offset is not None
        native = array.dtype.newbyteorder("=")
        return map_file(array.path, array.offset, shape, array.dtype, layout, native)
    check_memory(array)
    return array.read().reshape(shape).transpose(AXES_OF_LAYOUT[layout])


@dataclass(frozen=True)
class _Facts:
    """The values of the images of a split."""

    low: float
    high: float
    not_finite: int
    """Images that contain NaN or infinite values."""
    first_not_finite: int
    digests: np.ndarray | None
    """Of images on the disk, N x DIGEST_BYTES: they are read once for both."""


def _examine(pixels: np.ndarray | MappedPixels) -> _Facts:
    low = math.inf
    high = -math.inf
    not_finite = 0
    first = -1
    count = 0
    digests: list[np.ndarray] = []
    for block in pixel_blocks(pixels):
        block_low = float(block.min())
        block_high = float(block.max())
        if math.isfinite(block_low) and math.isfinite(block_high):
            low = min(low, block_low)
            high = max(high, block_high)
        else:
            is_finite = np.isfinite(block).reshape(len(block), -1).all(axis=1)
            if not_finite == 0:
                first = count + int(np.flatnonzero(~is_finite)[0])
            not_finite += int((~is_finite).sum())
        count += len(block)
        if isinstance(pixels, MappedPixels) and block.dtype.name in STORED_TYPES:
            digests.append(digest_images(block))
    if digests:
        return _Facts(low, high, not_finite, first, np.concatenate(digests))
    return _Facts(low, high, not_finite, first, None)


def _find_range(
    found: FoundArrays,
    sources: Mapping[str, np.ndarray | MappedPixels],
    facts: Mapping[str, _Facts],
    stated: ValueRange | None,
) -> ValueRange:
    """The values of black and white. Raises DatasetInvalid with all errors."""
    errors = _finite_errors(found, facts)
    if errors:
        raise DatasetInvalid(errors)
    array = found.images["train"]
    low = min(fact.low for fact in facts.values())
    high = max(fact.high for fact in facts.values())
    type_name = array.dtype.newbyteorder("=").name
    observed = f"{array.path}: the images are {type_name} from {low:g} to {high:g}"
    if stated is not None:
        if low < stated[0] or high > stated[1]:
            raise DatasetInvalid(_outside(sources, stated, observed, low, high))
        _check_float32(array.path, stated)
        return stated
    known = TYPE_RANGES.get(type_name)
    if known is None:
        raise DatasetInvalid(
            f"{observed}: the values of black and white are not known; write "
            f"{suggest_range(type_name, low, high)}"
        )
    if high <= known[1] * DARK:
        raise DatasetInvalid(
            f"{observed}, which is nearly black in {format_range(known)}; write "
            f"{_suggest_white(high)}, or value_range={format_range(known)} if they are that dark"
        )
    return known


def _suggest_white(high: float) -> str:
    """The argument that states the white of numbers from 0 to `high`, and when it is right."""
    bits = max(1, math.ceil(math.log2(high + 1)))
    if high == 2 ** (bits - 1) > 1:  # counts of 0 to 16 pixels, and not the first half of 5 bits
        return f"value_range=(0, {high:g}) if {high:g} is white"
    return f"value_range=(0, {2**bits - 1}) if they have {bits} bits"


def _finite_errors(found: FoundArrays, facts: Mapping[str, _Facts]) -> list[str]:
    """Return an error for each split with NaN or infinite values."""
    errors: list[str] = []
    for split, fact in facts.items():
        if fact.not_finite:
            array = found.images[split]
            errors.append(
                f"{array.path}: {array.name} contains NaN or infinite values in {fact.not_finite} "
                f"of {array.shape[0]} images, first in image {fact.first_not_finite}: remove or "
                "replace them"
            )
    return errors


def _check_float32(path: Path, limits: ValueRange) -> None:
    """Raise DatasetInvalid if pixels of a value range cannot be computed with in float32.

    Black and white have to be at least MIN_LEVELS values of float32 apart, and finite.
    """
    limit = float(np.finfo(np.float32).max)
    largest = max(abs(limits[0]), abs(limits[1]))
    width = limits[1] - limits[0]
    if largest <= limit and width <= limit:
        step = float(np.spacing(np.float32(largest)))
        smallest = float(np.finfo(np.float32).tiny)
        if width >= max(step, smallest) * MIN_LEVELS:
            return
    raise DatasetInvalid(
        f"{path}: dataset.value_range = {format_range(limits)}: the network computes in float32, "
        f"with 7 digits and numbers up to {limit:.2g}: should have at least {MIN_LEVELS} such "
        "numbers between black and white; subtract an offset from the array, or scale it, before "
        "it is saved"
    )


def suggest_range(type_name: str, low: float, high: float) -> str:
    """Return the argument that states a value range which contains the values of the images."""
    exact = f"value_range={exact_range(low, high)}"
    if type_name.startswith("float"):
        for usual in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (0.0, 65535.0)):
            is_inside = usual[0] <= low and high <= usual[1]
            if is_inside and high > usual[1] * DARK:
                return f"value_range={format_range(usual)}, or {exact} for the values that occur"
    return exact


def _outside(
    sources: Mapping[str, np.ndarray | MappedPixels],
    stated: ValueRange,
    observed: str,
    low: float,
    high: float,
) -> str:
    """The error about values that a stated range would clip, with their number."""
    below = 0
    above = 0
    for pixels in sources.values():
        for block in pixel_blocks(pixels):
            below += int((block < stated[0]).sum())
            above += int((block > stated[1]).sum())
    return (
        f"{observed}: {below:,} values are below and {above:,} above dataset.value_range = "
        f"{format_range(stated)}, and would be clipped; write value_range={exact_range(low, high)}"
    )


def _view(array: StoredArray) -> np.ndarray:
    """An array as it is in its file, in memory only if it is compressed."""
    if array.offset is not None:
        return np.memmap(array.path, array.dtype, "r", array.offset, array.shape)
    check_memory(array)
    return array.read()


MIN_LEVELS = 256
"""Fewest values of float32 between black and white."""
USE_AS = "use it as: "
"""Start of a line with what to write into a sweep file."""


def suggest_arguments(path: Path, found: FoundArrays) -> list[str]:
    """Return the lines to write into a sweep file for a file of arrays."""
    array = found.images["train"]
    shapes = suggest_shapes(array)
    if not shapes or array.dtype.kind not in "buif":
        return ["  no array of images: N x C x H x W, N x H x W x C or N x H x W of numbers"]
    value_range = ""
    for images in found.images.values():
        if 0 in images.shape:
            return [f"  no images: {images.describe()}"]
    facts = {split: _examine(_view(images)) for split, images in found.images.items()}
    errors = _finite_errors(found, facts)
    if errors:
        return [f"  {error}" for error in errors]
    low = min(fact.low for fact in facts.values())
    high = max(fact.high for fact in facts.values())
    type_name = array.dtype.newbyteorder("=").name
    known = TYPE_RANGES.get(type_name)
    if known is None or high <= known[1] * DARK:
        value_range = f", {suggest_range(type_name, low, high).partition(', or')[0]}"
    lines = [f"  values from {low:g} to {high:g}"]
    if low == high:
        return [*lines, "  all pixels have the same value: there is nothing to train on"]
    for shape in shapes:
        arguments, _, meaning = shape.partition(" for ")
        comment = ""
        if meaning:
            comment = f"  # if it is {meaning}"
        lines.append(f'{USE_AS}Arrays(path="{path}", {arguments}{value_range}){comment}')
    return lines
