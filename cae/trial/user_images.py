"""A user's own images for a model: files, folders, arrays, and images of Pillow.

They become inputs with the readers that read training images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cae.errors import UserError
from cae.trial import image_statistics
from cae.trial.datasets.array_files import StoredArray, check_memory, open_arrays
from cae.trial.datasets.base import Dataset
from cae.trial.datasets.folder_files import find_files
from cae.trial.datasets.image_reader import (
    MAX_DEEP,
    MAX_VALUE,
    Fit,
    ImageFacts,
    ReadImage,
    UnreadableImage,
    fit_array,
    fit_image,
    no_pillow_warnings,
    range_error,
    read_bands,
    read_image,
    to_array,
    to_stored,
)
from cae.trial.datasets.own_data import ROUNDING, Findings, convert_pixels
from cae.trial.datasets.pixel_values import BYTE_RANGE, ValueRange, format_range, to_unit
from cae.trial.pixel_format import PixelFormat

if TYPE_CHECKING:
    from PIL.Image import Image

ARRAY_SUFFIXES = (".npy", ".npz", ".safetensors")
TIFF_SUFFIXES = (".tif", ".tiff")
DEEP_RANGE: ValueRange = (0.0, float(MAX_DEEP))
"""The usual values of black and white of 16 bits."""
MIN_CROP = 0.01
"""Smaller shares are rounding, not cropping."""


@dataclass(frozen=True)
class InputFormat:
    """What a model needs to know about its images: those that it was trained on."""

    dataset: Dataset
    pixels: PixelFormat
    training: image_statistics.ImageStatistics | None = None
    """Statistics of the training images; None if they are not known."""

    @property
    def max_value(self) -> int | None:
        """The value of white in training images of more than 8 bits, if the data set states it."""
        max_value: int | None = getattr(self.dataset, "max_value", None)
        return max_value

    @property
    def deep_range(self) -> ValueRange | None:
        """The values of black and white in training images of more than 8 bits.

        None: the training images have 8 bits, or are floats on a scale of their own, such as [0, 1]
        or [-1, 1], which image files of integers do not have.
        """
        is_integer = self.pixels.dtype in ("uint16", "int16")
        if is_integer or self.pixels.value_range[1] > BYTE_RANGE[1]:
            return self.pixels.value_range
        return None


@dataclass(frozen=True)
class ReadingOptions:
    """How images are prepared for the network. Nothing is inverted or padded unless requested."""

    invert: bool = False
    """Whether the pixels are inverted: black becomes white."""
    fit: Fit = "crop"
    max_value: int | None = None
    """Value of white in images and arrays of more than 8 bits; None: that of the training
    images."""
    skip_damaged: bool = False
    """Whether files that cannot be read are left out instead of an error."""


@dataclass(frozen=True)
class UserImage:
    """An image of the user's, ready for the network."""

    name: str
    """The file, and the number of the image if the file contains several."""
    pixels: np.ndarray
    """C x H x W, of one of STORED_TYPES."""
    value_range: ValueRange = BYTE_RANGE
    facts: ImageFacts = field(default_factory=ImageFacts)
    lost_share: float = 0.0

    @property
    def values(self) -> np.ndarray:
        """The pixels as float32 in [0, 1]."""
        return to_unit(self.pixels, self.value_range)


