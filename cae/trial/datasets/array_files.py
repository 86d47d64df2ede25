"""Arrays in files: npy, npz, safetensors and TIFF stacks, and folders of npy and TIFF files.

`open_arrays` reads headers only: names, shapes and types. Nothing is unpickled, and no array is
read whose header states more bytes than the file or the memory has.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cae.container_limits import memory_limit
from cae.files import check_regular
from cae.trial.datasets.errors import DatasetDamaged, DatasetInvalid, describe_error
from cae.trial.datasets.folder_files import leads_out
from cae.trial.datasets.tiff_files import open_tiff

FILE_SUFFIXES = (".npy", ".npz", ".safetensors", ".tif", ".tiff")
FOLDER_SUFFIXES = (".npy", ".tif", ".tiff")
"""Files of which each contains one array: in a folder, their names are those of the arrays."""
MAX_ARRAYS = 1000
SAFETENSORS_TYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
}
LOCAL_HEADER_BYTES = 30
"""Bytes of the header of a file in a zip archive, before its name."""
CHUNK_BYTES = 2**24


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, of which the header was read."""

    name: str
    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], np.ndarray]
    """Reads the array. Raises DatasetDamaged and DatasetInvalid."""
    offset: int | None = None
    """Where its bytes begin in the file; None if they are not there as they are in memory: in
    another order, or compressed."""
    axes: str = ""
    """What the axes are, if the file states it (TIFF): `IYX`, `TCYX`, ..."""

    @property
    def nbytes(self) -> int:
        """Size in memory in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def describe(self) -> str:
        """Return name, type and shape for a message."""
        return f"{self.name}: {self.dtype.name} {' x '.join(map(str, self.shape)) or 'a number'}"


def open_arrays(path: Path) -> dict[str, StoredArray]:
    """Return the arrays of a file, or of the files of a folder, by name.

    Raises DatasetDamaged for files that are not of their format or incomplete, and DatasetInvalid
    for arrays of Python objects and files of other formats.
    """
    if path.is_dir():
        return _open_folder(path)
    readers = {".npy": _open_npy, ".npz": _open_npz, ".safetensors": _open_safetensors}
    suffix = path.suffix.lower()
    try:
        check_regular(path)
        if suffix in (".tif", ".tiff"):
            arrays = [_open_tiff(path)]
        elif suffix in readers:
            arrays = readers[suffix](path)
        else:
            raise DatasetInvalid(
                f"{path}: should be a file of arrays, with the suffix {', '.join(FILE_SUFFIXES)}"
            )
    except OSError as error:
        raise DatasetDamaged(f"{path}: cannot be read: {describe_error(error)}") from None
    if len(arrays) > MAX_ARRAYS:
        raise DatasetInvalid(
            f"{path}: it contains {len(arrays):,} arrays: should have at most {MAX_ARRAYS:,}"
        )
    by_name: dict[str, StoredArray] = {}
    for array in arrays:
        if array.name in by_name:
            raise DatasetInvalid(f"{path}: there are two arrays of the name {array.name}")
        by_name[array.name] = array
    return by_name


def read_class_names(path: Path, arrays: Mapping[str, StoredArray]) -> tuple[str, ...]:
    """Return the names of the classes: the array `class_names` of texts, or an entry of that name
    in the metadata of a safetensors file, a list in JSON. Empty if there is neither."""
    array = arrays.get("class_names")
    if array is not None and array.dtype.kind == "U":
        return tuple(str(name) for name in array.read().ravel())
    if path.suffix.lower() != ".safetensors":
        return ()
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        text = (file.metadata() or {}).get("class_names", "[]")
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DatasetInvalid(
            f"{path}: class_names in its metadata is {text!r:.60}: should be a list of texts in "
            'JSON, such as ["cat", "dog"]'
        )
    return tuple(names)


def check_memory(array: StoredArray) -> None:
    """Raise DatasetInvalid if an array does not fit into the memory of this process."""
    limit = memory_limit()
    if array.nbytes > limit:
        raise DatasetInvalid(
            f"{array.path}: its header states {array.describe()}, {array.nbytes / 1e9:,.1f} GB: "
            f"more than the {limit / 1e9:,.1f} GB of memory that this process may use"
        )


def _open_folder(folder: Path) -> dict[str, StoredArray]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in FOLDER_SUFFIXES)
    root = folder.resolve()
    for file in files:  # somebody else may have made the folder
        if leads_out(str(file), str(root)):
            raise DatasetInvalid(f"{file} is a link out of its folder: copy the file instead")
    if not files:
        raise DatasetInvalid(
            f"{folder}: there are no arrays in it ({', '.join(FOLDER_SUFFIXES)}); "
            "for a folder of images, use ImageFolder(path=...)"
        )
    arrays: dict[str, StoredArray] = {}
    for file in files[: MAX_ARRAYS + 1]:
        for name, array in open_arrays(file).items():
            if name in arrays:
                raise DatasetInvalid(f"{folder}: there are two files of the name {name}")
            arrays[name] = array
    return arrays


# npy


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_c_order: bool
    length: int
    """Bytes of the header."""


def _read_npy_header(file: BinaryIO, what: str) -> _Header:
    """The header of the npy format. Raises DatasetDamaged and DatasetInvalid."""
    npy = np.lib.format
    try:
        version = npy.read_magic(file)
        if version == (1, 0):
            shape, is_fortran, dtype = npy.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, is_fortran, dtype = npy.read_array_header_2_0(file)
        else:  # 3.0 is for field names that are not latin-1
            raise ValueError(f"version {version}")
        if min(shape, default=0) < 0:
            raise ValueError(f"the shape {shape}")
    except (ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DatasetDamaged(
            f"{what}: expected an array that numpy.save wrote, found: {describe_error(error)}"
        ) from None
    if dtype.hasobject:
        raise DatasetInvalid(
            f"{what}: it contains Python objects, which are never read: unpickling them could run "
            "code; save an array of numbers, such as numpy.stack(images)"
        )
    is_c_order = not is_fortran or len(shape) < 2
    return _Header(tuple(shape), dtype, is_c_order, file.tell())


def _open_npy(path: Path) -> list[StoredArray]:
    with path.open("rb") as file:
        header = _read_npy_header(file, str(path))
    expected = header.length + math.prod(header.shape) * header.dtype.itemsize
    size = path.stat().st_size
    if size < expected:
        raise DatasetDamaged(
            f"{path}: expected {expected:,} bytes for the header's {header.dtype.name} "
            f"{' x '.join(map(str, header.shape))}, found {size:,} bytes"
        )

    def read() -> np.ndarray:
        return np.asarray(np.load(path, allow_pickle=False))

    offset = header.length if header.is_c_order else None
    return [StoredArray(path.stem, path, header.shape, header.dtype, read, offset)]


# npz


def _open_npz(path: Path) -> list[StoredArray]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [item for item in archive.infolist() if item.filename.endswith(".npy")]
            return [_open_member(path, archive, item) for item in members[: MAX_ARRAYS + 1]]
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise DatasetDamaged(
            f"{path}: expected an archive that numpy.savez wrote, found: {describe_error(error)}"
        ) from None


def _open_member(path: Path, archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> StoredArray:
    name = item.filename.removesuffix(".npy")
    what = f"{path}: {name}"
    with archive.open(item) as file:
        header = _read_npy_header(file, what)  # type: ignore[arg-type]
    expected = header.length + math.prod(header.shape) * header.dtype.itemsize
    if item.file_size != expected:
        raise DatasetDamaged(
            f"{what}: expected {expected:,} bytes for the header's {header.dtype.name} "
            f"{' x '.join(map(str, header.shape))}, found {item.file_size:,} bytes"
        )
    offset = None
    if item.compress_type == zipfile.ZIP_STORED and header.is_c_order:
        offset = _data_offset(path, item) + header.length

    def read() -> np.ndarray:
        return _read_member(path, item.filename, header, what)

    return StoredArray(name, path, header.shape, header.dtype, read, offset)


def _data_offset(path: Path, item: zipfile.ZipInfo) -> int:
    """Where the bytes of a file begin in its archive."""
    with path.open("rb") as file:
        file.seek(item.header_offset)
        header = file.read(LOCAL_HEADER_BYTES)
    name_length = int.from_bytes(header[26:28], "little")
    extra_length = int.from_bytes(header[28:30], "little")
    return item.header_offset + LOCAL_HEADER_BYTES + name_length + extra_length


def _read_member(path: Path, member: str, header: _Header, what: str) -> np.ndarray:
    """An array of an archive, decompressed into memory of the size that its header states."""
    count = math.prod(header.shape)
    content = np.empty(count * header.dtype.itemsize, np.uint8)
    view = memoryview(content)  # type: ignore[arg-type]
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            file.read(header.length)
            position = 0
            while position < len(view):
                chunk = file.read(min(CHUNK_BYTES, len(view) - position))
                if not chunk:
                    raise EOFError
                view[position : position + len(chunk)] = chunk
                position += len(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise DatasetDamaged(f"{what}: the file is damaged: {describe_error(error)}") from None
    array = content.view(header.dtype)
    if header.is_c_order:
        return array.reshape(header.shape)
    return array.reshape(header.shape[::-1]).transpose()


# safetensors


def _open_safetensors(path: Path) -> list[StoredArray]:
    from safetensors import SafetensorError, safe_open

    arrays: list[StoredArray] = []
    try:
        with safe_open(path, framework="numpy") as file:  # checks the header and the file's size
            names = list(file.keys())
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(header_bytes))
    except (SafetensorError, ValueError) as error:
        raise DatasetDamaged(
            f"{path}: expected a safetensors file, found: {describe_error(error)}"
        ) from None
    for name in names:
        entry = header[name]
        type_name = SAFETENSORS_TYPES.get(entry["dtype"])
        if type_name is None:
            raise DatasetInvalid(
                f"{path}: {name} is of the type {entry['dtype']}: should be one of "
                f"{', '.join(SAFETENSORS_TYPES)}"
            )
        offset = 8 + header_bytes + int(entry["data_offsets"][0])
        arrays.append(_safetensors_array(path, name, tuple(entry["shape"]), type_name, offset))
    return arrays


def _safetensors_array(
    path: Path, name: str, shape: tuple[int, ...], type_name: str, offset: int
) -> StoredArray:
    def read() -> np.ndarray:
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            return np.asarray(file.get_tensor(name))

    return StoredArray(name, path, shape, np.dtype(type_name), read, offset)


# TIFF


def _open_tiff(path: Path) -> StoredArray:
    stack = open_tiff(path)
    return StoredArray(
        path.stem, path, stack.shape, stack.dtype, stack.read, stack.offset, stack.axes
    )
