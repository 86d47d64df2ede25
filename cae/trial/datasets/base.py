"""The base class of data sets.

A data set reads its images once, divides them with a seed, and returns them in the type of their
file (see pixel_values.py). Its `image_shape` is available before any file is read. What a data set
of the user's own returns is checked (see own_data.py). A new data set is a subclass of Dataset:

    class Spirals(Dataset):
        @property
        def image_shape(self):
            return 1, 32, 32

        def read(self, folders):
            pixels = ...  # N x 1 x 32 x 32: uint8 in 0..255, bool, or floats in [0, 1];
            # all other ranges are declared in the class: value_range = (0, 65535)
            labels = ...  # N whole numbers from 0, or None
            return Source(Split(pixels, labels))
"""

from __future__ import annotations

import traceback
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from annotated_types import Len
from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from cae.errors import UserError
from cae.trial.component import Component
from cae.trial.datasets.errors import DatasetInvalid, DatasetMissing, describe_error
from cae.trial.datasets.image_memory import check_test_images
from cae.trial.datasets.mapped import MappedPixels
from cae.trial.datasets.own_data import (
    CheckedSplit,
    Findings,
    check_class_names,
    check_image_shape,
    check_labeled_splits,
    check_split,
    with_one_type,
)
from cae.trial.datasets.pixel_values import BYTE_RANGE, ValueRange
from cae.trial.datasets.splits import (
    Images,
    RequestedCounts,
    Split,
    SplitRule,
    divide,
    divide_given,
    select_classes,
    with_fingerprint,
)

PACKAGE = Path(__file__).parents[2]
"""The folder of this package."""


class Source(NamedTuple):
    """The images of a data set as its files contain them, before they are divided."""

    train: Split
    """Images of the training file, or all images if there is only one file."""
    test: Split | None = None
    """Images of the test file."""
    class_names: tuple[str, ...] = ()
    val: Split | None = None
    """Validation images, if they are separate. Nothing is divided anew then."""
    is_divided: bool = False
    """Whether all images stay in the split that they are in, whatever `split` is. A missing split
    is taken from `train`."""
    notes: tuple[str, ...] = ()
    """What was done to the images that a user has to know."""
    value_range: ValueRange = BYTE_RANGE
    """The values of black and white of built-in data sets. Those of a user's own data set are
    declared in its class."""
    is_digested_by_image: bool = False
    """Whether the fingerprint is made of a digest of each image: large files are then read in the
    order of the disk. Not for data sets that older runs may have used."""


@dataclass(frozen=True)
class InventoryEntry:
    """A row of `cae-sweep data list`."""

    name: str
    hint: str
    """How to get the data set, how to use it, or what is wrong with its files."""
    folder: Path | None = None
    """None if the data set was not found or has no files."""
    images: int | None = None
    """Number of images in all files."""
    image_shape: tuple[int, ...] | None = None