def find_user_files(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the images, those in folders included, and a line about each folder with other files.

    Raises UserError for folders without images.
    """
    files: list[Path] = []
    lines: list[str] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        found = find_files(path)
        if not found.images:
            raise UserError(f"{path}: there are no images in it or in its subfolders")
        files += found.images
        if found.skipped:
            names = ", ".join(str(file.relative_to(path)) for file in found.skipped[:5])
            lines.append(f"{path}: skipped {len(found.skipped)} files that are no images: {names}")
    return files, lines


def read_user_images(
    files: Sequence[Path], inputs: InputFormat, options: ReadingOptions
) -> tuple[list[UserImage], list[str]]:
    """Return all images, and a line about each file that was left out (`skip_damaged`).

    Raises UserError with all files that cannot be read.
    """
    images: list[UserImage] = []
    errors: list[str] = []
    skipped: list[str] = []
    with no_pillow_warnings():
        for file in files:
            try:
                images += _read(file, inputs, options)
            except UnreadableImage as error:
                skipped.append(f"skipped: {file}: {error}")
                errors.append(f"{file} cannot be read as an image: {error}")
    if options.skip_damaged and images:
        errors = []
    elif images and errors:
        errors.append("--skip-damaged leaves out files that cannot be read")
    unknown_range = find_range_error(images, inputs, options)
    if unknown_range:
        errors.append(unknown_range)
    if errors:
        raise UserError(errors)
    return images, skipped


def find_range_error(
    images: Sequence[UserImage], inputs: InputFormat, options: ReadingOptions
) -> str:
    """Return why images of 16 bits would be nearly black, and the fix; empty if they are not."""
    max_value = options.max_value or inputs.max_value
    return range_error([image.facts for image in images], max_value)


def find_warnings(image: UserImage, inputs: InputFormat) -> dict[str, str]:
    """Return what the user has to know about an image, by kind."""
    warnings: dict[str, str] = {}
    if image.lost_share > MIN_CROP:
        warnings["cropped"] = (
            f"cropped to its center: {image.lost_share:.0%} of it is lost; fit = pad (--fit pad) "
            "keeps all"
        )
    if image.facts.largest is not None and image.pixels.dtype == np.uint8:
        warnings["bits"] = "it has 16 bits per value: reduced to 8"
    if image.facts.frames > 1:
        warnings["frames"] = f"it contains {image.facts.frames} images: the first one is used"
    if inputs.training is not None:
        difference = image_statistics.find_difference(image.values, inputs.training)
        if difference:
            warnings["unlike"] = f"warning: unlike the training images: {difference}"
    return warnings


def describe_warnings(images: Sequence[UserImage], inputs: InputFormat) -> list[str]:
    """Return what the user has to know about images: a line per kind, about the image that loses
    most, and how many others have the same kind."""
    by_kind: dict[str, list[tuple[str, str]]] = {}
    for image in sorted(images, key=lambda image: -image.lost_share):
        for kind, text in find_warnings(image, inputs).items():
            by_kind.setdefault(kind, []).append((image.name, text))
    lines: list[str] = []
    for (name, text), *others in by_kind.values():
        if others:
            name += f" and {len(others)} more"
        lines.append(f"{name}: {text}")
    return lines


def _read(file: Path, inputs: InputFormat, options: ReadingOptions) -> list[UserImage]:
    """The images of a file. Raises UnreadableImage."""
    suffix = file.suffix.lower()
    is_deep = inputs.pixels.dtype != "uint8"
    is_stack = is_deep and suffix in TIFF_SUFFIXES and inputs.dataset.name != "image_folder"
    if suffix in ARRAY_SUFFIXES or is_stack:
        return _read_arrays(file, inputs, options)
    return [prepare_image(file, str(file), inputs, options)]


def prepare_image(
    source: Path | Image, name: str, inputs: InputFormat, options: ReadingOptions
) -> UserImage:
    """Return an image with the size and the channels of the training images.

    `source`: a file, or an image of Pillow. Raises UnreadableImage.
    """
    channels, height, width = inputs.dataset.image_shape
    max_value = options.max_value or inputs.max_value
    facts = ImageFacts()
    if channels in (1, 3):
        is_deep = inputs.pixels.dtype != "uint8"
        read = read_image(source, channels, max_value, keep_depth=is_deep)
        deep_range = None
        if max_value is None:
            deep_range = inputs.deep_range
        if read.image.mode == "F":
            return _to_deep_image(name, read, deep_range, inputs, options)
        if read.facts.is_deep_color and deep_range not in (None, DEEP_RANGE):
            raise UnreadableImage(
                "it is a color image of 16 bits, of which only the upper 8 bits are read, and the "
                f"training images have black and white = {format_range(deep_range)}: give an array "
                "(.npy) of their type, or save it with 8 bits"
            )
        bands = [read.image]
        facts = read.facts
    else:
        bands = read_bands(source, channels)
    fitted = [fit_image(band, width, height, options.fit) for band in bands]
    pixels = np.concatenate([to_array(band.image) for band in fitted])
    if options.invert:
        pixels = 255 - pixels
    return UserImage(name, pixels, facts=facts, lost_share=fitted[0].lost_share)


def _to_deep_image(
    name: str,
    read: ReadImage,
    deep_range: ValueRange | None,
    inputs: InputFormat,
    options: ReadingOptions,
) -> UserImage:
    """A gray image of more than 8 bits, as floats in [0, 1].

    `deep_range`: the values of black and white of integers; None: 0 and `read.white`.
    """
    channels, height, width = inputs.dataset.image_shape
    facts = read.facts
    image = read.image
    white = read.white
    if facts.largest is not None and deep_range not in (None, DEEP_RANGE):
        image = _on_training_scale(image, deep_range)
        white = 1.0
        facts = replace(facts, largest=None)  # its range is known
    fitted = fit_image(image, width, height, options.fit)
    pixels = to_stored(to_array(fitted.image), white, np.dtype(np.float32), 1.0)
    if options.invert:
        pixels = 1 - pixels
    pixels = pixels.repeat(channels, axis=0)
    return UserImage(name, pixels, (0.0, 1.0), facts, fitted.lost_share)


def _on_training_scale(image: Image, deep_range: ValueRange) -> Image:
    """Integers of an image file as floats in [0, 1]. Raises UnreadableImage if some are outside."""
    from PIL import Image

    values = np.asarray(image)
    low = float(values.min())
    high = float(values.max())
    if deep_range[0] < 0:
        raise UnreadableImage(
            f"it has whole numbers from {low:g}, and in the training images black is "
            f"{deep_range[0]:g}: give an array (.npy) of their type, or set {MAX_VALUE} to the "
            "value of white"
        )
    if low < deep_range[0] or high > deep_range[1]:
        raise UnreadableImage(
            f"its values are from {low:g} to {high:g}, and the training images have black and "
            f"white = {format_range(deep_range)}; set {MAX_VALUE} to the value of white, if it is "
            "another one"
        )
    return Image.fromarray(to_unit(values, deep_range))


def _read_arrays(file: Path, inputs: InputFormat, options: ReadingOptions) -> list[UserImage]:
    """The images of a file of arrays. Raises UnreadableImage."""
    array = _only_array(file)
    try:
        check_memory(array)
        return prepare_array(array.read(), str(file), inputs, options)
    except UserError as error:
        raise UnreadableImage(str(error).removeprefix(f"{file}: ")) from None


def prepare_array(
    array: np.ndarray, name: str, inputs: InputFormat, options: ReadingOptions
) -> list[UserImage]:
    """Return the images of an array with the size and the channels of the training images.

    Args:
        array: C x H x W or H x W x C, with N before for several images; H x W for one channel. Of
            the type and the value range of the training images, uint8 in 0..255, bool, or floats in
            [0, 1].
        name: Of the array; images of several have a number behind it.
        inputs: The training images.
        options: How the images are prepared.

    Raises UnreadableImage.
    """
    channels, height, width = inputs.dataset.image_shape
    images = _to_images(array, channels)
    findings = Findings("")
    declared = _declared_range(images, inputs, options)
    checked = convert_pixels(images, "image", declared, findings, _how_to_scale)
    if checked is None:
        raise UnreadableImage("; ".join(findings.errors))
    black, white = checked.value_range
    result: list[UserImage] = []
    for number, image in enumerate(checked.pixels):
        own_name = name
        if len(images) > 1:
            own_name += f" [{number}]"
        pixels, lost_share = fit_array(image, width, height, options.fit)
        if options.invert:
            pixels = (black + white - pixels.astype(np.float64)).astype(pixels.dtype)
        result.append(UserImage(own_name, pixels, checked.value_range, lost_share=lost_share))
    return result


def _declared_range(
    images: np.ndarray, inputs: InputFormat, options: ReadingOptions
) -> ValueRange | None:
    """The values of black and white of an array, if something states them."""
    dtype = images.dtype.newbyteorder("=")
    is_obvious = dtype in (np.uint8, np.bool_)
    if options.max_value is not None and not is_obvious:
        return (0.0, float(options.max_value))
    if is_obvious and dtype.name != inputs.pixels.dtype:
        return None  # 0..255, or False and True, whatever the range of the other type is
    is_float_of_integers = dtype.kind == "f" and not inputs.pixels.dtype.startswith("float")
    if is_float_of_integers and images.size and images.max() <= 1 + ROUNDING:
        return None  # floats in [0, 1], whatever the range of the integers is
    if inputs.dataset.value_range is None and dtype.name == inputs.pixels.dtype:
        return inputs.pixels.value_range
    return inputs.dataset.value_range


def _how_to_scale(black: float, white: float) -> str:
    """How a user of a model states the values of black and white."""
    scale = "scale them to floats in [0, 1]"
    if black < 0:
        return scale
    return f"{scale}, or set {MAX_VALUE} to the value of white, such as {white:g}"


def _only_array(file: Path) -> StoredArray:
    """The array of a file that contains one. Raises UnreadableImage."""
    if not file.exists():
        raise UnreadableImage("it does not exist")
    try:
        arrays = open_arrays(file)
    except UserError as error:
        raise UnreadableImage(str(error).removeprefix(f"{file}: ")) from None
    images = list(arrays.values())
    if len(images) > 1:  # labels are no images
        images = [array for array in images if len(array.shape) > 2]
    if len(images) != 1:
        names = ", ".join(array.describe() for array in arrays.values())
        raise UnreadableImage(f"it should contain one array of images, and contains {names}")
    return images[0]


def _to_images(array: np.ndarray, channels: int) -> np.ndarray:
    """An image, or several, as N x C x H x W. Raises UnreadableImage.

    C x H x W or H x W x C, with N before if there are several; H x W for one channel.
    """
    shape = array.shape
    if array.size and array.ndim == 2 and channels == 1:
        return array[None, None]
    if array.size and array.ndim == 3:
        if shape[0] == channels:
            return array[None]
        if shape[2] == channels:
            return array.transpose(2, 0, 1)[None]
    if array.size and array.ndim == 4:
        if shape[1] == channels:
            return array
        if shape[3] == channels:
            return array.transpose(0, 3, 1, 2)
    hint = ""
    if array.ndim == 3 and channels == 1:
        hint = "; if these are several gray images, add the axis of the channel: array[:, None]"
    raise UnreadableImage(
        f"it is an array {' x '.join(map(str, shape))}: should be {channels} x H x W, "
        f"or N x {channels} x H x W for several images{hint}"
    )
