"""Folders of image files: find, decode and resize the images; store and read the decoded ones."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cae.files import check_regular
from cae.trial.datasets.errors import DatasetDamaged, DatasetInvalid, describe_error
from cae.trial.datasets.files import validate_labels
from cae.trial.datasets.image_notes import note_on_copies, note_on_empty_folders
from cae.trial.datasets.image_reader import (
    ImageFacts,
    UnreadableImage,
    count_pixels,
    fit_image,
    no_pillow_warnings,
    range_error,
    read_image,
    readable_suffixes,
    to_array,
)
from cae.trial.datasets.splits import Split

IMPORTED_FILE = "images.safetensors"
"""Name of the only file in the folder of an imported data set."""
MAX_REPORTED_FILES = 5
"""Number of damaged or skipped files that a message names."""
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""The split of each folder name, in lower case. These folders are splits, not classes."""
SPLITS = ("train", "val", "test")
MIN_CROP = 0.01
"""Smaller shares are rounding, not cropping."""
MAX_THREADS = 8
MAX_PIXELS_IN_MEMORY = 100_000_000
"""Pixels of the images that are decoded at the same time; a larger image is decoded alone. A pixel
needs about 8 bytes meanwhile."""
DARK = 16
"""If no pixel of a folder is brighter, its images are nearly black."""
KNOWN_FORMATS = "png, jpg, tif, gif, bmp, webp, pgm, ... (all that Pillow reads)"


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

    def split(self, name: str) -> Split | None:
        """Return the images of a split; None if there are none."""
        if self.splits is None:
            return None
        chosen = np.flatnonzero(self.splits == SPLITS.index(name))
        if len(chosen) == 0:
            return None
        return Split(self.images.pixels[chosen], self.images.labels[chosen])


class FoundFiles(NamedTuple):
    """The files of a folder, each sorted by their path within it."""

    images: list[Path]
    skipped: list[Path]
    """Files whose suffix is not one of an image."""
    outside: list[Path]
    """Links to images and folders outside of the folder: they are not followed."""


@dataclass(frozen=True)
class _Labels:
    """Classes and splits of the files of a folder, from the names of its subfolders."""

    numbers: np.ndarray
    names: tuple[str, ...]
    splits: np.ndarray | None


def find_images(folder: Path) -> list[Path]:
    """Return the image files in a folder and its subfolders, sorted by their path within it."""
    return find_files(folder).images


def find_files(folder: Path) -> FoundFiles:
    """Return the files in a folder and its subfolders: images, and the others.

    Symbolic links are followed within the folder: somebody else may have made it. Hidden files and
    folders are ignored.
    """
    root = os.path.realpath(folder)
    outside: list[Path] = []
    images: list[Path] = []
    skipped: list[Path] = []
    suffixes = readable_suffixes()
    visited: set[str] = set()
    for parent, subfolders, names in os.walk(folder, followlinks=True):
        real_parent = os.path.realpath(parent)
        if real_parent in visited:  # a link to a parent folder would lead to an endless loop
            subfolders.clear()
            continue
        visited.add(real_parent)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in list(subfolders):
            if _leads_out(os.path.join(parent, name), root):
                subfolders.remove(name)
                outside.append(Path(parent, name))
        for name in names:
            if name.startswith("."):
                continue
            if os.path.splitext(name)[1].lower() in suffixes:
                if _leads_out(os.path.join(parent, name), root):
                    outside.append(Path(parent, name))
                else:
                    images.append(Path(parent, name))
            else:
                skipped.append(Path(parent, name))

    def parts(path: Path) -> tuple[str, ...]:
        return path.relative_to(folder).parts

    return FoundFiles(
        sorted(images, key=parts), sorted(skipped, key=parts), sorted(outside, key=parts)
    )


def _leads_out(path: str, root: str) -> bool:
    """Whether a path is a symbolic link to something outside of a folder."""
    if not os.path.islink(path):
        return False
    return not Path(os.path.realpath(path)).is_relative_to(root)


