"""The base class of data sets.

A data set reads its images once, divides them with a seed, and returns them as uint8. Its
`image_shape` is available before any file is read. A new data set is a subclass of Dataset:

    class Spirals(Dataset):
        @property
        def image_shape(self):
            return 1, 32, 32

        def read(self, folders):
            pixels = ...  # uint8, N x 1 x 32 x 32
            labels = ...  # int64, N
            return Source(Split(pixels, labels))
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

from annotated_types import Len
from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from cae.trial.component import Component
from cae.trial.datasets.errors import DatasetMissing
from cae.trial.datasets.splits import (
    Images,
    RequestedCounts,
    Split,
    SplitRule,
    divide,
    select_classes,
    with_fingerprint,
)


class Source(NamedTuple):
    """The images of a data set as its files contain them, before they are divided."""

    train: Split
    """Images of the training file, or all images if there is only one file."""
    test: Split | None = None
    """Images of the test file."""
    class_names: tuple[str, ...] = ()


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

    class_names: ClassVar[tuple[str, ...]] = ()
    """Empty if the names are in the files; `Images.class_names` contains them then."""

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

        Raises DatasetMissing, DatasetDamaged, and ValueError if there are fewer images than
        requested.
        """
        source = self.read(folders)
        train = source.train
        test = source.test
        if self.classes:
            train = select_classes(train, self.classes)
            if test is not None:
                test = select_classes(test, self.classes)
        train, val, test = divide(
            self.split, self.split_seed, train, test, self._requested_counts()
        )
        return with_fingerprint(train, val, test, source.class_names)

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