class Dataset(Component):
    """A data set, and how it is divided (see cae/trial/datasets/splits.py)."""

    train_images: PositiveInt | None = None
    """Number of training images. None: all that are left."""
    val_images: PositiveInt | None = None
    """Number of validation images. None: a tenth of the images that are divided (of the test file
    under `test_as_validation`: all)."""
    test_images: PositiveInt | None = None
    """Number of test images. None: the whole test file (under `pooled`: a tenth of all images)."""
    split: SplitRule = "pooled"
    """How the images are divided. `holdout`: validation images are taken from the training file;
    `pooled`: training and test file are divided together; `test_as_validation`: the test images are
    also the validation images."""
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed with which the images are shuffled before they are divided."""
    classes: Annotated[tuple[NonNegativeInt, ...], Len(1)] | None = None
    """Numbers of the classes whose images are used. None: all classes. They are selected before the
    images are counted and divided."""

    has_relative_path: ClassVar[bool] = False
    """Whether a parameter may be a path relative to the folder of the sweep file."""
    has_bytes: ClassVar[bool] = False
    """Whether the pixels are always uint8 in 0..255, because no file of another type is read."""
    class_names: ClassVar[tuple[str, ...]] = ()
    """Empty if the names are in the files; `Images.class_names` contains them then."""
    value_range: ClassVar[tuple[float, float] | None] = None
    """Values of black and white in the pixels that `read` returns, such as (-1, 1) or (0, 4095).
    None: uint8 in 0..255, bool, or floats in [0, 1]. The pixels keep their type: uint16 is not
    rounded to 8 bits."""

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """C, H, W of every image, without reading any file."""

    def read(self, folders: Sequence[Path]) -> Source:
        """Return the images of the files in the first of `folders` that contains them.

        Every data set defines this, or overrides `load`. Raises DatasetMissing and DatasetDamaged.
        """
        raise NotImplementedError(
            f"{type(self).__name__}.read is not defined; it would search {len(folders)} folders"
        )

    def load(self, folders: Sequence[Path]) -> Images:
        """Return the images, divided.

        Raises DatasetMissing, DatasetDamaged, DatasetInvalid, and ValueError if there are fewer
        images than requested.
        """
        source = self.read(folders)
        if not self.is_builtin():
            source = self._check_source(source)
        splits = {"train": source.train, "val": source.val, "test": source.test}
        if self.classes:
            self._check_classes(splits)
            for name, split in splits.items():
                if split is not None:
                    splits[name] = select_classes(split, self.classes)
        train, val, test = self._divide(source, splits)
        if isinstance(test.pixels, MappedPixels):
            check_test_images(len(test.labels), self.image_shape)
        return with_fingerprint(
            train,
            val,
            test,
            source.class_names,
            source.notes,
            source.value_range,
            by_image=source.is_digested_by_image,
        )

    def shape_errors(self) -> list[str]:
        """Return what is wrong with the `image_shape` of a data set of the user's own."""
        findings = Findings(self.name)
        if not self.is_builtin():
            try:
                check_image_shape(self.image_shape, findings)
            except Exception as error:  # of the user's code
                findings.error(f"image_shape raised {describe_error(error)}")
        return findings.errors

    def _divide(
        self, source: Source, splits: dict[str, Split | None]
    ) -> tuple[Split, Split, Split]:
        counts = self._requested_counts()
        train = splits["train"]
        assert train is not None
        if source.is_divided or source.val is not None:
            return divide_given(self.split_seed, train, splits["val"], splits["test"], counts)
        return divide(self.split, self.split_seed, train, splits["test"], counts)

    def _check_classes(self, splits: dict[str, Split | None]) -> None:
        """Raise ValueError if there are no images of one of `classes`."""
        present: set[int] = set()
        for split in splits.values():
            if split is not None:
                present |= set(np.unique(split.labels).tolist())
        for number in self.classes or ():
            if number not in present:
                classes = ", ".join(map(str, sorted(present)[:20])) or "none"
                raise ValueError(
                    f"dataset.classes = {self.classes}: there are no images of class {number}; "
                    f"there are images of {classes}"
                )

    def _check_source(self, source: object) -> Source:
        """What `read` returned, with pixels of one type and int64 labels. Raises DatasetInvalid."""
        findings = Findings(self.name)
        check_image_shape(self.image_shape, findings)
        findings.raise_errors()
        if isinstance(source, Split):
            source = Source(source)
        if not isinstance(source, Source):
            findings.error(
                f"read returned {type(source).__name__}: should return "
                "Source(Split(pixels, labels)); both are names of cae"
            )
            findings.raise_errors()
        assert isinstance(source, Source)
        names = check_class_names(source.class_names or self.class_names, findings)
        checked: dict[str, CheckedSplit | None] = {}
        labels: dict[str, object] = {}
        for where in ("train", "val", "test"):
            split = getattr(source, where)
            checked[where] = None
            if isinstance(split, tuple) and len(split) == 2:
                labels[where] = split[1]
            if split is not None or where == "train":
                checked[where] = check_split(
                    split, where, self.image_shape, self.value_range, names, findings
                )
        check_labeled_splits(labels, names, findings)
        findings.raise_errors()
        splits, value_range = with_one_type(checked, findings)
        train = splits["train"]
        assert train is not None
        return source._replace(
            train=train,
            val=splits["val"],
            test=splits["test"],
            class_names=names,
            notes=(*source.notes, *findings.notes),
            value_range=value_range,
        )

    def _requested_counts(self) -> RequestedCounts:
        return RequestedCounts(self.train_images, self.val_images, self.test_images)

    @override
    def inactive_parameters(self) -> dict[str, str]:
        if self.split == "test_as_validation":
            return {
                "test_images": "split = 'test_as_validation' uses the validation images "
                "(dataset.val_images) as test images"
            }
        return {}

    @classmethod
    def inventory(cls, folders: Sequence[Path]) -> list[InventoryEntry]:
        """Return the rows of `cae-sweep data list` for this data set."""
        return [InventoryEntry(cls.name, "defined in a sweep file")]

    @classmethod
    def download(cls, folder: Path) -> Path | None:
        """Download the files into `folder`; return the folder that contains them, or None if the
        data set needs no files. Raises DatasetMissing."""
        raise DatasetMissing(f"{cls.name} cannot be downloaded into {folder}")