def decode_folder(
    folder: Path,
    size: int,
    channels: int,
    *,
    max_value: int | None = None,
    skip_damaged: bool = False,
) -> DecodedFolder:
    """Return all images of a folder as `decode_image` returns them.

    The class of an image is the first folder within `folder` on its path; images directly in
    `folder` form a class with the folder's own name. If the folders are `train`, `val` and `test`
    (or two of them), they are splits, and the classes are the folders within them.

    Raises DatasetDamaged with the files that cannot be decoded, unless `skip_damaged`, and
    DatasetInvalid if the range of their values is not known.
    """
    files, others, outside = find_files(folder)
    _has_splits(files, folder)  # an error about the folders comes before those about files
    pixels = np.empty((len(files), channels, size, size), np.uint8)
    decoded: list[_Decoded | None] = [None] * len(files)

    def decode(index: int) -> str:
        """Decode one image; return its error, or nothing."""
        path = files[index]
        try:
            decoded[index] = _decode(path, size, channels, max_value, pixels[index])
        except UnreadableImage as error:
            return f"{printable_name(path.relative_to(folder))} ({error})"
        return ""

    results = _decode_in_threads(files, decode)
    errors = [error for error in results if error]
    if errors and (not skip_damaged or len(errors) == len(files)):
        raise DatasetDamaged(
            f"{folder}: {len(errors)} of {len(files)} images cannot be decoded: {_listed(errors)}; "
            "repair or remove them, or leave them out with `cae-sweep data import --skip-damaged`"
        )
    good = [image for image in decoded if image is not None]
    unknown_range = range_error([image.facts for image in good], max_value)
    if unknown_range:
        raise DatasetInvalid(f"{folder}: {unknown_range}")
    if errors:
        files = [path for path, error in zip(files, results, strict=True) if not error]
        pixels = pixels[[not error for error in results]]
    labels = _read_labels(files, folder)
    skipped = [printable_name(path.relative_to(folder)) for path in others]
    notes = _notes(good, pixels, labels.splits, skipped, errors)
    if max_value is not None and all(image.facts.largest is None for image in good):
        unused = f"max_value = {max_value} has no effect: no image has more than 8 bits per value"
        notes = (*notes, unused)
    names = [printable_name(path.relative_to(folder)) for path in files]
    more = (note_on_copies(pixels, names, labels.splits), note_on_empty_folders(folder, files))
    notes += tuple(note for note in more if note)
    if outside:
        listed = _listed([printable_name(path.relative_to(folder)) for path in outside])
        notes += (f"{_links(len(outside))} not followed: {listed}",)
    images = Split(pixels, labels.numbers)
    return DecodedFolder(images, labels.names, labels.splits, notes, max_value)


