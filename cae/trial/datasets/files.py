"""Where the files of data sets are searched for, and how their bytes and labels are read."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from cae.files import check_regular
from cae.trial.datasets.errors import DatasetDamaged, DatasetMissing, describe_error


def data_folders(data_dir: Path | None = None) -> list[Path]:
    """Return the folders that are searched for data sets.

    Only `data_dir` (the option --data-dir) if it is given: other images of the same name would be
    used silently. Otherwise the environment variable CAE_DATA and the user's cache folder, in this
    order.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "cae-sweep"
    candidates: list[Path | str | None] = [os.environ.get("CAE_DATA"), cache]
    if data_dir is not None:
        candidates = [data_dir]
    folders = [Path(folder).expanduser().absolute() for folder in candidates if folder]
    return list(dict.fromkeys(folders))


def format_folders(folders: Iterable[Path]) -> str:
    """Return the folders as a list for a message."""
    return ", ".join(str(folder) for folder in folders) or "no folder"


def find_path(path: str, folders: Sequence[Path], parameter: str = "dataset.path") -> Path:
    """Return a file or folder of the user's: absolute, or relative to the current folder or one of
    `folders`; the first that exists. Raises DatasetMissing."""
    expanded = Path(os.path.expanduser(path))  # unchanged if there is no such user
    candidates = list(
        dict.fromkeys([Path.cwd() / expanded, *(folder / expanded for folder in folders)])
    )
    for candidate in candidates:
        if os.path.exists(candidate):  # Path.exists raises errors of too long names
            return candidate
    raise DatasetMissing(
        f"{parameter} = {path!r}: there is no such file or folder; searched "
        f"{format_folders(candidates)}; use an absolute path, or one relative to the current "
        "folder, the folder of the sweep file, --data-dir or CAE_DATA"
    )


def find_files(
    files: Sequence[Sequence[str]], subfolders: Sequence[str], folders: Sequence[Path]
) -> list[Path]:
    """Return the paths of a data set's files, from the first folder that contains all of them.

    `files` are the possible names of each file. They are searched for in each of `subfolders` of
    each of `folders`, and in a folder of `folders` itself if it is (a part of) the subfolder, as
    `data/MNIST` and `data/MNIST/raw` are for the subfolder `MNIST/raw`.

    Raises DatasetMissing with the searched folders, and the first one that contains some of the
    files.
    """
    incomplete = ""
    for candidate in _candidates(folders, subfolders):
        paths = [_first_file(candidate, names) for names in files]
        existing = [path for path in paths if path is not None]
        if len(existing) == len(files):
            return existing
        if existing and not incomplete:
            missing = [names[0] for names, path in zip(files, paths, strict=True) if path is None]
            incomplete = f"\n  {candidate} is incomplete: missing are {', '.join(missing)}"
    raise DatasetMissing(f"searched {format_folders(folders)}{incomplete}")


def _candidates(folders: Sequence[Path], subfolders: Sequence[str]) -> Iterable[Path]:
    for folder in folders:
        for subfolder in subfolders:
            parts = Path(subfolder).parts
            yield folder.joinpath(*parts)
            for depth in range(1, len(parts) + 1):
                if folder.absolute().parts[-depth:] == parts[:depth]:
                    yield folder.joinpath(*parts[depth:])


def _first_file(folder: Path, names: Sequence[str]) -> Path | None:
    for name in names:
        path = folder / name
        if os.path.isfile(path):
            return path
    return None


def open_binary(path: Path) -> BinaryIO:
    """Open a file for reading; a file that ends in `.gz` is decompressed. Raises DatasetDamaged."""
    try:
        check_regular(path)
        if path.suffix == ".gz":
            return cast(BinaryIO, gzip.open(path, "rb"))
        return path.open("rb")
    except OSError as error:
        raise DatasetDamaged(f"{path}: cannot be read: {describe_error(error)}") from None


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, decompressed if it ends in `.gz`. Raises DatasetDamaged."""
    with open_binary(path) as file:
        try:
            return bytes(file.read())
        except (OSError, EOFError, zlib.error) as error:
            expected = "a readable file"
            if path.suffix == ".gz":
                expected = "a complete gzip file"
            raise DatasetDamaged(
                f"{path}: expected {expected}, found: {describe_error(error)}"
            ) from None


def validate_labels(labels: np.ndarray, path: Path, classes: int) -> np.ndarray:
    """Return the labels (N) as int64. Raises DatasetDamaged if one is not in 0..classes - 1."""
    if len(labels) > 0:
        smallest = labels.min()
        largest = labels.max()
        if smallest < 0 or largest >= classes:
            raise DatasetDamaged(
                f"{path}: expected labels from 0 to {classes - 1}, found {smallest} to {largest}"
            )
    return labels.astype(np.int64)