def load_images(dataset: Dataset, folders: Sequence[Path], beside: Sequence[Path] = ()) -> Images:
    """Return the images of a data set, divided and checked.

    `folders` are the data folders. `beside` are the folders of the sweep file: a relative path in
    a sweep file is searched for in the current folder, then there, then in the data folders.

    Raises UserError for everything that is wrong with a data set, exceptions in its code too.
    """
    if dataset.has_relative_path:
        folders = list(dict.fromkeys([*beside, *folders]))
    try:
        images = dataset.load(folders)
    except UserError:
        raise
    except Exception as error:
        if dataset.is_builtin():
            if isinstance(error, ValueError):  # fewer images than requested
                raise UserError(str(error)) from None
            raise
        raise DatasetInvalid(_failure(dataset, error)) from error
    if dataset.is_builtin() or type(dataset).load is Dataset.load:
        return images
    return _check_images(dataset, images)


def _failure(dataset: Dataset, error: Exception) -> str:
    """The message of an exception in the code of a data set, or that there are too few images."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(str(PACKAGE))]
    text = str(error)
    if isinstance(error, ValueError) and text.startswith("dataset.") and not own:
        return text
    where = ""
    if own:
        where = f" ({own[0].filename}, line {own[0].lineno})"
    return f"dataset = {dataset.name!r}: reading it raised {describe_error(error)}{where}"


def _check_images(dataset: Dataset, images: object) -> Images:
    """What an own `load` returned, checked as what `read` returns. Raises DatasetInvalid."""
    findings = Findings(dataset.name)
    check_image_shape(dataset.image_shape, findings)
    if not isinstance(images, Images):
        findings.error(f"load returned {type(images).__name__}: should return Images")
    findings.raise_errors()
    assert isinstance(images, Images)
    names = check_class_names(images.class_names, findings)
    checked: dict[str, CheckedSplit | None] = {}
    labels: dict[str, object] = {}
    for where in ("train", "val", "test"):
        split = getattr(images, where)
        if isinstance(split, tuple) and len(split) == 2:
            labels[where] = split[1]
        checked[where] = check_split(
            split, where, dataset.image_shape, dataset.value_range, names, findings
        )
        if checked[where] is not None and len(split[1]) == 0:
            findings.error(f"{where} has no images")
    check_labeled_splits(labels, names, findings)
    findings.raise_errors()
    splits, value_range = with_one_type(checked, findings)
    is_changed = not images.fingerprint or value_range != BYTE_RANGE
    ordered: list[Split] = []
    for where, part in splits.items():
        assert part is not None
        is_changed = is_changed or part.pixels is not getattr(images, where)[0]
        ordered.append(part)
    train, val, test = ordered
    notes = (*images.notes, *findings.notes)
    if is_changed:
        return with_fingerprint(train, val, test, names, notes, value_range)
    return Images(train, val, test, images.fingerprint, names, notes)
