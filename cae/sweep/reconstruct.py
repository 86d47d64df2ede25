"""Applying an exported model to a user's own images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from cae.errors import UserError
from cae.files import check_regular, write_whole
from cae.sweep.spec.sweep_file import load_components
from cae.trial import image_statistics
from cae.trial.datasets.image_files import find_files
from cae.trial.datasets.image_reader import (
    Fit,
    ImageFacts,
    UnreadableImage,
    fit_image,
    no_pillow_warnings,
    range_error,
    read_bands,
    read_image,
    to_array,
)
from cae.trial.datasets.own_data import Findings, convert_pixels
from cae.trial.display import tile_channels
from cae.trial.model import OTHER_CODE, Model, apply_model, read_model

if TYPE_CHECKING:
    from PIL.Image import Image

MIN_SHOWN_PIXELS = 160
"""Small images are enlarged to about so many pixels per side in the written image."""
MAX_ROWS = 64
"""Images that are shown; the numbers of all are printed."""
WRITTEN_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".gif": "GIF",
}
"""Formats of the written image, by suffix."""
MIN_CROP = 0.01
"""Smaller shares are rounding, not cropping."""


@dataclass(frozen=True)
class ReadingOptions:
    """How images are prepared for the network. Nothing is inverted or padded unless requested."""

    invert: bool = False
    """Whether the pixels are inverted: black becomes white."""
    fit: Fit = "crop"
    max_value: int | None = None
    """Value of white in images of more than 8 bits; None: that of the training images."""


@dataclass(frozen=True)
class _UserImage:
    """An image of the user's, ready for the network."""

    file: Path
    pixels: np.ndarray
    """uint8, C x H x W."""
    facts: ImageFacts = field(default_factory=ImageFacts)
    lost_share: float = 0.0


def reconstruct_files(
    model_folder: Path,
    paths: Sequence[Path],
    out: Path,
    *,
    corrupt: bool,
    sweep: Path | None,
    options: ReadingOptions | None = None,
) -> str:
    """Apply a model to images and write inputs beside outputs, one row per image.

    Returns what was written, and what the task says about each image, such as its error, with
    warnings about images that differ from the training images. Raises UserError for files that
    cannot be read.

    Args:
        model_folder: A folder that `best -o` wrote.
        paths: Images, and folders of images.
        out: The image file to write; its suffix is its format.
        corrupt: Corrupt the images first, as in training.
        sweep: The sweep file that defines components of the model.
        options: How the images are prepared.
    """
    options = options or ReadingOptions()
    file_format = _format_of(out)
    if sweep:
        load_components(sweep)
    model = read_model(model_folder)
    task = model.trial.task
    if corrupt and not task.corrupts:
        raise UserError(
            f"--corrupt would be ignored: the task {task.name!r} does not corrupt images at random"
        )
    files, lines = _find_files(paths)
    if model.has_other_code:
        lines.append(f"warning: {OTHER_CODE}")
    user_images = _read_all(files, model, options)
    pixels = np.stack([image.pixels for image in user_images])
    images = torch.from_numpy(pixels).float().div(255)
    applied = apply_model(model, images, corrupt=corrupt)
    shown = task.display(applied.inputs, applied.outputs, applied.targets, model.class_names)
    training = image_statistics.from_json(model.description.get("training_images"))
    for image, text in zip(user_images, shown.texts, strict=True):
        lines.append(f"{image.file}: {text}")
        lines += [f"  {warning}" for warning in _warnings(image, training)]
    if training is None:
        lines.append(
            "the model contains no statistics of its training images (it was exported by an older "
            "version): the images were not compared with them"
        )
    _write_image([images for _, images in shown.columns], out, file_format)
    titles = ", ".join(title for title, _ in shown.columns)
    _, height, width = model.trial.dataset.image_shape
    lines.append(f"written: {out} (from left to right: {titles}; {width} x {height})")
    if len(files) > MAX_ROWS:
        lines.append(f"it shows the first {MAX_ROWS} of {len(files)} images")
    return "\n".join(lines)


def _format_of(out: Path) -> str:
    try:
        return WRITTEN_FORMATS[out.suffix.lower()]
    except KeyError:
        raise UserError(
            f"-o {out}: the suffix is the format of the image; use {', '.join(WRITTEN_FORMATS)}"
        ) from None


