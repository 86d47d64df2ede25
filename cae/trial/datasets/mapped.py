"""Images that stay on the disk: they are read when a batch needs them.

They are read by position, and not through a mapping of the file into memory: reading a file that
was truncated meanwhile is then an error in words and not the end of the process.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cae.trial.datasets.errors import DatasetDamaged, DatasetMissing
from cae.trial.datasets.pixel_values import block_length

AXES_OF_LAYOUT = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 3, 1, 2)}
"""The order of axes that makes N x C x H x W of a layout."""


@dataclass(frozen=True)
class FileRegion:
    """Images in a file, one after another."""

    path: Path
    offset: int
    """Where the first one begins, in bytes."""
    count: int
    stored_shape: tuple[int, int, int]
    """The shape of an image in the file: C, H, W or H, W, C."""
    stored_dtype: str
    layout: str
    """NCHW or NHWC."""
    size: int
    """Size of the file in bytes, and when it was changed: another one is not read."""
    mtime_ns: int

    @property
    def image_bytes(self) -> int:
        """Bytes of an image in the file."""
        return math.prod(self.stored_shape) * np.dtype(self.stored_dtype).itemsize


@dataclass(eq=False)
class MappedPixels:
    """Some images of a file, N x C x H x W; used like an array, read when they are indexed.

    It can be sent to other processes and hosts, which read the same file.
    """

    region: FileRegion
    dtype: np.dtype[Any]
    """The type that images have in memory."""
    indices: np.ndarray
    """The images, N numbers within the file."""
    digests: np.ndarray | None = None
    """A digest of each image, N x 16 bytes; None if they were not computed."""
    _file: int | None = field(default=None, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N, C, H, W."""
        stored = (0, *self.region.stored_shape)
        _, channels, height, width = (stored[axis] for axis in AXES_OF_LAYOUT[self.region.layout])
        return len(self.indices), channels, height, width

    @property
    def nbytes(self) -> int:
        """Size that the images would have in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, positions: slice | np.ndarray) -> np.ndarray:
        """Read the images at these positions: N x C x H x W in C order."""
        return self._read(self.indices[positions])

    def select(self, positions: np.ndarray) -> MappedPixels:
        """Return some of the images, without reading them."""
        digests = None
        if self.digests is not None:
            digests = self.digests[positions]
        return MappedPixels(self.region, self.dtype, self.indices[positions], digests)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield all images in their order, a block at a time."""
        length = block_length(self.region.stored_shape, np.dtype(self.region.stored_dtype).itemsize)
        for start in range(0, len(self), length):
            yield self[start : start + length]

    def _read(self, numbers: np.ndarray) -> np.ndarray:
        region = self.region
        stored = np.empty((len(numbers), *region.stored_shape), region.stored_dtype)
        file = self._open()
        rows = stored.view(np.uint8).reshape(len(numbers), region.image_bytes)
        # In the order of the file: a disk reads forwards. Neighbours are read together.
        order = np.argsort(numbers, kind="stable")
        for first, last in _runs(numbers[order]):
            offset = region.offset + int(numbers[order[first]]) * region.image_bytes
            buffers = [rows[position] for position in order[first:last]]
            self._read_into(file, buffers, offset)
        self._check_unchanged(file)
        images = stored.transpose(AXES_OF_LAYOUT[region.layout])
        return np.ascontiguousarray(images, dtype=self.dtype)

    def _read_into(self, file: int, buffers: list[np.ndarray], offset: int) -> None:
        """Fill the buffers, which are one after another in the file."""
        expected = len(buffers) * self.region.image_bytes
        count = os.preadv(file, buffers, offset)  # type: ignore[arg-type]
        if count == expected:
            return
        for buffer in buffers:  # interrupted, or a truncated file
            content = os.pread(file, len(buffer), offset)
            if len(content) != len(buffer):
                raise DatasetDamaged(
                    f"{self.region.path}: it ends too early: it was changed while it was read"
                )
            buffer[:] = np.frombuffer(content, np.uint8)
            offset += len(buffer)

    def _open(self) -> int:
        """The open file. Raises DatasetMissing if it is another one than when it was planned."""
        with self._lock:
            if self._file is not None:
                return self._file
            region = self.region
            try:
                file = os.open(region.path, os.O_RDONLY)
            except OSError as error:
                raise DatasetMissing(
                    f"{region.path}: cannot be read: {error.strerror}; images that are streamed "
                    "from a file need it at the same path on every host"
                ) from None
            try:
                self._check_unchanged(file)
            except DatasetDamaged:
                os.close(file)
                raise
            self._file = file
            return file

    def _check_unchanged(self, file: int) -> None:
        """Raise DatasetDamaged if the open file is not as it was when the trials were planned."""
        status = os.fstat(file)
        if (status.st_size, status.st_mtime_ns) != (self.region.size, self.region.mtime_ns):
            raise DatasetDamaged(
                f"{self.region.path}: it was changed since the trials were planned: run again"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {
            "region": self.region,
            "dtype": self.dtype,
            "indices": self.indices,
            "digests": None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._file = None
        self._lock = threading.Lock()

    def __del__(self) -> None:
        if self.__dict__.get("_file") is not None:
            os.close(self._file)  # type: ignore[arg-type]
            self._file = None


def _runs(numbers: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield first and end of each run of neighbours in sorted numbers, of at most 1,000."""
    ends = np.flatnonzero(np.diff(numbers) != 1) + 1
    first = 0
    for end in [*ends.tolist(), len(numbers)]:
        for start in range(first, end, 1000):
            yield start, min(end, start + 1000)
        first = end


def map_file(
    path: Path,
    offset: int,
    stored_shape: tuple[int, ...],
    stored_dtype: np.dtype[Any],
    layout: str,
    dtype: np.dtype[Any],
) -> MappedPixels:
    """Return all images of an array in a file. `stored_shape`: N and the shape of an image."""
    status = path.stat()
    count, *image_shape = stored_shape
    region = FileRegion(
        path=path.absolute(),
        offset=offset,
        count=count,
        stored_shape=(image_shape[0], image_shape[1], image_shape[2]),
        stored_dtype=stored_dtype.str,
        layout=layout,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
    )
    return MappedPixels(region, dtype, np.arange(count))
