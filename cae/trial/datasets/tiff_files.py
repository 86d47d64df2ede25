"""TIFF stacks, read by the library tifffile, which is optional: `pip install 'cae-sweep[tiff]'`.

Pillow reads single images; it does not read 16-bit colors, several channels or the axes of a stack.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from cae.trial.datasets.errors import DatasetDamaged, DatasetInvalid, describe_error


@dataclass(frozen=True)
class TiffStack:
    """The only series of images of a TIFF file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str
    """A letter per axis: Y, X, S (samples of a pixel), C (channel); all others count images."""
    read: Callable[[], np.ndarray]
    offset: int | None
    """Where the pixels begin in the file, if they are there as they are in memory."""


def open_tiff(path: Path) -> TiffStack:
    """Return the only series of a file. Raises DatasetDamaged and DatasetInvalid."""
    try:
        import tifffile
    except ImportError:
        raise DatasetInvalid(
            f"{path}: TIFF stacks are read by the library tifffile, which is not installed: "
            "pip install 'cae-sweep[tiff]', or save the array with numpy.save"
        ) from None
    try:
        with _no_logged_errors(), tifffile.TiffFile(path) as file:
            series = file.series[0]
            all_series = [(tuple(one.shape), np.dtype(one.dtype)) for one in file.series]
            shape = tuple(int(length) for length in series.shape)
            dtype = np.dtype(series.dtype)
            axes = str(series.axes)
            offset = series.dataoffset
            if dtype.itemsize > 1:
                dtype = dtype.newbyteorder(file.byteorder)
            if offset is not None and path.stat().st_size < offset + series.nbytes:
                raise ValueError("the file ends too early")
    except OSError:
        raise
    except Exception as error:  # of a damaged file: nearly any
        raise _damaged(path, error) from None

    if len(all_series) > 1:
        raise DatasetInvalid(_describe_series(path, all_series))

    def read() -> np.ndarray:
        try:
            with _no_logged_errors():
                return np.asarray(tifffile.imread(path, series=0))
        except Exception as error:
            raise _damaged(path, error) from None

    return TiffStack(shape, dtype, axes, read, offset)


def _describe_series(path: Path, all_series: list[tuple[tuple[int, ...], np.dtype[Any]]]) -> str:
    """The error about a file of several stacks, of which only one would be read."""
    descriptions: list[str] = []
    for shape, dtype in all_series[:5]:
        descriptions.append(f"{dtype.newbyteorder('=').name} {' x '.join(map(str, shape))}")
    listed = ", ".join(descriptions)
    if len(all_series) > len(descriptions):
        listed += ", ..."
    return (
        f"{path}: it contains {len(all_series)} separate series of images ({listed}): should be "
        "one stack; save them as one: tifffile.imwrite(FILE, numpy.stack(images))"
    )


class _LoggedErrors(logging.Handler):
    """Keeps the messages of errors, and drops all others."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self.messages.append(record.getMessage())


@contextlib.contextmanager
def _no_logged_errors() -> Iterator[None]:
    """Raise ValueError with the first error that tifffile logs: it leaves out the pages of a
    truncated file and raises no error."""
    logger = logging.getLogger("tifffile")
    handler = _LoggedErrors()
    before = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
    if handler.messages:
        raise ValueError(handler.messages[0])


def _damaged(path: Path, error: Exception) -> DatasetDamaged:
    reason = " ".join(describe_error(error).split())
    return DatasetDamaged(f"{path}: expected a complete TIFF file, found: {reason}")
