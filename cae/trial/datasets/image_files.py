"""Folders of image files: find, decode and resize the images; store and read the decoded ones."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cae.trial.datasets.errors import DatasetDamaged, describe_error
from cae.trial.datasets.files import validate_labels
from cae.trial.datasets.splits import Split

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
IMPORTED_FILE = "images.safetensors"
"""Name of the only file in the folder of an imported data set."""
MAX_REPORTED_FILES = 5
"""Number of damaged files that a message names."""


class DecodedFolder(NamedTuple):
    """The images of a folder, resized, and the names of their classes."""

    images: Split
    class_names: tuple[str, ...]


def find_images(folder: Path) -> list[Path]:
    """Return the image files in a folder and its subfolders, sorted by their path within it.

    Symbolic links are followed; hidden files and folders are skipped.
    """
    images: list[Path] = []
    visited: set[str] = set()
    for parent, subfolders, names in os.walk(folder, followlinks=True):
        real_parent = os.path.realpath(parent)
        if real_parent in visited:  # a link to a parent folder would lead to an endless loop
            subfolders.clear()
            continue
        visited.add(real_parent)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES):
                images.append(Path(parent, name))
    return sorted(images, key=lambda path: path.relative_to(folder).parts)


def decode_folder(folder: Path, size: int, channels: int) -> DecodedFolder:
    """Return all images of a folder as `decode_image` returns them.

    The class of an image is the first folder within `folder` on its path; images directly in
    `folder` form a class with the folder's own name. Raises DatasetDamaged with the files that
    cannot be decoded.
    """
    files = find_images(folder)
    classes = [_class_name(path, folder) for path in files]
    class_names = sorted(set(classes))
    class_numbers = {name: number for number, name in enumerate(class_names)}
    labels = np.array([class_numbers[name] for name in classes], np.int64)
    pixels = np.empty((len(files), channels, size, size), np.uint8)

    def decode(index: int) -> str:
        """Decode one image; return its error, or nothing."""
        try:
            pixels[index] = decode_image(files[index], size, channels)
        except Exception as error:
            # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ... on damage.
            return f"{files[index].relative_to(folder)} ({describe_error(error)})"
        return ""

    # Pillow releases the interpreter lock while it decodes and resizes: threads run in parallel.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        errors = [error for error in pool.map(decode, range(len(files))) if error]
    if errors:
        reported = "; ".join(errors[:MAX_REPORTED_FILES])
        if len(errors) > MAX_REPORTED_FILES:
            reported = f"{reported} and {len(errors) - MAX_REPORTED_FILES} more"
        raise DatasetDamaged(
            f"{folder}: {len(errors)} of {len(files)} images cannot be decoded: {reported}"
        )
    return DecodedFolder(Split(pixels, labels), tuple(class_names))


def _class_name(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder).parts
    if len(parts) > 1:
        return parts[0]
    return folder.resolve().name


def decode_image(path: Path, size: int, channels: int) -> np.ndarray:
    """Return one image as uint8, C x size x size, in 1 or 3 channels.

    The image is rotated as its EXIF data requires, drawn over white where it is transparent, its
    shorter side is resized to `size`, and a centered square is cropped.
    """
    from PIL import Image, ImageOps

    mode = "RGB"
    if channels == 1:
        mode = "L"
    with Image.open(path) as file:
        image = _convert(ImageOps.exif_transpose(file), mode)
    scale = size / min(image.size)
    width = max(size, round(image.width * scale))
    height = max(size, round(image.height * scale))
    if (width, height) != image.size:
        # Lanczos is the filter that Pillow called ANTIALIAS, which report 001 used.
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    left = (width - size) // 2
    top = (height - size) // 2
    pixels = np.asarray(image.crop((left, top, left + size, top + size)))
    return pixels.reshape(size, size, channels).transpose(2, 0, 1)


def _convert(image: Image, mode: str) -> Image:
    from PIL import Image

    if image.mode.startswith("I"):
        # 16 bits per pixel: Pillow would clip the values at 255 instead of scaling them.
        values = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(background, image)
    return image.convert(mode)


def write_imported(path: Path, folder: DecodedFolder, source: Path) -> None:
    """Write decoded images to a safetensors file, atomically. `source` is recorded in it."""
    from safetensors.numpy import save_file

    arrays = {"pixels": folder.images.pixels, "labels": folder.images.labels}
    metadata = {"class_names": json.dumps(folder.class_names), "source": str(source)}
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
        with safe_open(path, framework="numpy") as file:
            return tuple(file.get_slice("pixels").get_shape())
    except (OSError, SafetensorError) as error:
        raise _not_imported(path, error) from None


def read_imported(path: Path) -> DecodedFolder:
    """Return the images that `write_imported` wrote. Raises DatasetDamaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            pixels = file.get_tensor("pixels")
            labels = file.get_tensor("labels")
            metadata = file.metadata() or {}
            class_names = json.loads(metadata["class_names"])
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
    return DecodedFolder(Split(pixels, labels), tuple(class_names))


def _not_imported(path: Path, error: Exception) -> DatasetDamaged:
    return DatasetDamaged(
        f"{path}: expected a file of `cae-sweep data import`, found: {describe_error(error)}"
    )


def _is_list_of_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
