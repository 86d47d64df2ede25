"""Any set of images in the files of MNIST or of CIFAR: KMNIST, EMNIST, CIFAR-100, ..."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import PositiveInt
from typing_extensions import override

from cae.trial.datasets.base import Dataset, InventoryEntry, Source
from cae.trial.datasets.cifar_files import CifarFile, read_cifar_layout, read_class_names
from cae.trial.datasets.errors import DatasetDamaged, DatasetInvalid, DatasetMissing
from cae.trial.datasets.files import find_path, validate_labels
from cae.trial.datasets.idx import read_idx
from cae.trial.datasets.splits import Split, SplitRule

IDX_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<split>train|t10k|test)-(?P<kind>images|labels)[-.]idx[13]-ubyte(\.gz)?"
)
MAX_CLASSES = 256
"""Labels are bytes."""


class _PublisherFolder(Dataset):
    """A folder with files for training and, mostly, for testing."""

    path: str
    """The folder: absolute, or relative to the current folder, the folder of the sweep file or a
    data folder; the first of these that exists is used."""
    split: SplitRule = "holdout"
    """How the images are divided. `holdout`: validation images are taken from the training file;
    `pooled`: training and test file are divided together; `test_as_validation`: the test images are
    also the validation images."""

    has_relative_path: ClassVar[bool] = True
    has_bytes: ClassVar[bool] = True
    hint: ClassVar[str] = ""
    """How the class is used."""

    def _find_folder(self, folders: Sequence[Path]) -> Path:
        folder = find_path(self.path, folders)
        if not folder.is_dir():
            raise DatasetMissing(
                f"dataset.path = {self.path!r}: {folder} is a file: should be a folder"
            )
        return folder

    @classmethod
    @override
    def inventory(cls, folders: Sequence[Path]) -> list[InventoryEntry]:
        return [InventoryEntry(cls.name, cls.hint)]

    @classmethod
    @override
    def download(cls, folder: Path) -> Path | None:
        raise DatasetMissing(f"{cls.name} are your own files and cannot be downloaded; {cls.hint}")


class IdxFolder(_PublisherFolder):
    """A folder of files in the IDX format of MNIST, gzipped or not: KMNIST, EMNIST, ...

    The files are named like train-images-idx3-ubyte, with t10k or test for the test images. Classes
    are named by their numbers."""

    shape: tuple[PositiveInt, PositiveInt] = (28, 28)
    """Height and width of the images, which are gray."""
    transpose: bool = False
    """Whether rows and columns are exchanged: true for EMNIST, whose images are stored sideways."""
    prefix: str | None = None
    """Beginning of the file names: emnist-letters-. None: the only one that there is."""

    hint: ClassVar[str] = 'your own files in the format of MNIST: IdxFolder(path="KMNIST/raw")'

    @property
    @override
    def image_shape(self) -> tuple[int, int, int]:
        return 1, *self.shape

    @override
    def read(self, folders: Sequence[Path]) -> Source:
        folder = self._find_folder(folders)
        files = self._find_files(folder)
        train = self._read_pair(files["train images"], files["train labels"])
        test = None
        if "test images" in files:
            test = self._read_pair(files["test images"], files["test labels"])
        largest = int(train.labels.max(initial=0))
        if test is not None:
            largest = max(largest, int(test.labels.max(initial=0)))
        return Source(train, test, tuple(map(str, range(largest + 1))))

    def _find_files(self, folder: Path) -> dict[str, Path]:
        """The files by split and kind, such as `train images`."""
        by_prefix: dict[str, dict[str, Path]] = {}
        for path in sorted(folder.iterdir(), reverse=True):  # the uncompressed one is kept
            match = IDX_NAME.fullmatch(path.name)
            if match:
                split = "train" if match["split"] == "train" else "test"
                by_prefix.setdefault(match["prefix"], {})[f"{split} {match['kind']}"] = path
        if not by_prefix:
            raise DatasetMissing(
                f"dataset.path = {self.path!r}: {folder} contains no files named like "
                "train-images-idx3-ubyte and train-labels-idx1-ubyte"
            )
        prefixes = ", ".join(repr(prefix) for prefix in sorted(by_prefix))
        if self.prefix is None and len(by_prefix) > 1:
            raise DatasetInvalid(
                f"dataset.path = {self.path!r}: {folder} contains {len(by_prefix)} sets: set "
                f"prefix to one of {prefixes}"
            )
        prefix = self.prefix
        if prefix is None:
            prefix = next(iter(by_prefix))
        if prefix not in by_prefix:
            raise DatasetMissing(
                f"dataset.prefix = {self.prefix!r}: {folder} has no such files; there are "
                f"{prefixes}"
            )
        files = by_prefix[prefix]
        for split in ("train", "test"):
            kinds = {kind for kind in ("images", "labels") if f"{split} {kind}" in files}
            if len(kinds) == 1 or (split == "train" and not kinds):
                missing = " and ".join(sorted({"images", "labels"} - kinds))
                raise DatasetMissing(f"{folder}: the {split} {missing} of {prefix!r} are missing")
        return files

    def _read_pair(self, image_file: Path, label_file: Path) -> Split:
        pixels = read_idx(image_file, 3)
        if self.transpose:
            pixels = np.ascontiguousarray(pixels.transpose(0, 2, 1))
        labels = read_idx(label_file, 1)
        if pixels.shape[1:] != self.shape:
            raise DatasetDamaged(
                f"{image_file}: the images have {pixels.shape[1]} x {pixels.shape[2]} pixels; "
                f"write shape=({pixels.shape[1]}, {pixels.shape[2]})"
            )
        if len(pixels) != len(labels):
            raise DatasetDamaged(
                f"{label_file}: expected {len(pixels)} labels, one for each image of "
                f"{image_file.name}, found {len(labels)}"
            )
        return Split(pixels[:, None], validate_labels(labels, label_file, MAX_CLASSES))


class CifarFolder(_PublisherFolder):
    """A folder of files in the layout of CIFAR-10 or CIFAR-100, in its binary version (.bin) or its
    python version: data_batch_1, ..., or train, and test_batch or test."""

    shape: tuple[PositiveInt, PositiveInt] = (32, 32)
    """Height and width of the images, which have three colors."""
    labels: Literal["fine", "coarse"] = "fine"
    """Which labels are the classes, if the files have two (CIFAR-100): 100 fine ones, or 20 coarse
    ones."""

    hint: ClassVar[str] = 'your own files in the layout of CIFAR: CifarFolder(path="cifar-100")'

    @property
    @override
    def image_shape(self) -> tuple[int, int, int]:
        return 3, *self.shape

    @override
    def read(self, folders: Sequence[Path]) -> Source:
        folder = self._find_folder(folders)
        train_files = _existing(folder, ["data_batch_*", "train"])
        if not train_files:
            raise DatasetMissing(
                f"dataset.path = {self.path!r}: {folder} contains no files named data_batch_1.bin, "
                "data_batch_1, train.bin or train"
            )
        train, kind = self._read_files(train_files)
        test = None
        test_files = _existing(folder, ["test_batch", "test"])
        if test_files:
            test, test_kind = self._read_files(test_files)
            if kind != test_kind:
                raise DatasetDamaged(f"{folder}: training and test files differ in their labels")
        names = read_class_names(folder, kind)
        largest = int(train.labels.max(initial=0))
        if test is not None:
            largest = max(largest, int(test.labels.max(initial=0)))
        if names and largest >= len(names):
            raise DatasetDamaged(
                f"{folder}: there are labels up to {largest}, and {len(names)} names of classes"
            )
        return Source(train, test, names or tuple(map(str, range(largest + 1))))

    def _read_files(self, files: Sequence[Path]) -> tuple[Split, str]:
        """The images of files with the requested labels, and which these are."""
        contents: list[CifarFile] = [read_cifar_layout(path, *self.shape) for path in files]
        kinds = {tuple(content.labels) for content in contents}
        if len(kinds) > 1:
            raise DatasetDamaged(f"{files[0].parent}: the files differ in their labels")
        kind = self.labels
        labels: Literal["fine", "coarse", "only"] = kind
        if "only" in contents[0].labels:
            labels = "only"
            if kind == "coarse":
                raise DatasetInvalid(
                    f"dataset.labels = 'coarse': the files in {files[0].parent} have one label"
                )
        pixels = np.concatenate([content.pixels for content in contents])
        numbers = np.concatenate([content.labels[labels] for content in contents])
        return Split(pixels, numbers.astype(np.int64)), labels


def _existing(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Files of the first pattern that has some; binary ones, if there are both versions."""
    for pattern in patterns:
        for suffix in (".bin", ""):
            files = sorted(path for path in folder.glob(f"{pattern}{suffix}") if path.is_file())
            files = [path for path in files if path.suffix == suffix]
            if files:
                return files
    return []
