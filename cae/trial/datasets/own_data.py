"""Checks of what a data set of the user's own returns, before anything is trained on it.

Pixels keep their type, with the values of black and white, and labels become int64 from 0, where
there is only one way to understand them. Everything else is an error in words, with the fix; all
errors of a data set are reported together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from cae.trial.datasets.errors import DatasetInvalid
from cae.trial.datasets.pixel_values import (
    BYTE_RANGE,
    DARK,
    ValueRange,
    check_value_range,
    format_range,
    stored_type,
    to_unit,
)
from cae.trial.datasets.splits import Split

CONVERTED_IMAGES = 1024
"""Images that are converted together: their values take 8 bytes each meanwhile."""
ROUNDING = 1e-5
"""How far, relatively, floats may be outside their range: libraries round."""
MAX_CHANNELS_LAST = 4
"""An image that is not wider than this and has more channels is H, W, C instead of C, H, W."""
NEARLY_BLACK = 1.5 / 255
"""Pixels in [0, 1] that are all below this are black or nearly black as uint8."""

Declare = Callable[[float, float], str]
"""Says in an error message how a user states the values of black and white."""
LARGEST_EXACT = 2**24
"""Up to here every whole number is exact in float32."""


class CheckedPixels(NamedTuple):
    """Pixels of one of STORED_TYPES."""

    pixels: np.ndarray
    value_range: ValueRange
    """The values of black and white."""


class CheckedSplit(NamedTuple):
    """A split with pixels of one of STORED_TYPES, and int64 labels."""

    split: Split
    value_range: ValueRange


def declare_in_class(black: float, white: float) -> str:
    """Return how the author of a data set states the values of black and white."""
    return (
        f"declare the values of black and white in the class: value_range = ({black:g}, {white:g})"
    )


@dataclass
class Findings:
    """What is wrong with a data set, and what was converted."""

    dataset: str
    """Name of the data set; empty for images that belong to none."""
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def error(self, message: str) -> None:
        """Add an error; `message` names what is wrong and the fix."""
        if self.dataset:
            message = f"dataset = {self.dataset!r}: {message}"
        self.errors.append(message)

    def note(self, message: str) -> None:
        """Add a note, once."""
        if message not in self.notes:
            self.notes.append(message)

    def raise_errors(self) -> None:
        """Raise DatasetInvalid with all errors, if there are some."""
        if self.errors:
            raise DatasetInvalid(self.errors)


def check_image_shape(shape: object, findings: Findings) -> None:
    """Add an error unless `shape`, the data set's `image_shape`, is C, H, W."""
    rule = "image_shape should be three whole numbers above 0: channels, height, width"
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        findings.error(f"image_shape = {shape!r}: {rule}, such as (1, 28, 28)")
        return
    for size in shape:
        is_number = isinstance(size, int | np.integer) and not isinstance(size, bool)
        if not is_number or size < 1:
            findings.error(f"image_shape = {shape!r}: {rule}")
            return
    channels, _, width = shape
    if width <= MAX_CHANNELS_LAST < channels:
        findings.error(
            f"image_shape = {shape!r} would be {channels} channels and a width of {width}: the "
            f"channels come first: {(width, channels, shape[1])}, with pixels.transpose(0, 3, 1, 2)"
        )


def check_split(
    split: object,
    where: str,
    image_shape: Sequence[int],
    value_range: object,
    class_names: Sequence[str],
    findings: Findings,
) -> CheckedSplit | None:
    """Return images in one of STORED_TYPES and labels as int64; None, with errors in `findings`,
    if they are not usable.

    Args:
        split: A Split, or a pair of pixels and labels.
        where: Which images, for messages, such as "train".
        image_shape: C, H, W.
        value_range: The values of black and white, as the data set declares them; None if it
            does not.
        class_names: Names of the classes; empty if they have none.
        findings: Errors and notes are added to it.
    """
    if not isinstance(split, tuple) or len(split) != 2:
        findings.error(
            f"{where} is of the type {type(split).__name__}: should be Split(pixels, labels)"
        )
        return None
    pixels = _to_array(split[0], f"{where}.pixels", findings)
    if pixels is None:
        return None
    converted = None
    if _check_pixel_shape(pixels, where, image_shape, findings):
        converted = convert_pixels(pixels, where, value_range, findings)
    labels = None
    if pixels.ndim:
        labels = check_labels(split[1], len(pixels), where, class_names, findings)
    if converted is None or labels is None:
        return None
    if where == "train" and value_range is None:
        _note_if_dark(converted, findings)
    return CheckedSplit(Split(converted.pixels, labels), converted.value_range)


