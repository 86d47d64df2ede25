"""Which arrays of a file are images and labels: by their names, or as stated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cae.trial.datasets.array_files import FILE_SUFFIXES, StoredArray, check_memory, open_arrays
from cae.trial.datasets.errors import DatasetInvalid, DatasetMissing

SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
IMAGE_PATTERNS = ("{}", "{}_images", "images_{}", "x_{}", "{}_x", "{}_pixels", "{}_data")
LABEL_PATTERNS = ("{}_labels", "labels_{}", "y_{}", "{}_y", "{}_targets")
POOLED_IMAGES = ("images", "pixels", "x", "data", "arr_0")
POOLED_LABELS = ("labels", "label", "y", "targets")


@dataclass(frozen=True)
class FoundArrays:
    """The arrays of a file that are images and labels, by split; `train`: all, without splits."""

    images: dict[str, StoredArray]
    labels: dict[str, StoredArray]
    has_splits: bool
    all: Mapping[str, StoredArray]
    notes: list[str] = field(default_factory=list)

    def read_labels(self, split: str) -> np.ndarray | None:
        """Return the labels of a split; None if there are none. A column is one dimension."""
        array = self.labels.get(split)
        if array is None:
            return None
        check_memory(array)
        labels = array.read()
        if labels.ndim == 2 and labels.shape[1] == 1:
            return labels[:, 0]
        return labels


def find_arrays(
    path: Path, arrays: Mapping[str, StoredArray], images: str | None, labels: str | None
) -> FoundArrays:
    """Return the arrays that are images and labels.

    Raises DatasetInvalid if it is not clear which ones, with the names of all.

    Args:
        path: The file or folder.
        arrays: All of its arrays, by name.
        images: Name of the array of all images, if it was stated.
        labels: Name of the array of labels, or of a file beside `path`, if it was stated.
    """
    by_name = {name.lower(): array for name, array in arrays.items()}
    found_images: dict[str, StoredArray] = {}
    if images is not None:
        found_images["train"] = _named(path, arrays, images, "images")
    else:
        for split in SPLIT_NAMES:
            array = _first(by_name, split, IMAGE_PATTERNS)
            if array is not None and len(array.shape) > 2:
                found_images[split] = array
        if found_images and "train" not in found_images:
            raise DatasetInvalid(
                f"{path}: there are images for {' and '.join(found_images)}, and none for training;"
                f" name their array train, or set images; {_listed(arrays)}"
            )
        if not found_images:
            found_images["train"] = _only_images(path, arrays, by_name)
    has_splits = len(found_images) > 1
    found_labels: dict[str, StoredArray] = {}
    if labels is not None:
        if has_splits:
            raise DatasetInvalid(
                f"dataset.labels = {labels!r}: {path} has arrays of splits: name their labels "
                "train_labels, val_labels, test_labels instead"
            )
        found_labels["train"] = _stated_labels(path, arrays, labels)
    else:
        for split in found_images:
            array = _first(by_name, split, LABEL_PATTERNS)
            if array is None and not has_splits:
                array = _first_of(by_name, POOLED_LABELS)
            if array is not None:
                found_labels[split] = array
    used = {array.name for array in (*found_images.values(), *found_labels.values())}
    unused = [name for name in arrays if name not in used and name != "class_names"]
    notes: list[str] = []
    if unused:
        note = f"{path.name}: arrays that are not used: {', '.join(unused[:5])}"
        candidates = [name for name in unused if _may_be_labels(arrays[name], found_images)]
        if candidates and not found_labels and not has_splits:
            note += f'; labels="{candidates[0]}" uses it as class numbers'
        notes.append(note)
    return FoundArrays(found_images, found_labels, has_splits, arrays, notes)


def _may_be_labels(array: StoredArray, images: Mapping[str, StoredArray]) -> bool:
    """Whether it contains a whole number for each image."""
    return array.dtype.kind in "iu" and array.shape == images["train"].shape[:1]


def _first(
    by_name: Mapping[str, StoredArray], split: str, patterns: tuple[str, ...]
) -> StoredArray | None:
    names = [pattern.format(name) for name in SPLIT_NAMES[split] for pattern in patterns]
    return _first_of(by_name, tuple(names))


def _first_of(by_name: Mapping[str, StoredArray], names: tuple[str, ...]) -> StoredArray | None:
    for name in names:
        if name in by_name:
            return by_name[name]
    return None


def _only_images(
    path: Path, arrays: Mapping[str, StoredArray], by_name: Mapping[str, StoredArray]
) -> StoredArray:
    array = _first_of(by_name, POOLED_IMAGES)
    if array is not None:
        return array
    candidates = [array for array in arrays.values() if len(array.shape) > 2]
    if len(candidates) == 1:
        return candidates[0]
    if len(arrays) == 1:
        return next(iter(arrays.values()))  # its shape is an error in words
    raise DatasetInvalid(
        f"{path}: it is not clear which array contains the images: set images, or name the arrays "
        f"train, val and test; {_listed(arrays)}"
    )


def _named(path: Path, arrays: Mapping[str, StoredArray], name: str, parameter: str) -> StoredArray:
    try:
        return arrays[name]
    except KeyError:
        raise DatasetInvalid(
            f"dataset.{parameter} = {name!r}: {path} has no such array; {_listed(arrays)}"
        ) from None


def _stated_labels(path: Path, arrays: Mapping[str, StoredArray], name: str) -> StoredArray:
    if Path(name).suffix.lower() not in FILE_SUFFIXES:
        return _named(path, arrays, name, "labels")
    folder = path
    if not path.is_dir():
        folder = path.parent
    file = folder / name
    if not file.is_file():
        raise DatasetMissing(f"dataset.labels = {name!r}: {file} does not exist")
    others = open_arrays(file)
    if len(others) != 1:
        raise DatasetInvalid(
            f"dataset.labels = {name!r}: should be a file of one array; {_listed(others)}"
        )
    return next(iter(others.values()))


def _listed(arrays: Mapping[str, StoredArray]) -> str:
    descriptions = [array.describe() for array in list(arrays.values())[:10]]
    return f"there are {'; '.join(descriptions) or 'no arrays'}"
