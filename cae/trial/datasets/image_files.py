"""Folders of image files: find, decode and resize the images."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cae.trial.datasets.errors import DatasetDamaged, DatasetInvalid
from cae.trial.datasets.folder_files import find_files
from cae.trial.datasets.folder_labels import (
    SPLITS,
    ClassFolders,
    FolderLabels,
    printable_name,
    read_labels,
)
from cae.trial.datasets.image_memory import choose_streaming
from cae.trial.datasets.image_notes import note_on_copies, note_on_empty_folders
from cae.trial.datasets.image_reader import (
    MAX_DEEP,
    Fit,
    ImageFacts,
    ImageHeader,
    UnreadableImage,
    fit_image,
    no_pillow_warnings,
    range_error,
    read_header,
    read_image,
    to_array,
    to_stored,
)
from cae.trial.datasets.pixel_values import BYTE_RANGE, DARK, ValueRange
from cae.trial.datasets.splits import Split, select_images

Allocate = Callable[[tuple[int, ...], "np.dtype[Any]"], np.ndarray]
MAX_REPORTED_FILES = 5
"""Number of damaged or skipped files that a message names."""
MIN_CROP = 0.01
"""Smaller shares are rounding, not cropping."""
MAX_THREADS = 8
MAX_PIXELS_IN_MEMORY = 100_000_000
"""Pixels of the images that are decoded at the same time; a larger image is decoded alone. A pixel
needs about 8 bytes meanwhile."""


class DecodedFolder(NamedTuple):
    """The images of a folder, resized, and the names of their classes."""

    images: Split
    class_names: tuple[str, ...]
    splits: np.ndarray | None = None
    """The split of each image, an index in SPLITS; None if the folder has none."""
    notes: tuple[str, ...] = ()
    """What was done to the images, and which files were skipped."""
    max_value: int | None = None
    """The value of white in images of more than 8 bits, if it was stated."""
    value_range: ValueRange = BYTE_RANGE
    fit: str = "crop"
    class_folders: str = "first"
    statistics: FolderStatistics | None = None
    """None if the images were imported before."""

    def split(self, name: str) -> Split | None:
        """Return the images of a split; None if there are none."""
        if self.splits is None:
            return None
        chosen = np.flatnonzero(self.splits == SPLITS.index(name))
        if len(chosen) == 0:
            return None
        return select_images(self.images, chosen)


@dataclass(frozen=True)
class SkippedFile:
    """A file that is not used, and why."""

    name: str
    reason: str

    @property
    def with_reason(self) -> str:
        """The name and the reason, for a list."""
        return f"{self.name} ({self.reason})"


@dataclass(frozen=True)
class FolderStatistics:
    """What the image files of a folder are."""

    formats: dict[str, int]
    """Number of files by format: PNG, JPEG, ..."""
    modes: dict[str, int]
    """Number of files by Pillow's name of the type of the pixels: RGB, L, P, I;16, ..."""
    sizes: dict[tuple[int, int], int]
    """Number of files by width and height."""
    skipped: list[SkippedFile]


def decode_folder(
    folder: Path,
    size: int | tuple[int, int],
    channels: int,
    *,
    max_value: int | None = None,
    skip_damaged: bool = False,
    fit: Fit = "crop",
    class_folders: ClassFolders = "first",
    splits: Path | None = None,
    allocate: Allocate | None = None,
) -> DecodedFolder:
    """Return all images of a folder, resized, with their classes and splits.

    Images are uint8. If there are gray images of more than 8 bits, all are uint16, or float32 if
    there are images of floats.

    Raises DatasetDamaged with the files that cannot be decoded, unless `skip_damaged`, and
    DatasetInvalid if the range of their values is not known.

    Args:
        folder: The folder.
        size: Height and width; one number is both.
        channels: 1 or 3.
        max_value: The value of white in images of more than 8 bits.
        skip_damaged: Leave out images that cannot be decoded.
        fit: See `fit_image`.
        class_folders: See `read_labels`.
        splits: A CSV file with the split of each file.
        allocate: Creates the array for the images; None: in memory.
    """
    found = find_files(folder)
    labels = read_labels(found.images, folder, class_folders, splits)
    headers = _read_headers(labels.files)
    target = _choose_target(headers, max_value)
    shape = (len(labels.files), channels, *_height_width(size))
    pixels = (allocate or allocate_memory)(shape, target.dtype)
    decoded = _decode_all(labels.files, headers, pixels, max_value, fit, target)
    damaged = _check_damaged(folder, labels.files, decoded, is_allowed=skip_damaged)
    good = [result for result in decoded if isinstance(result, _Decoded)]
    unknown_range = range_error([image.facts for image in good], max_value)
    if unknown_range:
        raise DatasetInvalid(f"{folder}: {unknown_range}")
    if damaged:
        is_good = np.array([isinstance(result, _Decoded) for result in decoded])
        pixels = _move_together(pixels, is_good)
        labels = labels.without(is_good)
        headers = [header for header, kept in zip(headers, is_good, strict=True) if kept]
    others = [path for path in found.skipped if path != splits]
    skipped = [SkippedFile(_name(path, folder), "no image by its suffix") for path in others]
    notes = [*labels.notes, *_notes(good, pixels, labels.splits, target)]
    notes += _notes_on_files(folder, labels, pixels, [damaged, skipped], found.outside)
    if max_value is not None and all(image.facts.largest is None for image in good):
        notes.append(
            f"max_value = {max_value} has no effect: no image has more than 8 bits per value"
        )
    return DecodedFolder(
        Split(pixels, labels.numbers),
        labels.names,
        labels.splits,
        tuple(notes),
        max_value,
        (0.0, target.white),
        fit,
        class_folders,
        _statistics(headers, [*damaged, *skipped]),
    )


