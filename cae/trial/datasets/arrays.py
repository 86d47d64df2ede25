"""The user's own arrays: images in npy, npz, safetensors and TIFF files, of any type and size."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from cae.trial.datasets.array_files import FILE_SUFFIXES, open_arrays, read_class_names
from cae.trial.datasets.array_images import (
    USE_AS,
    Layout,
    LoadedArrays,
    check_shapes,
    load_arrays,
    suggest_arguments,
)
from cae.trial.datasets.array_names import FoundArrays, find_arrays
from cae.trial.datasets.base import Dataset, InventoryEntry, Source
from cae.trial.datasets.errors import DatasetMissing
from cae.trial.datasets.files import find_path
from cae.trial.datasets.own_data import (
    Findings,
    check_class_names,
    check_labeled_splits,
    check_labels,
)
from cae.trial.datasets.parameter_types import ImageShape, StatedRange
from cae.trial.datasets.splits import Split

with warnings.catch_warnings():
    # In the base class `value_range` is a constant of the class; here it is a parameter.
    warnings.filterwarnings("ignore", message='Field name "value_range"', category=UserWarning)

    class Arrays(Dataset):
        """Arrays of images: a file .npy, .npz, .safetensors or .tif, or a folder of .npy and .tif
        files. They keep their type: uint8, uint16, int16, float16 or float32.

        Arrays named train, val and test (or train_images, x_train, ...) are splits; otherwise one
        array contains all images. Labels are arrays named train_labels, y_train, labels, ..."""

        path: str
        """The file or folder: absolute, or relative to the current folder, the folder of the sweep
        file or a data folder; the first of these that exists is used."""
        shape: ImageShape = Field(default=None, validate_default=True)
        """Channels, height and width of the images; required."""
        value_range: StatedRange = None  # type: ignore[misc]
        """The values of black and white, which become 0 and 1: (0, 4095) for 12 bits. None: that of
        the type for uint8, (0, 255), and uint16, (0, 65535); all other types need it."""
        layout: Layout | None = None
        """The axes of the arrays: images, channels, height, width in this order. None: the order in
        which `shape` fits, if there is only one."""
        images: str | None = None
        """Name of the array that contains all images. None: by the usual names, or the only array
        with three or four axes."""
        labels: str | None = None
        """Name of the array of class numbers, or of a file beside `path`. None: by the usual names;
        without one, all images are of class 0."""
        split: Literal["pooled"] = "pooled"
        """How the images are divided: `pooled`, unless there are arrays of train, val and test.
        Those keep their images; missing validation or test images are taken from train."""

        has_relative_path: ClassVar[bool] = True

        @property
        @override
        def image_shape(self) -> tuple[int, int, int]:
            return self.shape

        @override
        def read(self, folders: Sequence[Path]) -> Source:
            path = find_path(self.path, folders)
            found = find_arrays(path, open_arrays(path), self.images, self.labels)
            layouts = check_shapes(found, self.shape, self.layout)
            loaded = load_arrays(path, found, layouts, self.value_range)
            return self._to_source(path, found, loaded)

        def _to_source(self, path: Path, found: FoundArrays, loaded: LoadedArrays) -> Source:
            """The images with their labels, in their splits if they have some."""
            findings = Findings(self.name)
            names = check_class_names(read_class_names(path, found.all), findings)
            splits: dict[str, Split | None] = {"train": None, "val": None, "test": None}
            classes = 1
            stored = {split: found.read_labels(split) for split in loaded.pixels}
            check_labeled_splits(stored, names, findings)
            for split, pixels in loaded.pixels.items():
                labels = check_labels(stored[split], len(pixels), split, names, findings)
                if labels is not None:
                    splits[split] = Split(pixels, labels)
                    classes = max(classes, int(labels.max(initial=0)) + 1)
            findings.raise_errors()
            if not names and classes > 1:
                names = tuple(str(number) for number in range(classes))
            train = splits["train"]
            assert train is not None
            return Source(
                train,
                splits["test"],
                names,
                val=splits["val"],
                is_divided=found.has_splits,
                notes=(*found.notes, *loaded.notes, *findings.notes),
                value_range=loaded.value_range,
                is_digested_by_image=True,
            )

        @classmethod
        @override
        def inventory(cls, folders: Sequence[Path]) -> list[InventoryEntry]:
            suffixes = ", ".join(FILE_SUFFIXES)
            return [InventoryEntry(cls.name, f"your own files ({suffixes}): Arrays(path=...)")]

        @classmethod
        @override
        def download(cls, folder: Path) -> Path | None:
            raise DatasetMissing(f"{cls.name} are your own files and cannot be downloaded")


def describe_file(path: Path) -> list[str]:
    """Return what a file of arrays contains, and the lines to write into a sweep file.

    Raises DatasetDamaged and DatasetInvalid.
    """
    arrays = open_arrays(path)
    count = f"{len(arrays)} arrays"
    if len(arrays) == 1:
        count = "1 array"
    lines = [f"{path}: {count}"]
    lines += [f"  {array.describe()}" for array in arrays.values()]
    found = find_arrays(path, arrays, None, None)
    lines += [f"  {note}" for note in found.notes]
    return [*lines, *suggest_arguments(path, found)]


def suggest_datasets(path: Path) -> list[str]:
    """Return what a sweep file can have as its data set for a file of arrays: `Arrays(...)`.

    There are several if the axes of the arrays have several meanings, which are comments.

    Raises DatasetDamaged and DatasetInvalid.
    """
    lines = describe_file(path.resolve())
    return [line.removeprefix(USE_AS) for line in lines if line.startswith(USE_AS)]
