"""The base class of data sets that are published as files: found on disk, or downloaded."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import tempfile
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from pydantic import PositiveInt, model_validator
from typing_extensions import override

from cae.trial.datasets.base import Dataset, InventoryEntry, Source
from cae.trial.datasets.errors import DatasetDamaged, DatasetMissing
from cae.trial.datasets.files import find_files
from cae.trial.datasets.splits import SplitRule, split_counts

DOWNLOAD_TIMEOUT_SECONDS = 60


class PublishedDataset(Dataset):
    """A data set in the files of its publisher, some for training and some for testing."""

    split: SplitRule = "holdout"
    """How the images are divided. `holdout`: validation images are taken from the training file;
    `pooled`: training and test file are divided together; `test_as_validation`: the test images are
    also the validation images."""
    val_images: PositiveInt | None = 10_000
    """Number of validation images. None: a tenth of the images that are divided (of the test file
    under `test_as_validation`: all)."""

    has_bytes: ClassVar[bool] = True
    shape: ClassVar[tuple[int, int, int]]
    """C, H, W."""
    train_file_images: ClassVar[int]
    """Number of images in the training files."""
    test_file_images: ClassVar[int]
    """Number of images in the test files."""
    file_names: ClassVar[tuple[tuple[str, ...], ...]]
    """The possible names of each file. Messages use the first one."""
    subfolders: ClassVar[tuple[str, ...]]
    """Where the files can be within a data folder. Messages use the first one."""
    torchvision_name: ClassVar[str]
    """Name of the class in torchvision.datasets that downloads the files."""

    @classmethod
    @abstractmethod
    def read_files(cls, files: Sequence[Path]) -> Source:
        """Return the images of the files, which are in the order of `file_names`.

        Raises DatasetDamaged.
        """

    @model_validator(mode="after")
    def _validate_counts(self) -> Self:
        if not self.classes:  # only the files contain the number of images of each class
            split_counts(
                self.split,
                self.train_file_images,
                self.test_file_images,
                self._requested_counts(),
            )
        return self

    @property
    @override
    def image_shape(self) -> tuple[int, int, int]:
        return self.shape

    @override
    def read(self, folders: Sequence[Path]) -> Source:
        return self.read_files(self.find_files(folders))

    @classmethod
    def find_files(cls, folders: Sequence[Path]) -> list[Path]:
        """Return the files in the order of `file_names`, from the first folder that contains all of
        them. Raises DatasetMissing."""
        try:
            return find_files(cls.file_names, cls.subfolders, folders)
        except DatasetMissing as error:
            raise DatasetMissing(
                f"{cls.name}: the files were not found\n  {error}\n{cls._misplaced(folders)}"
                f"  to download them: cae-sweep data fetch {cls.name}\n  or {cls.manual_hint()}"
            ) from None

    @classmethod
    def _misplaced(cls, folders: Sequence[Path]) -> str:
        """A line of a message if the files are directly in one of the folders.

        They are not used there: the files of MNIST and Fashion-MNIST have the same names.
        """
        for folder in folders:
            with contextlib.suppress(DatasetMissing):
                files = find_files(cls.file_names, ["."], [folder])
                names = [path.name for path in files]
                return (
                    f"  {folder} itself contains {', '.join(names)}: move them into "
                    f"{folder / cls.subfolders[0]} if they are those of {cls.name}\n"
                )
        return ""

    @classmethod
    def manual_hint(cls) -> str:
        """Return how a user can add files that were downloaded in another way."""
        files = ", ".join(names[0] for names in cls.file_names)
        return (
            f"put {files} into {cls.subfolders[0]} in a folder, and give that folder as "
            "--data-dir FOLDER or CAE_DATA=FOLDER"
        )

    @classmethod
    @override
    def inventory(cls, folders: Sequence[Path]) -> list[InventoryEntry]:
        hint = f"cae-sweep data fetch {cls.name}"
        folder = None
        images: int | None = cls.train_file_images + cls.test_file_images
        try:
            files = cls.find_files(folders)
            hint = "ready"
            folder = files[0].parent
            images = cls.count_images(files)
        except DatasetMissing:
            hint = cls._misplaced(folders).strip() or hint
        except DatasetDamaged as error:
            hint = f"damaged: {error}"
            images = None
        return [InventoryEntry(cls.name, hint, folder, images, cls.shape)]

    @classmethod
    @abstractmethod
    def count_images(cls, files: Sequence[Path]) -> int:
        """Return the number of images in the files, without reading all of them.

        Raises DatasetDamaged.
        """

    @classmethod
    @override
    def download(cls, folder: Path) -> Path | None:
        with contextlib.suppress(DatasetMissing, DatasetDamaged):
            return cls.verify(folder)
        try:
            return cls._download_with_torchvision(folder)
        except Exception as error:
            # No network, no server, no disk space, no torchvision, a file of another format, ...
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DatasetMissing(
                f"{cls.name} could not be downloaded into {folder}: {reason}\n  {cls.manual_hint()}"
            ) from error

    @classmethod
    def verify(cls, folder: Path) -> Path:
        """Read all files; return the folder that contains them.

        Raises DatasetMissing and DatasetDamaged.
        """
        files = cls.find_files([folder])
        cls.read_files(files)
        return files[0].parent

    @classmethod
    def _download_with_torchvision(cls, folder: Path) -> Path:
        """Download into a temporary folder, verify the files, and move them into `folder`, so that
        an interrupted or damaged download is never used."""
        folder.mkdir(parents=True, exist_ok=True)
        datasets = importlib.import_module("torchvision.datasets")
        download = getattr(datasets, cls.torchvision_name)
        prefix = f".fetch-{cls.torchvision_name}-"
        previous_timeout = socket.getdefaulttimeout()
        try:
            # torchvision sets no timeout: it would wait forever for a server that does not answer.
            socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_SECONDS)
            with tempfile.TemporaryDirectory(prefix=prefix, dir=folder) as temporary:
                download(temporary, train=False, download=True)
                downloaded = cls.verify(Path(temporary))
                target = folder / downloaded.relative_to(temporary)
                target.mkdir(parents=True, exist_ok=True)
                for path in downloaded.iterdir():
                    if path.suffix != ".gz":  # archives: their content is beside them
                        os.replace(path, target / path.name)
            return cls.verify(folder)
        finally:
            socket.setdefaulttimeout(previous_timeout)