def _name(path: Path, folder: Path) -> str:
    return printable_name(path.relative_to(folder))


def _decode_all(
    files: list[Path],
    headers: list[ImageHeader],
    pixels: np.ndarray,
    max_value: int | None,
    fit: Fit,
    target: _Target,
) -> list[_Decoded | UnreadableImage]:
    """Decode all files into `pixels`; return what is known of each, or its error."""
    results: list[_Decoded | UnreadableImage] = [UnreadableImage("")] * len(files)

    def decode(index: int) -> None:
        try:
            results[index] = _decode(files[index], max_value, fit, target, pixels[index])
        except UnreadableImage as error:
            results[index] = error

    _decode_in_threads([header.pixels for header in headers], decode)
    return results


def _check_damaged(
    folder: Path,
    files: list[Path],
    decoded: list[_Decoded | UnreadableImage],
    *,
    is_allowed: bool,
) -> list[SkippedFile]:
    """The files that cannot be decoded. Raises DatasetDamaged unless they may be left out."""
    damaged: list[SkippedFile] = []
    for path, result in zip(files, decoded, strict=True):
        if isinstance(result, UnreadableImage):
            damaged.append(SkippedFile(_name(path, folder), str(result)))
    if damaged and (not is_allowed or len(damaged) == len(files)):
        raise DatasetDamaged(
            f"{folder}: {len(damaged)} of {len(files)} images cannot be decoded: "
            f"{_listed([file.with_reason for file in damaged])}; repair or remove them, or leave "
            "them out with `cae-sweep data import --skip-damaged`"
        )
    return damaged


def _notes_on_files(
    folder: Path,
    labels: FolderLabels,
    pixels: np.ndarray,
    skipped: list[list[SkippedFile]],
    outside: list[Path],
) -> list[str]:
    """Skipped files (damaged ones, and those that are no images), copies, empty folders, links."""
    damaged, others = skipped
    notes: list[str] = []
    if damaged:
        listed = _listed([file.with_reason for file in damaged])
        notes.append(f"{_files(len(damaged))} damaged and skipped: {listed}")
    if others:
        listed = _listed([file.name for file in others])
        notes.append(f"{_files(len(others))} no image and skipped: {listed}")
    names = [_name(path, folder) for path in labels.files]
    more = (
        note_on_copies(pixels, names, labels.splits),
        note_on_empty_folders(folder, labels.files),
    )
    notes += [note for note in more if note]
    if outside:
        listed = _listed([_name(path, folder) for path in outside])
        notes.append(f"{_links(len(outside))} not followed: {listed}")
    return notes


@dataclass(frozen=True)
class _Target:
    """The type of all images of a folder."""

    dtype: np.dtype[Any]
    white: float


def _choose_target(headers: Sequence[ImageHeader], max_value: int | None) -> _Target:
    """The type that keeps the values of all images."""
    if not any(header.is_deep for header in headers):
        return _Target(np.dtype(np.uint8), BYTE_RANGE[1])
    white = float(max_value or MAX_DEEP)
    if white == BYTE_RANGE[1]:  # 8 bits in files of 16
        return _Target(np.dtype(np.uint8), white)
    if white > MAX_DEEP or any(header.mode == "F" for header in headers):
        return _Target(np.dtype(np.float32), 1.0)
    return _Target(np.dtype(np.uint16), white)


