"""The files of CIFAR-10, in its binary version and in its python version (pickles).

The pickles are read without running code: the unpickler creates arrays of numpy and nothing else.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from cae.trial.datasets.errors import DatasetDamaged, describe_error
from cae.trial.datasets.files import read_bytes, validate_labels
from cae.trial.datasets.splits import Split

IMAGES_PER_FILE = 10_000
"""The binary version has no header: only this number distinguishes a truncated file from a complete
one."""
CLASSES = 10
MAX_CLASSES = 1000
"""Of sets in the same layout."""
PIXEL_BYTES = 3 * 32 * 32
"""Bytes of an image: planes of 32 x 32 in red, green and blue."""
RECORD_BYTES = 1 + PIXEL_BYTES
"""Bytes of an image with its label in the binary version."""


def read_cifar(paths: Sequence[Path]) -> Split:
    """Return the images (N x 3 x 32 x 32) and labels of files of 10,000 images each.

    Files that end in `.bin` are of the binary version, all others of the python version. Raises
    DatasetDamaged.
    """
    pixels = np.empty((len(paths), IMAGES_PER_FILE, 3, 32, 32), np.uint8)
    labels = np.empty((len(paths), IMAGES_PER_FILE), np.int64)
    for index, path in enumerate(paths):
        if path.suffix == ".bin":
            split = _read_binary(path)
        else:
            split = _read_pickle(path)
        pixels[index] = split.pixels
        labels[index] = split.labels
    return Split(pixels.reshape(-1, 3, 32, 32), labels.reshape(-1))


def _read_binary(path: Path) -> Split:
    data = read_bytes(path)
    expected_bytes = IMAGES_PER_FILE * RECORD_BYTES
    if len(data) != expected_bytes:
        raise DatasetDamaged(
            f"{path}: expected {expected_bytes:,} bytes ({IMAGES_PER_FILE:,} images of "
            f"{RECORD_BYTES:,}), found {len(data):,}"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD_BYTES)
    pixels = records[:, 1:].reshape(-1, 3, 32, 32)
    return Split(pixels, validate_labels(records[:, 0], path, CLASSES))


def _read_pickle(path: Path) -> Split:
    entries = _read_entries(path)
    pixels = _validate_pixels(entries.get("data"), path)
    labels = _validate_label_list(entries.get("labels"), path, IMAGES_PER_FILE)
    return Split(pixels.reshape(-1, 3, 32, 32), validate_labels(labels, path, CLASSES))


@dataclass(frozen=True)
class CifarFile:
    """The content of a file in the layout of CIFAR-10 or CIFAR-100."""

    pixels: np.ndarray
    """uint8, N x 3 x H x W."""
    labels: dict[str, np.ndarray]
    """Class numbers by kind: `only`, or `coarse` and `fine`."""


def read_cifar_layout(path: Path, height: int, width: int) -> CifarFile:
    """Return the images and labels of one file with any number of images.

    A file that ends in `.bin` consists of records: one label (CIFAR-10), or a coarse and a fine one
    (CIFAR-100), and planes of height x width in red, green and blue. All others are pickles of the
    python version. Raises DatasetDamaged.
    """
    pixel_bytes = 3 * height * width
    if path.suffix != ".bin":
        return _read_pickled_layout(path, height, width)
    data = np.frombuffer(read_bytes(path), np.uint8)
    fitting = [count for count in (1, 2) if len(data) and len(data) % (count + pixel_bytes) == 0]
    if len(fitting) != 1:
        raise DatasetDamaged(
            f"{path}: expected records of {1 + pixel_bytes:,} bytes (one label) or of "
            f"{2 + pixel_bytes:,} bytes (two labels) with 3 x {height} x {width} pixels, found "
            f"{len(data):,} bytes"
        )
    records = data.reshape(-1, fitting[0] + pixel_bytes)
    labels = {"only": records[:, 0]}
    if fitting == [2]:
        labels = {"coarse": records[:, 0], "fine": records[:, 1]}
    pixels = records[:, fitting[0] :].reshape(-1, 3, height, width)
    return CifarFile(pixels, labels)


def _read_pickled_layout(path: Path, height: int, width: int) -> CifarFile:
    entries = _read_entries(path)
    data = entries.get("data")
    expected = f"{path}: expected `data` to be uint8 (N, {3 * height * width})"
    if not isinstance(data, np.ndarray):
        raise DatasetDamaged(f"{expected}, found {type(data).__name__}")
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3 * height * width:
        raise DatasetDamaged(f"{expected}, found {data.dtype} {data.shape}")
    labels: dict[str, np.ndarray] = {}
    for kind, key in (("only", "labels"), ("coarse", "coarse_labels"), ("fine", "fine_labels")):
        if key in entries:
            numbers = _validate_label_list(entries[key], path, len(data), key)
            labels[kind] = validate_labels(numbers, path, MAX_CLASSES)
    if not labels:
        raise DatasetDamaged(f"{path}: expected `labels`, or `coarse_labels` and `fine_labels`")
    return CifarFile(data.reshape(-1, 3, height, width), labels)


def read_class_names(folder: Path, kind: str) -> tuple[str, ...]:
    """Return the names of the classes from the files of the publisher; empty if there are none.

    `kind`: `only`, `coarse` or `fine`. Raises DatasetDamaged.
    """
    key = {"only": "label_names", "coarse": "coarse_label_names", "fine": "fine_label_names"}[kind]
    text_file = folder / f"{key}.txt"
    if kind == "only":
        text_file = folder / "batches.meta.txt"
    if text_file.is_file():
        text = read_bytes(text_file).decode("utf-8", errors="backslashreplace")
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    for name in ("batches.meta", "meta"):
        if (folder / name).is_file():
            names = _read_entries(folder / name).get(key)
            if isinstance(names, list):
                return tuple(str(_decode_key(item)) for item in names)
    return ()


def _read_entries(path: Path) -> dict[object, object]:
    """The dictionary of a pickle. Raises DatasetDamaged."""
    batch = _unpickle(path)
    if not isinstance(batch, dict):
        raise DatasetDamaged(f"{path}: expected a dictionary, found {type(batch).__name__}")
    # Python 2 wrote the published files: their keys are bytes.
    return {_decode_key(key): value for key, value in batch.items()}


def _decode_key(key: object) -> object:
    if isinstance(key, bytes):
        return key.decode("latin1")
    return key


def _validate_pixels(data: object, path: Path) -> np.ndarray:
    expected_shape = (IMAGES_PER_FILE, PIXEL_BYTES)
    expected = f"{path}: expected `data` to be uint8 {expected_shape}"
    if not isinstance(data, np.ndarray):
        raise DatasetDamaged(f"{expected}, found {type(data).__name__}")
    if data.dtype != np.uint8 or data.shape != expected_shape:
        raise DatasetDamaged(f"{expected}, found {data.dtype} {data.shape}")
    return data


def _validate_label_list(labels: object, path: Path, count: int, key: str = "labels") -> np.ndarray:
    expected = f"{path}: expected `{key}` to be a list of {count} integers"
    if not isinstance(labels, list):
        raise DatasetDamaged(f"{expected}, found {type(labels).__name__}")
    if len(labels) != count:
        raise DatasetDamaged(f"{expected}, found {len(labels)}")
    for label in labels:
        if type(label) is not int:
            raise DatasetDamaged(f"{expected}, found {type(label).__name__}")
    # Integers that do not fit int64 are refused by their value: an array of objects contains them.
    return np.array(labels, dtype=object)


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"the encoding {encoding!r} is not allowed")
    return text.encode("latin1")


# numpy's own function, without importing a name that newer versions deprecate.
_RECONSTRUCT_ARRAY = cast(Callable[..., object], np.empty(0).__reduce__()[0])

_ALLOWED: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT_ARRAY,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT_ARRAY,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    # Python 3 writes bytes in this form with protocols 0 to 2.
    ("_codecs", "encode"): _encode,
}
"""The classes and functions that a pickle may use, by module and name."""


class _ArrayUnpickler(pickle.Unpickler):
    """Creates numbers, strings, lists, dictionaries and arrays of numpy, and nothing else."""

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"{module}.{name} is not allowed: it is no part of an array and could run code; "
                "it was not run"
            ) from None


def _unpickle(path: Path) -> object:
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="bytes").load()
    except Exception as error:
        # Damaged pickles raise nearly anything: EOFError, KeyError, MemoryError, ValueError, ...
        raise DatasetDamaged(
            f"{path}: expected a pickled dictionary of arrays, found: {describe_error(error)}"
        ) from None
