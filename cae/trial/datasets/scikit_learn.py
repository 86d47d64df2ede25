"""Data sets that are included in scikit-learn: no files, no download."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import PositiveInt, model_validator
from typing_extensions import override

from cae.trial.datasets.base import Dataset, InventoryEntry, Source
from cae.trial.datasets.splits import Images, Split, split_counts, validate_count, with_fingerprint


class _IncludedDataset(Dataset):
    """A data set that is included in scikit-learn."""

    has_bytes: ClassVar[bool] = True
    included_images: ClassVar[int]
    """Number of images, with default parameters."""

    @classmethod
    @override
    def inventory(cls, folders: Sequence[Path]) -> list[InventoryEntry]:
        return [
            InventoryEntry(
                cls.name,
                "ready: included in scikit-learn",
                images=cls.included_images,
                image_shape=cls().image_shape,
            )
        ]

    @classmethod
    @override
    def download(cls, folder: Path) -> Path | None:
        return None


class Digits(_IncludedDataset):
    """1,797 handwritten digits of scikit-learn, 8 x 8, gray (UCI, Alpaydin and Kaynak 1998).

    Their 17 gray levels are scaled to 0..255. Other sizes are resized bilinearly.
    """

    size: PositiveInt = 8
    """Width and height of the images in pixels."""
    val_images: PositiveInt | None = 256
    """Number of validation images. None: a tenth of all images."""
    test_images: PositiveInt | None = 256
    """Number of test images. None: a tenth of all images."""
    split: Literal["pooled"] = "pooled"
    """How the images are divided. Only `pooled`, because there is no separate test file."""

    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    included_images: ClassVar[int] = 1797

    @model_validator(mode="after")
    def _validate_counts(self) -> Self:
        """Raise ValueError if the data set does not contain enough images."""
        requested = self._requested_counts()
        split_counts(self.split, train_file=self.included_images, test_file=0, requested=requested)
        return self

    @property
    @override
    def image_shape(self) -> tuple[int, int, int]:
        return 1, self.size, self.size

    @override
    def read(self, folders: Sequence[Path]) -> Source:
        return Source(_read_digits(self.size), None, self.class_names)


def _read_digits(size: int) -> Split:
    from PIL import Image

    # This does the same as load_digits of scikit-learn, without importing scikit-learn: the import
    # would add a second to every command that makes a plan.
    library = importlib.util.find_spec("sklearn")
    if library is None or library.origin is None:
        raise ModuleNotFoundError("scikit-learn, which contains the digits, is not installed")
    path = Path(library.origin).parent / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(path, delimiter=",")  # per image a row of 64 values in 0..16 and the label
    labels = table[:, -1].astype(np.int64)
    pixels = np.rint(table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    if size != 8:
        resized = np.empty((len(pixels), size, size), np.uint8)
        for index, image in enumerate(pixels):
            digit = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
            resized[index] = np.asarray(digit)
        pixels = resized
    images = pixels[:, None]  # N x 1 x H x W
    return Split(images, labels)


@dataclass(frozen=True)
class _Strip:
    """The columns of each photograph from which the patches of one split are cut."""

    count_parameter: str
    """The parameter that is the number of patches in the split."""
    first_column: int
    end_column: int

    @property
    def width(self) -> int:
        return self.end_column - self.first_column


class Patches(_IncludedDataset):
    """Square color patches of two photographs of scikit-learn, 427 x 640: a temple and a flower.

    Each photograph is divided into three vertical strips, so that no pixel of a training patch is
    in a validation or test patch, whatever the seed. `split_seed` selects the positions of the
    patches within the strips, without repetition, alternating between the photographs.
    """

    size: PositiveInt = 32
    """Width and height of the patches in pixels."""
    train_images: PositiveInt = 2048
    """Number of training patches."""
    val_images: PositiveInt = 256
    """Number of validation patches."""
    test_images: PositiveInt = 256
    """Number of test patches."""
    # "regions" is not one of the rules in the type of Dataset.split.
    split: Literal["regions"] = "regions"  # type: ignore[assignment]
    """How the patches are divided: by regions of the photographs."""

    class_names: ClassVar[tuple[str, ...]] = ("china", "flower")
    included_images: ClassVar[int] = 2048 + 256 + 256
    photograph_count: ClassVar[int] = 2
    height: ClassVar[int] = 427
    """Height of the photographs in pixels."""
    strips: ClassVar[tuple[_Strip, ...]] = (
        _Strip("train_images", 0, 448),
        _Strip("val_images", 448, 544),
        _Strip("test_images", 544, 640),
    )
    """70 % of the columns for training, 15 % each for validation and test."""

    @model_validator(mode="after")
    def _validate_counts(self) -> Self:
        """Raise ValueError if a strip does not contain enough patches."""
        for strip in self.strips:
            if self.size > strip.width:
                raise ValueError(
                    f"dataset.size = {self.size}: at most {strip.width}, the width of the strip "
                    f"for dataset.{strip.count_parameter}"
                )
            columns = strip.width - self.size + 1
            rows = self.height - self.size + 1
            validate_count(
                strip.count_parameter,
                requested=getattr(self, strip.count_parameter),
                available=self.photograph_count * rows * columns,
                where=f"of {self.size} x {self.size} in its strips of the photographs",
            )
        return self

    @override
    def inactive_parameters(self) -> dict[str, str]:
        reason = "patches are cut from both photographs"
        return super().inactive_parameters() | {"classes": reason}

    @property
    @override
    def image_shape(self) -> tuple[int, int, int]:
        return 3, self.size, self.size

    @override
    def load(self, folders: Sequence[Path]) -> Images:
        from sklearn.datasets import load_sample_images

        photographs = load_sample_images().images
        splits = []
        for strip_number, strip in enumerate(self.strips):
            areas = [photo[:, strip.first_column : strip.end_column] for photo in photographs]
            count = getattr(self, strip.count_parameter)
            # Each strip has its own seed, so the size of one split does not change the patches of
            # another one.
            splits.append(_cut_patches(areas, self.size, count, (self.split_seed, strip_number)))
        train, val, test = splits
        return with_fingerprint(train, val, test, self.class_names)


def _cut_patches(
    areas: Sequence[np.ndarray], size: int, count: int, seed: tuple[int, int]
) -> Split:
    """Cut `count` patches (3 x size x size) out of the areas (H x W x 3).

    The patches alternate between the areas: the label of patch i, i % len(areas), is the index of
    its area. No two patches have the same position.
    """
    labels = np.arange(count, dtype=np.int64) % len(areas)
    pixels = np.empty((count, 3, size, size), np.uint8)
    for label, area in enumerate(areas):
        # rows x columns x 3 x size x size: the patch at each position, without copying
        windows = np.lib.stride_tricks.sliding_window_view(area, (size, size), axis=(0, 1))
        rows, columns = windows.shape[:2]
        random = np.random.RandomState([*seed, label])
        is_from_area = labels == label
        positions = random.permutation(rows * columns)[: is_from_area.sum()]
        row_indices, column_indices = np.divmod(positions, columns)
        pixels[is_from_area] = windows[row_indices, column_indices]
    return Split(pixels, labels)