def allocate_memory(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return an array in memory. Raises UserError if it is too large for it."""
    nbytes = math.prod(shape) * dtype.itemsize
    choose_streaming(
        nbytes,
        can_stream=False,
        what="dataset.path",
        remedy="import the folder first: cae-sweep data import FOLDER NAME",
    )
    return np.empty(shape, dtype)


def _height_width(size: int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    return size


def _read_headers(files: list[Path]) -> list[ImageHeader]:
    with no_pillow_warnings(), ThreadPoolExecutor(_thread_count()) as pool:
        return list(pool.map(read_header, files))


def _thread_count() -> int:
    return min(MAX_THREADS, os.cpu_count() or 1)


def _decode_in_threads(pixels: list[int], decode: Callable[[int], None]) -> None:
    """Call `decode` with the index of each file.

    Pillow releases the interpreter lock while it decodes and resizes, so that threads run in
    parallel; fewer for large images. `pixels`: the number of pixels of each file.
    """

    def decode_all(indices: list[int], threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(decode, indices):
                pass

    threads = _thread_count()
    with no_pillow_warnings():
        limit = MAX_PIXELS_IN_MEMORY // threads
        decode_all([index for index, count in enumerate(pixels) if count <= limit], threads)
        large = [index for index, count in enumerate(pixels) if count > limit]
        if large:
            decode_all(large, max(1, MAX_PIXELS_IN_MEMORY // max(pixels)))


@dataclass(frozen=True)
class _Decoded:
    """What is kept of a decoded image besides its pixels."""

    facts: ImageFacts
    lost_share: float
    is_stretched: bool


def _decode(
    path: Path, max_value: int | None, fit: Fit, target: _Target, pixels: np.ndarray
) -> _Decoded:
    """Read an image into `pixels`, C x H x W."""
    channels, height, width = pixels.shape
    keep_depth = target.dtype != np.uint8
    read = read_image(path, channels, max_value, keep_depth=keep_depth)
    fitted = fit_image(read.image, width, height, fit)
    pixels[:] = to_stored(to_array(fitted.image), read.white, target.dtype, target.white)
    shapes = (read.image.width * height, read.image.height * width)
    is_stretched = fit == "stretch" and abs(shapes[0] - shapes[1]) > MIN_CROP * max(shapes)
    return _Decoded(read.facts, fitted.lost_share, is_stretched)


def decode_image(path: Path, size: int, channels: int) -> np.ndarray:
    """Return one image as uint8, C x size x size, in 1 or 3 channels.

    Its shorter side is resized to `size`, and a centered square is cropped (see image_reader.py).
    Raises UnreadableImage.
    """
    return to_array(fit_image(read_image(path, channels).image, size, size).image)


def _move_together(pixels: np.ndarray, is_good: np.ndarray) -> np.ndarray:
    """The good images, moved to the beginning of the array: it may be larger than the memory."""
    count = 0
    for index in np.flatnonzero(is_good).tolist():
        if index != count:
            pixels[count] = pixels[index]
        count += 1
    return pixels[:count]


def _statistics(good: list[ImageHeader], skipped: list[SkippedFile]) -> FolderStatistics:
    return FolderStatistics(
        formats=dict(Counter(header.format for header in good).most_common()),
        modes=dict(Counter(header.mode for header in good).most_common()),
        sizes=dict(Counter((header.width, header.height) for header in good).most_common()),
        skipped=skipped,
    )


def _notes(
    decoded: list[_Decoded],
    pixels: np.ndarray,
    splits: np.ndarray | None,
    target: _Target,
) -> list[str]:
    """What a user has to know about the images of a folder."""
    notes: list[str] = []
    total = len(decoded)
    if splits is not None:
        counts = np.bincount(splits, minlength=len(SPLITS))
        listed = ", ".join(
            f"{count} {name}" for name, count in zip(SPLITS, counts, strict=True) if count
        )
        notes.append(f"the splits are kept: {listed}")
        for name, count in zip(SPLITS, counts, strict=True):
            if count == 0:
                notes.append(f"there are no images for {name}: they are taken from train")
    cropped = [image.lost_share for image in decoded if image.lost_share > MIN_CROP]
    if cropped:
        notes.append(
            f"{len(cropped)} of {total} images are of another shape and were cropped to their "
            f"center: "
            f"up to {max(cropped):.0%} of an image is lost"
        )
    stretched = sum(image.is_stretched for image in decoded)
    if stretched:
        notes.append(f"{stretched} of {total} images were stretched to another shape")
    deep = [image.facts.largest for image in decoded if image.facts.largest is not None]
    kept = "they are stored with 8 bits"
    if target.dtype != np.uint8:
        kept = f"all are {target.dtype}, white is {target.white:g}"
    deep_colors = sum(image.facts.is_deep_color for image in decoded)
    if deep_colors:
        kept += f"; of {deep_colors} in color, only the upper 8 bits are read"
    if deep:
        notes.append(
            f"{len(deep)} of {total} images have 16 bits per value, up to {max(deep)}: {kept}"
        )
    animated = sum(image.facts.frames > 1 for image in decoded)
    if animated:
        notes.append(f"{animated} of {total} files contain several images: the first one is used")
    if pixels.size and pixels.max() <= DARK * target.white:
        notes.append(
            f"no pixel of the images is brighter than {pixels.max():g} of {target.white:g}: they "
            "are nearly black"
        )
    return notes


def _links(count: int) -> str:
    if count == 1:
        return "1 link leads out of the folder and is"
    return f"{count} links lead out of the folder and are"


def _files(count: int) -> str:
    if count == 1:
        return "1 file is"
    return f"{count} files are"


def _listed(items: list[str]) -> str:
    """The first items, and the number of the others."""
    listed = "; ".join(items[:MAX_REPORTED_FILES])
    if len(items) > MAX_REPORTED_FILES:
        listed += f" and {len(items) - MAX_REPORTED_FILES} more"
    return listed
