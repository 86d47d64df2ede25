"""The file of `cae-sweep data import`: decoded images in the format of safetensors."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cae.files import check_regular, reserve_space
from cae.trial.datasets.array_files import SAFETENSORS_TYPES, StoredArray, open_arrays
from cae.trial.datasets.errors import DatasetDamaged, describe_error
from cae.trial.datasets.files import validate_labels
from cae.trial.datasets.folder_labels import SPLITS
from cae.trial.datasets.image_files import DecodedFolder
from cae.trial.datasets.image_memory import choose_streaming
from cae.trial.datasets.mapped import MappedPixels, map_file
from cae.trial.datasets.pixel_values import BYTE_RANGE, ValueRange, check_value_range
from cae.trial.datasets.splits import Split, pixel_blocks

IMPORTED_FILE = "images.safetensors"
"""Name of the only file in the folder of an imported data set."""
PIXEL_TYPES = ("uint8", "uint16", "float32")


def temporary_file(path: Path) -> Path:
    """Return the name of a file beside `path` that is removed if its process was killed."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def create_pixel_file(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return an array in a new file, for images that do not fit into the memory."""
    needed = int(np.prod(shape)) * dtype.itemsize
    free = shutil.disk_usage(path.parent).free
    if 2 * needed > free:  # and once more for the result
        raise OSError(
            28, f"{2 * needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free", str(path)
        )
    with path.open("wb") as file:
        reserve_space(file.fileno(), needed)
    return np.memmap(path, dtype, "r+", shape=shape)


def write_imported(path: Path, folder: DecodedFolder, source: Path) -> None:
    """Write decoded images to a safetensors file, atomically. `source` is recorded in it.

    A block of images at a time: the library's own function needs all bytes in memory.
    """
    arrays = {"pixels": folder.images.pixels, "labels": folder.images.labels}
    if folder.splits is not None:
        arrays["splits"] = folder.splits
    metadata = {
        "class_names": json.dumps(folder.class_names),
        "source": str(source),
        "notes": json.dumps(folder.notes),
        "max_value": json.dumps(folder.max_value),
        "fit": json.dumps(folder.fit),
        "class_folders": json.dumps(folder.class_folders),
        "value_range": json.dumps(folder.value_range),
    }
    temporary = temporary_file(path)
    try:
        with temporary.open("wb") as file:
            file.write(_header(arrays, metadata))
            for array in arrays.values():
                for block in pixel_blocks(array):
                    file.write(np.ascontiguousarray(block).data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _header(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """The header of a safetensors file: its length, and JSON padded to whole words."""
    names = {name: code for code, name in SAFETENSORS_TYPES.items()}
    entries: dict[str, object] = {"__metadata__": metadata}
    start = 0
    for name, array in arrays.items():
        end = start + array.nbytes
        entries[name] = {
            "dtype": names[array.dtype.name],
            "shape": array.shape,
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def imported_shape(path: Path) -> tuple[int, ...]:
    """Return N, C, H, W of an imported data set, from its file's header. Raises DatasetDamaged."""
    return _open(path)["pixels"].shape


def imported_options(path: Path) -> dict[str, str]:
    """Return `fit` and `class_folders` of an imported data set, from its file's header.

    Empty if they are damaged; reading the images reports it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = _read_metadata(file.metadata() or {})
    except (OSError, SafetensorError, KeyError, ValueError):
        return {}
    return {"fit": metadata.fit, "class_folders": metadata.class_folders}


def _open(path: Path) -> dict[str, StoredArray]:
    try:
        check_regular(path)
        arrays = open_arrays(path)
    except (OSError, DatasetDamaged) as error:
        raise _not_imported(path, error) from None
    if "pixels" not in arrays or "labels" not in arrays:
        raise _not_imported(path, KeyError("pixels, labels"))
    return arrays


@dataclass(frozen=True)
class _Metadata:
    """What an import recorded about its images."""

    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    max_value: int | None
    fit: str
    class_folders: str
    value_range: ValueRange


def read_imported(path: Path) -> DecodedFolder:
    """Return the images that `write_imported` wrote; they stay on the disk if they are large.

    Raises DatasetDamaged.
    """
    from safetensors import SafetensorError, safe_open

    arrays = _open(path)
    stored = arrays["pixels"]
    if stored.dtype.name not in PIXEL_TYPES or len(stored.shape) != 4:
        raise _not_imported(path, ValueError(stored.describe()))
    is_streamed, note = choose_streaming(stored.nbytes, can_stream=True, what=str(path))
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = _read_metadata(file.metadata() or {})
            labels = file.get_tensor("labels")
            splits = None
            if "splits" in arrays:
                splits = file.get_tensor("splits")
            pixels: np.ndarray | MappedPixels
            if is_streamed:
                assert stored.offset is not None
                pixels = map_file(
                    path, stored.offset, stored.shape, stored.dtype, "NCHW", stored.dtype
                )
            else:
                pixels = file.get_tensor("pixels")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise _not_imported(path, error) from None
    if labels.shape != stored.shape[:1]:
        raise DatasetDamaged(
            f"{path}: expected images N x C x H x W and N labels, found {stored.describe()}, "
            f"{len(labels)} labels"
        )
    labels = validate_labels(labels, path, len(metadata.class_names))
    if splits is not None:
        is_valid = splits.shape == labels.shape and splits.dtype == np.uint8
        if not is_valid or splits.max(initial=0) >= len(SPLITS):
            raise DatasetDamaged(
                f"{path}: expected the split of each of {len(labels)} images, "
                f"found {splits.dtype} {splits.shape}"
            )
    notes = metadata.notes
    if note:
        notes = (*notes, note)
    return DecodedFolder(
        Split(pixels, labels),
        metadata.class_names,
        splits,
        notes,
        metadata.max_value,
        metadata.value_range,
        metadata.fit,
        metadata.class_folders,
    )


def _read_metadata(metadata: Mapping[str, str]) -> _Metadata:
    """What an import recorded; older ones have less. Raises KeyError and ValueError."""
    class_names = json.loads(metadata["class_names"])
    notes = json.loads(metadata.get("notes", "[]"))
    max_value = json.loads(metadata.get("max_value", "null"))
    fit = json.loads(metadata.get("fit", '"crop"'))
    class_folders = json.loads(metadata.get("class_folders", '"first"'))
    value_range = check_value_range(json.loads(metadata.get("value_range", str(list(BYTE_RANGE)))))
    is_valid = _is_list_of_strings(class_names) and _is_list_of_strings(notes)
    if not is_valid or not isinstance(max_value, int | None):
        raise ValueError("its classes, its notes or its max_value are of another type")
    return _Metadata(
        tuple(class_names), tuple(notes), max_value, str(fit), str(class_folders), value_range
    )


def _not_imported(path: Path, error: Exception) -> DatasetDamaged:
    return DatasetDamaged(
        f"{path}: expected a file of `cae-sweep data import`, found: {describe_error(error)}"
    )


def _is_list_of_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
