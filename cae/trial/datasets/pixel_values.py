"""The types of pixels, the values of black and white, and how both become floats in [0, 1].

Images keep the type of their file in memory and on the device. A batch is converted when it is
made: (pixel - black) / (white - black) in float32, where black and white are the value range.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

ValueRange = tuple[float, float]
"""The values of black and white: they become 0 and 1."""
BYTE_RANGE: ValueRange = (0.0, 255.0)
STORED_TYPES = ("uint8", "uint16", "int16", "float16", "float32")
"""Types that images have in memory. All their values are exact in float32."""
INTEGER_TYPES = (np.uint8, np.uint16, np.int16)
DARK = 16.5 / 255
"""If no pixel is brighter than this share of white, images are nearly black: 4 bits in bytes, 12
bits in 16, or the levels 0 to 16 of scikit-learn's digits. Between two levels: floats are
rounded."""
BLOCK_BYTES = 2**25
"""Size of the blocks in which large arrays are examined and converted."""


def check_value_range(declared: object) -> ValueRange:
    """Return the declared values of black and white. Raises ValueError with the rule."""
    is_pair = False
    limits = (0.0, 0.0)
    try:
        values = [float(value) for value in declared]  # type: ignore[attr-defined]
        limits = (values[0], values[1])
        is_pair = len(values) == 2
    except (TypeError, ValueError, IndexError):
        pass
    is_finite = math.isfinite(limits[0]) and math.isfinite(limits[1])
    if not (is_pair and is_finite and limits[0] < limits[1]):
        raise ValueError(
            f"value_range = {declared!r:.60}: should be two numbers, the values of black and "
            "white, such as (0, 1)"
        )
    return limits


def format_range(limits: ValueRange) -> str:
    """Return a value range as it is written in a sweep file: `(0, 4095)`."""
    return f"({limits[0]:.9g}, {limits[1]:.9g})"


def exact_range(low: float, high: float) -> str:
    """Return the smallest and the largest value as a value range that contains both."""
    return f"({low!r}, {high!r})"


def stored_type(pixels: np.ndarray, limits: ValueRange) -> np.dtype[Any]:
    """Return the type in which pixels with all values in `limits` are stored.

    Integers: the smallest type of 8 or 16 bits with all values in the range; float32 if there is
    none. float16 stays, other floats are float32.
    """
    dtype = pixels.dtype
    if dtype.kind == "f":
        if dtype.itemsize == 2:
            return np.dtype(np.float16)
        return np.dtype(np.float32)
    if dtype.itemsize <= 2 and dtype.newbyteorder("=").name in STORED_TYPES:
        return dtype.newbyteorder("=")
    for candidate in INTEGER_TYPES:
        info = np.iinfo(candidate)
        if info.min <= limits[0] and limits[1] <= info.max:
            return np.dtype(candidate)
    return np.dtype(np.float32)


def to_unit(pixels: np.ndarray, value_range: ValueRange) -> np.ndarray:
    """Return pixels as float32, black as 0 and white as 1: the same bits as `batches.to_float`."""
    black, white = value_range
    values = pixels.astype(np.float32)
    if black:
        values -= np.float32(black)
    if white - black != 1:
        values /= np.float32(white - black)
    return values


def from_unit(
    values: np.ndarray, dtype: np.dtype[Any] | str, value_range: ValueRange
) -> np.ndarray:
    """Return floats in [0, 1] in a type and range of pixels: the inverse of `to_unit`.

    Values outside of [0, 1] are clipped; integers are rounded.
    """
    black, white = value_range
    dtype = np.dtype(dtype)
    clipped = np.nan_to_num(values.astype(np.float64)).clip(0, 1)
    scaled = clipped * (white - black) + black
    if dtype.kind in "iu":
        scaled = np.rint(scaled)
    return scaled.astype(dtype)


def block_length(image_shape: tuple[int, ...], itemsize: int) -> int:
    """Return how many images are examined together."""
    return max(1, BLOCK_BYTES // max(1, math.prod(image_shape) * itemsize))