def _note_if_dark(checked: CheckedPixels, findings: Findings) -> None:
    """Add a note if images whose range was not declared are nearly black."""
    if not checked.pixels.size:
        return
    black, white = checked.value_range
    high = float(checked.pixels.max())
    if high - black <= DARK * (white - black):
        findings.note(
            f"no pixel of the images is brighter than {high:g} of {white:g}: they are nearly "
            f"black; if {high:g} is white, {declare_in_class(black, high)}"
        )


def with_one_type(
    splits: dict[str, CheckedSplit | None], findings: Findings
) -> tuple[dict[str, Split | None], ValueRange]:
    """Return splits of one type and value range: floats in [0, 1] if theirs differ."""
    checked = [split for split in splits.values() if split is not None]
    ranges = {(item.split.pixels.dtype, item.value_range) for item in checked}
    result: dict[str, Split | None] = dict.fromkeys(splits)
    value_range = BYTE_RANGE
    if len(ranges) > 1:
        findings.note("the splits have pixels of several types: all are float32 in [0, 1]")
        value_range = (0.0, 1.0)
    for name, item in splits.items():
        if item is None:
            continue
        result[name] = item.split
        if len(ranges) > 1:
            result[name] = Split(to_unit(item.split.pixels, item.value_range), item.split.labels)
        else:
            value_range = item.value_range
    return result, value_range


def check_class_names(names: object, findings: Findings) -> tuple[str, ...]:
    """Return the names of the classes; empty, with an error in `findings`, if they are invalid."""
    is_sequence = isinstance(names, tuple | list)
    if not is_sequence and not isinstance(names, np.ndarray):
        findings.error(f"class_names = {names!r:.80}: should be a tuple of texts, a name per class")
        return ()
    texts: list[str] = []
    for name in names:  # type: ignore[attr-defined]
        if not isinstance(name, str):
            findings.error(f"class_names contains {name!r:.40}: should be texts, a name per class")
            return ()
        texts.append(str(name))
    repeated = sorted({name for name in texts if texts.count(name) > 1})
    if repeated:
        findings.error(f"class_names contains {repeated[0]!r} twice: should be a name per class")
        return ()
    return tuple(texts)


def _to_array(value: Any, what: str, findings: Findings) -> np.ndarray | None:
    """Arrays of numpy, tensors of PyTorch and lists, as an array."""
    try:
        if hasattr(value, "detach"):  # a tensor: torch is not imported for this
            value = value.detach().cpu().numpy()
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        findings.error(
            f"{what} is not an array of numbers ({' '.join(str(error).split())[:120]}): "
            "all images need the same shape and type; return an array of numpy"
        )
        return None


# Pixels


def _check_pixel_shape(
    pixels: np.ndarray, where: str, image_shape: Sequence[int], findings: Findings
) -> bool:
    expected = tuple(image_shape)
    shape = pixels.shape
    if len(shape) == 4 and shape[1:] == expected:
        return True
    fix = "correct image_shape or the array"
    if len(shape) == 3 and expected == (1, *shape[1:]):
        fix = "add the axis of the channel: pixels[:, None]"
    elif len(shape) == 4 and (shape[3], shape[1], shape[2]) == expected:
        fix = "the channels come first: pixels.transpose(0, 3, 1, 2)"
    elif len(shape) == 4 and (shape[1], shape[3], shape[2]) == expected:
        swapped = (shape[1], shape[2], shape[3])
        fix = (
            f"height and width are swapped: image_shape = {swapped}, or "
            "pixels.transpose(0, 1, 3, 2)"
        )
    elif len(shape) == 4:
        fix += f": image_shape = {tuple(shape[1:])} would fit"
    findings.error(
        f"{where}.pixels has the shape {shape}: should be N x C x H x W with image_shape = "
        f"{expected}; {fix}"
    )
    return False