def _find_files(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The images, those in folders included, and a line about each folder with other files.

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


# Reading


def _read_all(files: list[Path], model: Model, options: ReadingOptions) -> list[_UserImage]:
    """All images. Raises UserError with all files that cannot be read."""
    images: list[_UserImage] = []
    errors: list[str] = []
    max_value = options.max_value or getattr(model.trial.dataset, "max_value", None)
    with no_pillow_warnings():
        for file in files:
            try:
                images.append(_read(file, model, options, max_value))
            except UnreadableImage as error:
                errors.append(f"{file} cannot be read as an image: {error}")
    unknown_range = range_error([image.facts for image in images], max_value)
    if unknown_range:
        errors.append(unknown_range)
    if errors:
        raise UserError(errors)
    return images


def _read(file: Path, model: Model, options: ReadingOptions, max_value: int | None) -> _UserImage:
    """An image with the size and the channels of the model's inputs. Raises UnreadableImage."""
    channels, height, width = model.trial.dataset.image_shape
    facts = ImageFacts()
    if file.suffix.lower() == ".npy":
        bands = _read_array(file, model)
    elif channels in (1, 3):
        read = read_image(file, channels, max_value)
        bands = [read.image]
        facts = read.facts
    else:
        bands = read_bands(file, channels)
    fitted = [fit_image(band, width, height, options.fit) for band in bands]
    pixels = np.concatenate([to_array(band.image) for band in fitted])
    if options.invert:
        pixels = 255 - pixels
    return _UserImage(file, pixels, facts, fitted[0].lost_share)


def _read_array(file: Path, model: Model) -> list[Image]:
    """The channels of an array C x H x W (or H x W x C, or H x W for one channel) of numpy."""
    from PIL import Image

    dataset = model.trial.dataset
    channels = dataset.image_shape[0]
    try:
        check_regular(file)
        array = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise UnreadableImage("it does not exist") from None
    except (OSError, ValueError, EOFError, MemoryError):
        raise UnreadableImage("it is not an array that numpy.save wrote") from None
    if array.ndim == 2:
        array = array[None]
    if array.ndim == 3 and array.shape[0] != channels and array.shape[2] == channels:
        array = array.transpose(2, 0, 1)
    if array.ndim != 3 or array.shape[0] != channels or array.size == 0:
        raise UnreadableImage(
            f"it is an array {' x '.join(map(str, array.shape))}: should be {channels} x H x W"
        )
    findings = Findings(dataset.name)
    pixels = convert_pixels(array[None], "image", dataset.value_range, findings)
    if pixels is None:
        raise UnreadableImage("; ".join(findings.errors))
    return [Image.fromarray(np.ascontiguousarray(channel)) for channel in pixels[0]]


def _warnings(image: _UserImage, training: image_statistics.ImageStatistics | None) -> list[str]:
    """What the user has to know about an image."""
    warnings: list[str] = []
    if image.lost_share > MIN_CROP:
        warnings.append(
            f"cropped to its center: {image.lost_share:.0%} of it is lost; --fit pad keeps all"
        )
    if image.facts.largest is not None:
        warnings.append("it has 16 bits per value: reduced to 8")
    if image.facts.frames > 1:
        warnings.append(f"it contains {image.facts.frames} images: the first one is used")
    if training is not None:
        difference = image_statistics.find_difference(image.pixels, training)
        if difference:
            warnings.append(f"warning: unlike the training images: {difference}")
    return warnings


# Writing


def _write_image(columns: Sequence[torch.Tensor], out: Path, file_format: str) -> None:
    """Write a row per image with a cell per column, each enlarged by a whole factor."""
    from PIL import Image

    cells = [_to_cells(column[:MAX_ROWS]) for column in columns]
    height = max(cell.shape[1] for cell in cells)
    rows: list[np.ndarray] = []
    for index in range(len(cells[0])):
        row: list[np.ndarray] = []
        for cell in cells:
            missing = height - cell.shape[1]
            row.append(np.pad(cell[index], ((0, missing), (0, 0), (0, 0))))
        rows.append(np.concatenate(row, axis=1))
    buffer = io.BytesIO()
    try:
        Image.fromarray(np.concatenate(rows)).save(buffer, file_format)
    except (OSError, ValueError) as error:
        raise UserError(
            f"-o {out}: cannot be written as {file_format}: {error}; use .png"
        ) from None
    write_whole(out, buffer.getvalue())


def _to_cells(images: torch.Tensor) -> np.ndarray:
    """Images in [0, 1] as uint8, N x H x W x 3, each pixel as a square."""
    tiles = tile_channels(images)
    zoom = max(1, round(MIN_SHOWN_PIXELS / max(tiles.shape[-2:])))
    rgb = (tiles.clamp(0, 1).nan_to_num() * 255).round().to(torch.uint8).expand(-1, 3, -1, -1)
    pixels = rgb.permute(0, 2, 3, 1).numpy()
    return pixels.repeat(zoom, axis=1).repeat(zoom, axis=2)
