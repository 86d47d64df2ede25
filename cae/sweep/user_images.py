"""A user's own images for an exported model: image files, and arrays of any type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cae.errors import UserError
from cae.trial.datasets.array_files import StoredArray, check_memory, open_arrays
from cae.trial.datasets.folder_files import find_files
from cae.trial.datasets.image_reader import (
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
from cae.trial.datasets.own_data import Findings, convert_pixels
from cae.trial.datasets.pixel_values import BYTE_RANGE, ValueRange, to_unit
from cae.trial.model import Model

ARRAY_SUFFIXES = (".npy", ".npz", ".safetensors")
TIFF_SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True)
class ReadingOptions:
    """How images are prepared for the network. Nothing is inverted or padded unless requested."""

    invert: bool = False
    """Whether the pixels are inverted: black becomes white."""
    fit: Fit = "crop"
    max_value: int | None = None
    """Value of white in images of more than 8 bits; None: that of the training images."""
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
    files: list[Path], model: Model, options: ReadingOptions
) -> tuple[list[UserImage], list[str]]:
    """Return all images, and a line about each file that was left out (`skip_damaged`).

    Raises UserError with all files that cannot be read.
    """
    images: list[UserImage] = []
    errors: list[str] = []
    skipped: list[str] = []
    max_value = options.max_value or getattr(model.trial.dataset, "max_value", None)
    with no_pillow_warnings():
        for file in files:
            try:
                images += _read(file, model, options, max_value)
            except UnreadableImage as error:
                skipped.append(f"skipped: {file}: {error}")
                errors.append(f"{file} cannot be read as an image: {error}")
    if options.skip_damaged and images:
        errors = []
    elif images and errors:
        errors.append("--skip-damaged leaves out files that cannot be read")
    unknown_range = range_error([image.facts for image in images], max_value)
    if unknown_range:
        errors.append(unknown_range)
    if errors:
        raise UserError(errors)
    return images, skipped


def _read(
    file: Path, model: Model, options: ReadingOptions, max_value: int | None
) -> list[UserImage]:
    """The images of a file with the size and the channels of the model's inputs.

    Raises UnreadableImage.
    """
    channels, height, width = model.trial.dataset.image_shape
    suffix = file.suffix.lower()
    is_deep = model.pixel_format.dtype != "uint8"
    is_stack = is_deep and suffix in TIFF_SUFFIXES and model.trial.dataset.name != "image_folder"
    if suffix in ARRAY_SUFFIXES or is_stack:
        return _read_arrays(file, model, options)
    facts = ImageFacts()
    if channels in (1, 3):
        read = read_image(file, channels, max_value, keep_depth=is_deep)
        if read.image.mode == "F":
            return [_to_deep_image(file, read, model, options)]
        bands = [read.image]
        facts = read.facts
    else:
        bands = read_bands(file, channels)
    fitted = [fit_image(band, width, height, options.fit) for band in bands]
    pixels = np.concatenate([to_array(band.image) for band in fitted])
    if options.invert:
        pixels = 255 - pixels
    return [UserImage(str(file), pixels, facts=facts, lost_share=fitted[0].lost_share)]


def _to_deep_image(file: Path, read: ReadImage, model: Model, options: ReadingOptions) -> UserImage:
    """A gray image of more than 8 bits, as floats in [0, 1]."""
    channels, height, width = model.trial.dataset.image_shape
    fitted = fit_image(read.image, width, height, options.fit)
    pixels = to_stored(to_array(fitted.image), read.white, np.dtype(np.float32), 1.0)
    if options.invert:
        pixels = 1 - pixels
    pixels = pixels.repeat(channels, axis=0)
    return UserImage(str(file), pixels, (0.0, 1.0), read.facts, fitted.lost_share)


def _read_arrays(file: Path, model: Model, options: ReadingOptions) -> list[UserImage]:
    """The images of a file of arrays. Raises UnreadableImage."""
    dataset = model.trial.dataset
    channels, height, width = dataset.image_shape
    array = _only_array(file)
    try:
        check_memory(array)
        images = _to_images(array.read(), channels)
    except UserError as error:
        raise UnreadableImage(str(error).removeprefix(f"{file}: ")) from None
    declared: object = dataset.value_range
    format_ = model.pixel_format
    if declared is None and images.dtype.newbyteorder("=").name == format_.dtype:
        declared = format_.value_range
    findings = Findings(dataset.name)
    checked = convert_pixels(images, "image", declared, findings)
    if checked is None:
        raise UnreadableImage("; ".join(findings.errors))
    black, white = checked.value_range
    result: list[UserImage] = []
    for number, image in enumerate(checked.pixels):
        name = str(file)
        if len(images) > 1:
            name += f" [{number}]"
        pixels, lost_share = fit_array(image, width, height, options.fit)
        if options.invert:
            pixels = (black + white - pixels.astype(np.float64)).astype(pixels.dtype)
        result.append(UserImage(name, pixels, checked.value_range, lost_share=lost_share))
    return result


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
    raise UnreadableImage(
        f"it is an array {' x '.join(map(str, shape))}: should be {channels} x H x W, "
        f"or N x {channels} x H x W for several images"
    )
