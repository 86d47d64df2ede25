"""Classes and splits of the images of a folder: from the names of its folders, or a CSV file."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cae.files import check_regular
from cae.trial.datasets.errors import DatasetInvalid, DatasetMissing, describe_error

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
ClassFolders = Literal["first", "all"]
MAX_CSV_BYTES = 2**28
MAX_NAMED = 5
"""Files that an error names."""


@dataclass(frozen=True)
class FolderLabels:
    """Classes and splits of the files of a folder."""

    numbers: np.ndarray
    """The class of each file, int64."""
    names: tuple[str, ...]
    splits: np.ndarray | None
    """The split of each file, an index in SPLITS; None if there are none."""
    files: list[Path]
    """The files that have a label, in their order."""
    notes: tuple[str, ...] = ()

    def without(self, is_kept: np.ndarray) -> FolderLabels:
        """Return the labels of some of the files. Classes without files are left out."""
        files = [file for file, kept in zip(self.files, is_kept, strict=True) if kept]
        classes = [self.names[number] for number in self.numbers[is_kept]]
        splits = None
        if self.splits is not None:
            splits = self.splits[is_kept].tolist()
        return _numbered(files, classes, splits, self.notes)


def read_labels(
    files: list[Path],
    folder: Path,
    class_folders: ClassFolders = "first",
    splits: Path | None = None,
) -> FolderLabels:
    """Return classes and splits of the files of a folder.

    Raises DatasetInvalid if a folder may be a class or a split, or for errors in the CSV file.

    Args:
        files: The image files.
        folder: The folder that contains them.
        class_folders: Whether the first folder on the path of a file, or all of them, are its
            class.
        splits: A CSV file with the split, and maybe the class, of each file.
    """
    if splits is not None:
        return _read_csv(files, folder, class_folders, splits)
    has_split_folders = has_splits(files, folder)
    classes: list[str] = []
    numbers: list[int] = []
    for path in files:
        parts = list(path.relative_to(folder).parts)
        if has_split_folders:
            split = SPLIT_FOLDERS[parts.pop(0).lower()]
            numbers.append(SPLITS.index(split))
        classes.append(_class_of(parts, folder, class_folders))
    return _numbered(files, classes, numbers if has_split_folders else None)


def _class_of(parts: Sequence[str], folder: Path, class_folders: ClassFolders) -> str:
    """The class of a file with this path."""
    if len(parts) == 1:
        return printable_name(folder.resolve().name)
    if class_folders == "first":
        return printable_name(parts[0])
    return printable_name("/".join(parts[:-1]))


def _numbered(
    files: list[Path], classes: list[str], splits: list[int] | None, notes: tuple[str, ...] = ()
) -> FolderLabels:
    names = sorted(set(classes))
    number_of = {name: number for number, name in enumerate(names)}
    numbers = np.array([number_of[name] for name in classes], np.int64)
    split_numbers = None
    if splits is not None:
        split_numbers = np.array(splits, np.uint8)
    return FolderLabels(numbers, tuple(names), split_numbers, files, notes)


def has_splits(files: list[Path], folder: Path) -> bool:
    """Return whether the folders within a folder are splits: `train`, and `val` or `test`.

    Raises DatasetInvalid if there are other folders or images beside them.
    """
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


def _are_in_split_folders(files: list[Path], folder: Path) -> bool:
    """Whether all files are in folders that are named like splits: these are no classes."""
    for path in files:
        parts = path.relative_to(folder).parts
        if len(parts) == 1 or parts[0].lower() not in SPLIT_FOLDERS:
            return False
    return True


def printable_name(path: str | Path) -> str:
    """Return a path as text, with bytes that are not UTF-8 as escape sequences."""
    return os.fsencode(path).decode(errors="backslashreplace")


# A CSV file


@dataclass(frozen=True)
class _Row:
    split: int
    class_name: str | None


def _read_csv(
    files: list[Path], folder: Path, class_folders: ClassFolders, path: Path
) -> FolderLabels:
    """Splits, and maybe classes, of a CSV file; files that it does not list are left out."""
    rows = _csv_rows(path)
    in_split_folders = _are_in_split_folders(files, folder)
    by_name = {printable_name(file.relative_to(folder)): file for file in files}
    unknown = [name for name in rows if name not in by_name]
    if unknown:
        raise DatasetInvalid(
            f"{path}: it lists {len(unknown)} files that are not images in {folder}: "
            f"{_shortened(unknown)}"
        )
    listed: list[Path] = []
    classes: list[str] = []
    splits: list[int] = []
    for name, file in by_name.items():
        row = rows.get(name)
        if row is None:
            continue
        listed.append(file)
        splits.append(row.split)
        class_name = row.class_name
        if class_name is None:
            parts = file.relative_to(folder).parts
            if in_split_folders:
                parts = parts[1:]
            class_name = _class_of(parts, folder, class_folders)
        classes.append(class_name)
    if SPLITS.index("train") not in splits:
        raise DatasetInvalid(f"{path}: no image is in the split train")
    notes: tuple[str, ...] = ()
    if len(listed) < len(files):
        missing = [name for name in by_name if name not in rows]
        notes = (
            f"{len(missing)} images are not in {path.name} and left out: {_shortened(missing)}",
        )
    return _numbered(listed, classes, splits, notes)


def _csv_rows(path: Path) -> dict[str, _Row]:
    """The rows of a file with the columns `file`, `split` and maybe `class`, by file."""
    rows: dict[str, _Row] = {}
    try:
        check_regular(path, MAX_CSV_BYTES)
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            if "file" not in columns or "split" not in columns:
                raise DatasetInvalid(
                    f"{path}: its first line is {','.join(columns)!r:.80}: should name the columns "
                    "file and split, and may name class"
                )
            for row in reader:
                _add_row(rows, row, path, reader.line_num)
    except FileNotFoundError:
        raise DatasetMissing(f"dataset.splits: {path} does not exist") from None
    except (OSError, UnicodeError, csv.Error) as error:
        raise DatasetInvalid(f"{path}: cannot be read: {describe_error(error)}") from None
    return rows


def _add_row(rows: dict[str, _Row], row: dict[str, str], path: Path, line: int) -> None:
    name = (row["file"] or "").strip().removeprefix("./")
    split = SPLIT_FOLDERS.get((row["split"] or "").strip().lower())
    if split is None:
        raise DatasetInvalid(
            f"{path}, line {line}: split = {row['split']!r}: should be {', '.join(SPLITS)}"
        )
    if name in rows:
        raise DatasetInvalid(f"{path}, line {line}: {name!r} is listed twice")
    class_name = None
    if "class" in row:
        class_name = (row["class"] or "").strip()
        if not class_name:
            raise DatasetInvalid(f"{path}, line {line}: {name!r} has no class")
    rows[name] = _Row(SPLITS.index(split), class_name)


def _shortened(names: list[str]) -> str:
    listed = ", ".join(names[:MAX_NAMED])
    if len(names) > MAX_NAMED:
        listed += f" and {len(names) - MAX_NAMED} more"
    return listed