def _decode_in_threads(files: list[Path], decode: Callable[[int], str]) -> list[str]:
    """Call `decode` with the index of each file; return the results.

    Pillow releases the interpreter lock while it decodes and resizes, so that threads run in
    parallel; fewer for large images.
    """
    results = [""] * len(files)

    def decode_all(indices: list[int], threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            for index, result in zip(indices, pool.map(decode, indices), strict=True):
                results[index] = result

    threads = min(MAX_THREADS, os.cpu_count() or 1)
    with no_pillow_warnings():
        with ThreadPoolExecutor(threads) as pool:
            pixels = list(pool.map(count_pixels, files))
        limit = MAX_PIXELS_IN_MEMORY // threads
        decode_all([index for index, count in enumerate(pixels) if count <= limit], threads)
        large = [index for index, count in enumerate(pixels) if count > limit]
        if large:
            decode_all(large, max(1, MAX_PIXELS_IN_MEMORY // max(pixels)))
    return results


@dataclass(frozen=True)
class _Decoded:
    """What is kept of a decoded image besides its pixels."""

    facts: ImageFacts
    lost_share: float


def _decode(
    path: Path, size: int, channels: int, max_value: int | None, pixels: np.ndarray
) -> _Decoded:
    read = read_image(path, channels, max_value)
    fitted = fit_image(read.image, size, size)
    pixels[:] = to_array(fitted.image)
    return _Decoded(read.facts, fitted.lost_share)


def decode_image(path: Path, size: int, channels: int) -> np.ndarray:
    """Return one image as uint8, C x size x size, in 1 or 3 channels.

    Its shorter side is resized to `size`, and a centered square is cropped (see image_reader.py).
    Raises UnreadableImage.
    """
    return to_array(fit_image(read_image(path, channels).image, size, size).image)


def printable_name(path: str | Path) -> str:
    """Return a path as text, with bytes that are not UTF-8 as escape sequences."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _read_labels(files: list[Path], folder: Path) -> _Labels:
    """Classes, and splits if there are some. Raises DatasetInvalid if a folder may be both."""
    has_splits = _has_splits(files, folder)
    classes: list[str] = []
    splits: list[int] = []
    for path in files:
        parts = list(path.relative_to(folder).parts)
        if has_splits:
            split = SPLIT_FOLDERS[parts.pop(0).lower()]
            splits.append(SPLITS.index(split))
        name = folder.resolve().name
        if len(parts) > 1:
            name = parts[0]
        classes.append(printable_name(name))
    names = sorted(set(classes))
    number_of = {name: number for number, name in enumerate(names)}
    numbers = np.array([number_of[name] for name in classes], np.int64)
    if has_splits:
        return _Labels(numbers, tuple(names), np.array(splits, np.uint8))
    return _Labels(numbers, tuple(names), None)


def _has_splits(files: list[Path], folder: Path) -> bool:
    """Whether the folders within a folder are splits: `train`, and `val` or `test`."""
    first_parts: set[str] = set()
    for path in files:
        parts = path.relative_to(folder).parts
        first_parts.add(parts[0] if len(parts) > 1 else "")
    splits = {SPLIT_FOLDERS.get(part.lower(), "") for part in first_parts}
    if "train" not in splits or not splits & {"val", "test"}:
        return False
    others = sorted(part for part in first_parts if part.lower() not in SPLIT_FOLDERS)
    if others:
        listed = ", ".join(other or "images outside of all folders" for other in others)
        raise DatasetInvalid(
            f"{folder} has folders for training and for validation or test, and beside them "
            f"{listed}: move these into one of the folders, or out of {folder}"
        )
    return True


def _notes(
    decoded: list[_Decoded],
    pixels: np.ndarray,
    splits: np.ndarray | None,
    skipped: list[str],
    errors: list[str],
) -> tuple[str, ...]:
    """What a user has to know about the images of a folder."""
    notes: list[str] = []
    total = len(decoded)
    if splits is not None:
        counts = np.bincount(splits, minlength=len(SPLITS))
        listed = ", ".join(
            f"{count} {name}" for name, count in zip(SPLITS, counts, strict=True) if count
        )
        notes.append(f"the folders are splits, which are kept: {listed}")
        for name, count in zip(SPLITS, counts, strict=True):
            if count == 0:
                notes.append(f"there is no folder {name}: its images are taken from train")
    cropped = [image.lost_share for image in decoded if image.lost_share > MIN_CROP]
    if cropped:
        notes.append(
            f"{len(cropped)} of {total} images are not square and were cropped to their center: "
            f"up to {max(cropped):.0%} of an image is lost"
        )
    deep = [image.facts.largest for image in decoded if image.facts.largest is not None]
    if deep:
        notes.append(
            f"{len(deep)} of {total} images have 16 bits per value, up to {max(deep)}: they are "
            "stored with 8 bits"
        )
    animated = sum(image.facts.frames > 1 for image in decoded)
    if animated:
        notes.append(f"{animated} of {total} files contain several images: the first one is used")
    if pixels.size and pixels.max() <= DARK:
        notes.append(
            f"no pixel of the images is brighter than {pixels.max()} of 255: they are nearly black"
        )
    if errors:
        notes.append(f"{_files(len(errors))} damaged and skipped: {_listed(errors)}")
    if skipped:
        notes.append(f"{_files(len(skipped))} no image and skipped: {_listed(skipped)}")
    return tuple(notes)


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


def write_imported(path: Path, folder: DecodedFolder, source: Path) -> None:
    """Write decoded images to a safetensors file, atomically. `source` is recorded in it."""
    from safetensors.numpy import save_file

    arrays = {"pixels": folder.images.pixels, "labels": folder.images.labels}
    if folder.splits is not None:
        arrays["splits"] = folder.splits
    metadata = {
        "class_names": json.dumps(folder.class_names),
        "source": str(source),
        "notes": json.dumps(folder.notes),
        "max_value": json.dumps(folder.max_value),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(arrays, temporary, metadata=metadata)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def imported_shape(path: Path) -> tuple[int, ...]:
    """Return N, C, H, W of an imported data set, from its file's header. Raises DatasetDamaged."""
    from safetensors import SafetensorError, safe_open

    try:
        check_regular(path)
        with safe_open(path, framework="numpy") as file:
            return tuple(file.get_slice("pixels").get_shape())
    except (OSError, SafetensorError) as error:
        raise _not_imported(path, error) from None


def read_imported(path: Path) -> DecodedFolder:
    """Return the images that `write_imported` wrote. Raises DatasetDamaged."""
    from safetensors import SafetensorError, safe_open

    try:
        check_regular(path)
        with safe_open(path, framework="numpy") as file:
            pixels = file.get_tensor("pixels")
            labels = file.get_tensor("labels")
            metadata = file.metadata() or {}
            class_names = json.loads(metadata["class_names"])
            notes, max_value = _read_metadata(metadata)
            splits = None
            if "splits" in file.keys():  # noqa: SIM118  # not a dictionary
                splits = file.get_tensor("splits")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise _not_imported(path, error) from None
    valid_arrays = (
        pixels.dtype == np.uint8 and pixels.ndim == 4 and labels.shape == pixels.shape[:1]
    )
    if not valid_arrays or not _is_list_of_strings(class_names):
        raise DatasetDamaged(
            f"{path}: expected uint8 images N x C x H x W, N labels and the names of the classes, "
            f"found {pixels.dtype} {pixels.shape}, {len(labels)} labels, {class_names!r:.80}"
        )
    labels = validate_labels(labels, path, len(class_names))
    if splits is not None:
        is_valid = splits.shape == labels.shape and splits.dtype == np.uint8
        if not is_valid or splits.max(initial=0) >= len(SPLITS):
            raise DatasetDamaged(
                f"{path}: expected the split of each of {len(labels)} images, "
                f"found {splits.dtype} {splits.shape}"
            )
    return DecodedFolder(Split(pixels, labels), tuple(class_names), splits, notes, max_value)


def _read_metadata(metadata: Mapping[str, str]) -> tuple[tuple[str, ...], int | None]:
    """Notes and `max_value` of an import; older ones have neither."""
    notes = json.loads(metadata.get("notes", "[]"))
    max_value = json.loads(metadata.get("max_value", "null"))
    if not _is_list_of_strings(notes) or not isinstance(max_value, int | None):
        raise ValueError("its notes or its max_value are of another type")
    return tuple(notes), max_value


def _not_imported(path: Path, error: Exception) -> DatasetDamaged:
    return DatasetDamaged(
        f"{path}: expected a file of `cae-sweep data import`, found: {describe_error(error)}"
    )


def _is_list_of_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