def convert_pixels(
    pixels: np.ndarray,
    where: str,
    value_range: object,
    findings: Findings,
    declare: Declare = declare_in_class,
) -> CheckedPixels | None:
    """The pixels in one of STORED_TYPES; None, with an error in `findings`, if their range is not
    known.

    Args:
        pixels: Of any type.
        where: Their name in messages.
        value_range: The values of black and white; None: those that type and values make obvious.
        findings: Errors and notes are added to it.
        declare: How a user states the range, in messages.
    """
    if pixels.dtype.kind not in "buif":
        findings.error(
            f"{where}.pixels is of the type {pixels.dtype}: should be uint8 in 0..255, or floats "
            "in [0, 1]"
        )
        return None
    if pixels.size == 0:
        return CheckedPixels(pixels.astype(np.uint8), BYTE_RANGE)
    low = float(pixels.min())
    high = float(pixels.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        is_finite = np.isfinite(pixels).reshape(len(pixels), -1).all(axis=1)
        first = int(np.flatnonzero(~is_finite)[0])
        findings.error(
            f"{where}.pixels contains NaN or infinite values in {(~is_finite).sum()} of "
            f"{len(pixels)} images, first in image {first}: remove or replace them"
        )
        return None
    found = f"{where}.pixels is {pixels.dtype} from {low:g} to {high:g}"
    limits = _value_range(value_range, findings)
    if value_range is None:
        limits = _obvious_range(pixels.dtype, low, high, found, findings, declare)
    if limits is None:
        return None
    black, white = limits
    slack = 0.0
    if pixels.dtype.kind == "f":
        slack = ROUNDING * (white - black)
    if low < black - slack or high > white + slack:
        findings.error(
            f"{found}: outside value_range = {limits}; correct the pixels, or "
            f"{declare(min(low, 0), _nearest_white(high))}"
        )
        return None
    if _fits_bytes(pixels.dtype, limits):
        return CheckedPixels(_to_bytes(pixels, limits), BYTE_RANGE)
    return CheckedPixels(_to_stored(pixels, limits, findings), limits)


def _value_range(declared: object, findings: Findings) -> ValueRange | None:
    """The declared range; None, with an error in `findings`, if it is invalid, or not declared."""
    if declared is None:
        return None
    try:
        return check_value_range(declared)
    except ValueError as error:
        findings.error(str(error))
        return None


def _obvious_range(
    dtype: np.dtype[Any],
    low: float,
    high: float,
    found: str,
    findings: Findings,
    declare: Declare,
) -> ValueRange | None:
    """The values of black and white, if type and values have only one meaning."""
    if dtype == np.bool_:
        return (0.0, 1.0)
    if dtype.kind == "f":
        if low >= -ROUNDING and high <= 1 + ROUNDING:
            if 0 < high < NEARLY_BLACK:
                findings.error(
                    f"{found}, which is nearly black in [0, 1]: divided by 255 twice? "
                    f"Use uint8 in 0..255 or floats in [0, 1], or {declare(0, high)}"
                )
                return None
            return (0.0, 1.0)
        black, white = 0.0, 255.0
        if low < 0:
            black, white = -1.0, 1.0
        findings.error(
            f"{found}: should be in [0, 1]; otherwise {declare(black, white)}, or use uint8 in "
            "0..255"
        )
        return None
    if low < 0:
        findings.error(f"{found}: should be uint8 in 0..255; otherwise {declare(low, high)}")
        return None
    if high == 1:
        findings.error(
            f"{found}, which is nearly black in 0..255: {declare(0, 1)} if 1 is white, or "
            "white = 255 if not"
        )
        return None
    is_wide = dtype.itemsize == 2 or high > 255
    if is_wide:
        findings.error(
            f"{found}: should be uint8 in 0..255; otherwise {declare(0, _nearest_white(high))}"
        )
        return None
    return (0.0, 255.0)


def _nearest_white(high: float) -> float:
    """White of the range of 8, 10, 12, 14 or 16 bits that contains the values, or else the largest
    value."""
    for bits in (8, 10, 12, 14, 16):
        if high < 2**bits:
            return 2**bits - 1
    return high


def _fits_bytes(dtype: np.dtype[Any], limits: ValueRange) -> bool:
    """Whether every whole number of a range is one of 0..255, exactly: masks of 0 and 1 are."""
    black, white = limits
    if dtype.kind == "f" or black != int(black) or white != int(white):
        return False
    return limits == BYTE_RANGE or 255 % int(white - black) == 0


def _to_bytes(pixels: np.ndarray, limits: ValueRange) -> np.ndarray:
    if pixels.dtype == np.uint8 and limits == BYTE_RANGE:
        return pixels
    black, white = limits
    factor = 255 // int(white - black)
    scaled = np.empty(pixels.shape, np.uint8)
    for start in range(0, len(pixels), CONVERTED_IMAGES):
        some = slice(start, start + CONVERTED_IMAGES)
        scaled[some] = (pixels[some].astype(np.int64) - int(black)) * factor
    return scaled


def _to_stored(pixels: np.ndarray, limits: ValueRange, findings: Findings) -> np.ndarray:
    """The pixels in one of STORED_TYPES, without a copy if they have it."""
    black, white = limits
    dtype = stored_type(pixels, limits)
    is_rounded = pixels.dtype.kind == "f" and pixels.dtype.itemsize > dtype.itemsize
    if pixels.dtype.kind in "iu" and dtype.kind == "f":
        is_rounded = max(abs(black), abs(white)) > LARGEST_EXACT
    if is_rounded:
        findings.note(
            f"{pixels.dtype} pixels in {format_range(limits)} are stored as {dtype}: rounded to "
            "24 bits"
        )
    stored = pixels.astype(dtype, copy=False)
    if stored.dtype.kind == "f" and (stored.min() < black or stored.max() > white):
        return stored.clip(black, white).astype(dtype)  # libraries round
    return stored


# Labels


def check_labeled_splits(
    labels: Mapping[str, object], class_names: Sequence[str], findings: Findings
) -> None:
    """Add an error to `findings` if some splits have labels and others have none.

    Images without labels would be of class 0. `labels`: the labels, or None, of each split.
    """
    if len(class_names) > 1:  # `check_labels` reports those that are None
        return
    labeled = [where for where, value in labels.items() if value is not None]
    unlabeled = [where for where in labels if where not in labeled]
    if labeled and unlabeled:
        findings.error(
            f"{' and '.join(labeled)} has labels, and {' and '.join(unlabeled)} has none: give "
            "all of them labels, or none of them"
        )


def check_labels(
    value: object, count: int, where: str, class_names: Sequence[str], findings: Findings
) -> np.ndarray | None:
    """Return N labels as int64; None, with an error in `findings`, if they are not usable."""
    if value is None:
        if len(class_names) > 1:
            findings.error(
                f"{where}.labels is None, but there are {len(class_names)} class_names: give each "
                "image the number of its class, or leave class_names empty"
            )
            return None
        findings.note("there are no labels: all images are of class 0")
        return np.zeros(count, np.int64)
    labels = _to_array(value, f"{where}.labels", findings)
    if labels is None:
        return None
    found = f"{where}.labels is {labels.dtype} of the shape {labels.shape}"
    rule = f"should be {count} whole numbers from 0, one per image"
    fix = _label_fix(labels, count)
    if fix:
        findings.error(f"{found}: {rule}; {fix}")
        return None
    if count == 0:
        return labels.astype(np.int64)
    low = int(labels.min())
    high = int(labels.max())
    values = f"{where}.labels is from {low} to {high}"
    if low < 0:
        findings.error(f"{values}: {rule}; images without a class cannot be marked by {low}")
        return None
    if class_names and high >= len(class_names):
        fix = "give each class a name"
        if low == 1 and high == len(class_names):
            fix = "the numbers begin with 0: labels - 1"
        findings.error(
            f"{values}, but there are {len(class_names)} class_names: should be from 0 to "
            f"{len(class_names) - 1}; {fix}"
        )
        return None
    if high > np.iinfo(np.int64).max:
        findings.error(f"{values}: {rule}")
        return None
    return labels.astype(np.int64)


def _label_fix(labels: np.ndarray, count: int) -> str:
    """How to correct labels of a wrong type or shape; empty if both are right."""
    if labels.dtype.kind in "USO":
        return "numbers for texts: names, labels = np.unique(labels, return_inverse=True)"
    if labels.dtype.kind not in "buif":
        return "use integers"
    if labels.ndim == 2 and labels.shape[0] == count:
        if labels.shape[1] == 1:
            return "use one dimension: labels.ravel()"
        return "numbers for one-hot rows: labels.argmax(1)"
    if labels.ndim != 1:
        return "use one dimension"
    if len(labels) != count:
        return f"{len(labels)} labels for {count} images: each image needs one"
    if labels.dtype.kind == "f":
        return "use integers: labels.astype(np.int64)"
    return ""
