"""The data sets, one class each: where their files lie, how they are split, and their images, whole in memory.

A data set reads its images once, splits them by a seed, and hands them out as uint8. `image_shape` is known before any file is read.

A data set of one's own is a subclass of Dataset:

    class Spirals(Dataset):
        image_shape = property(lambda self: (1, 32, 32))
        def read(self, folders): return Source(Split(pixels, labels))  # uint8, N x 1 x 32 x 32; int64, N
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

from annotated_types import Len
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from cae.errors import UserError
from cae.trial.component import Component
from cae.trial.datasets import readers, splits
from cae.trial.datasets.readers import DatasetDamaged, DatasetMissing, data_folders
from cae.trial.datasets.splits import Images, Rule, Split

__all__ = [
    "Available",
    "Cifar10",
    "Dataset",
    "DatasetDamaged",
    "DatasetMissing",
    "Digits",
    "FashionMnist",
    "ImageFolder",
    "Images",
    "Mnist",
    "Patches",
    "Source",
    "Split",
    "available",
    "data_folders",
    "fetch",
    "import_folder",
]


class Source(NamedTuple):
    """A data set as its files give it: the training file, the test file where there is one, and the classes' names."""

    train: Split
    test: Split | None = None
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Available:
    """A line of `cae-sweep data list`. `folder` is None where nothing was found; `images` counts the files' images; `how`: how to
    get it, or how to use it once it is there; or what is wrong with the files found."""

    name: str
    folder: Path | None
    images: int | None
    image_shape: tuple[int, ...] | None
    how: str


class Dataset(Component):
    """A data set and its split: cae/trial/datasets/splits.py says what each rule does, and how `split_seed` shuffles."""

    train_images: PositiveInt | None = None
    """None: all that the split leaves."""
    val_images: PositiveInt | None = None
    """None: a tenth of the images divided (all of the test file under `test_as_validation`)."""
    test_images: PositiveInt | None = None
    """None: the whole test file (a tenth of all images under `pooled`)."""
    split: Rule = "pooled"
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    classes: Annotated[tuple[NonNegativeInt, ...], Len(1)] | None = None
    """Only the images of these classes, by number; None: of all. They are chosen before the images are divided and counted."""

    class_names: ClassVar[tuple[str, ...]] = ()
    """Empty where only the files can tell; `Images.class_names` has them then."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """C, H, W of every image, without reading any file."""
        raise NotImplementedError(f"{type(self).__name__} has to define image_shape")

    def read(self, folders: Sequence[Path]) -> Source:
        """The images as the files hold them, from the first of `folders` that has them. Raises DatasetMissing, DatasetDamaged."""
        raise NotImplementedError(f"{type(self).__name__} has to define read")

    def load(self, folders: Sequence[Path]) -> Images:
        """The images, split. Raises DatasetMissing, DatasetDamaged, and ValueError where more are asked for than there are."""
        train, test, class_names = self.read(folders)
        if self.classes:
            train, test = (
                splits.of_classes(train, self.classes),
                test and splits.of_classes(test, self.classes),
            )
        return splits.images(
            *splits.divide(self.split, self.split_seed, train, test, self._asked()), class_names
        )

    def _asked(self) -> splits.Asked:
        return splits.Asked(self.train_images, self.val_images, self.test_images)

    def inactive_parameters(self) -> dict[str, str]:
        if self.split == "test_as_validation":
            return {
                "test_images": "split = 'test_as_validation' makes the validation images (dataset.val_images) the test images too"
            }
        return {}

    @classmethod
    def inventory(cls, folders: Sequence[Path]) -> list[Available]:  # noqa: ARG003
        """What `cae-sweep data list` says of this data set."""
        return [Available(cls.name, None, None, None, "a data set of a sweep file")]

    @classmethod
    def download(cls, folder: Path) -> Path | None:  # noqa: ARG003
        """Brings the files into `folder` and returns where they lie; None where there is nothing to bring. Raises DatasetMissing."""
        raise DatasetMissing(f"{cls.name} cannot be downloaded")


class _Published(Dataset):
    """A data set in its publisher's files, some for training and some for testing."""

    split: Rule = "holdout"
    val_images: PositiveInt | None = 10_000

    shape: ClassVar[tuple[int, int, int]]
    official: ClassVar[tuple[int, int]]
    """Images in all training files and in all test files."""
    files: ClassVar[tuple[tuple[str, ...], ...]]
    """Each file's possible names; the first is the one that messages name."""
    layouts: ClassVar[tuple[str, ...]]
    """Where, under a data folder, the files may lie; the first is the one that messages name."""
    torchvision_name: ClassVar[str]

    @model_validator(mode="after")
    def _as_many_as_there_are(self) -> Self:
        if not self.classes:  # how many images a class has, only the files can tell
            splits.sizes(self.split, *self.official, self._asked())
        return self

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.shape

    @classmethod
    def find(cls, folders: Sequence[Path]) -> list[Path]:
        """The files, in the order of `files`, from the first place that has them all. Raises DatasetMissing."""
        try:
            return readers.find_files(cls.files, cls.layouts, folders)
        except DatasetMissing as where:
            raise DatasetMissing(
                f"{cls.name}: its files were not found\n  {where}\n  to download them: cae-sweep data fetch {cls.name}\n  or {cls.how()}"
            ) from None

    @classmethod
    def how(cls) -> str:
        """How to bring the files in by hand."""
        files = ", ".join(names[0] for names in cls.files)
        return f"put {files} into {cls.layouts[0]} under a folder, and name that folder by --data-dir FOLDER or CAE_DATA=FOLDER"

    @classmethod
    def inventory(cls, folders: Sequence[Path]) -> list[Available]:
        try:
            files = cls.find(folders)
        except DatasetMissing:
            return [
                Available(
                    cls.name, None, sum(cls.official), cls.shape, f"cae-sweep data fetch {cls.name}"
                )
            ]
        try:
            return [Available(cls.name, files[0].parent, cls.count(files), cls.shape, "ready")]
        except DatasetDamaged as error:
            return [Available(cls.name, files[0].parent, None, cls.shape, f"damaged: {error}")]

    @classmethod
    def count(cls, files: list[Path]) -> int:  # noqa: ARG003
        return sum(cls.official)

    @classmethod
    def whole(cls, folder: Path) -> Path:
        """Where in `folder` the files lie, once they have been read from end to end. Raises DatasetMissing, DatasetDamaged."""
        cls().read([folder])
        return cls.find([folder])[0].parent

    @classmethod
    def download(cls, folder: Path) -> Path | None:
        with contextlib.suppress(DatasetMissing, DatasetDamaged):
            return cls.whole(folder)
        try:
            return readers.download(cls.torchvision_name, folder, cls.whole)
        except Exception as error:  # no network, no such server, no space, no torchvision, another file than expected
            what = " ".join(str(error).split()) or type(error).__name__
            raise DatasetMissing(
                f"{cls.name} could not be downloaded into {folder}: {what}\n  {cls.how()}"
            ) from error


class _Idx(_Published):
    """Two pairs of IDX files, as MNIST came, each gzipped or not."""

    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    official: ClassVar[tuple[int, int]] = (60_000, 10_000)
    files: ClassVar[tuple[tuple[str, ...], ...]] = tuple(
        tuple(f"{stem}{joint}{kind}-ubyte{packed}" for packed in ("", ".gz") for joint in "-.")
        for stem, kind in (
            ("train-images", "idx3"),
            ("train-labels", "idx1"),
            ("t10k-images", "idx3"),
            ("t10k-labels", "idx1"),
        )
    )

    @classmethod
    def count(cls, files: list[Path]) -> int:
        return readers.idx_images(files[0]) + readers.idx_images(files[2])

    def read(self, folders: Sequence[Path]) -> Source:
        files = self.find(folders)
        return Source(
            readers.read_idx_pair(files[0], files[1]),
            readers.read_idx_pair(files[2], files[3]),
            self.class_names,
        )


class Mnist(_Idx):
    """MNIST: 60,000 + 10,000 handwritten digits, 28 x 28, grey (LeCun, Cortes, Burges 1998)."""

    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    layouts: ClassVar[tuple[str, ...]] = ("MNIST/raw", "MNIST", "mnist")
    torchvision_name: ClassVar[str] = "MNIST"


class FashionMnist(_Idx):
    """Fashion-MNIST: 60,000 + 10,000 pieces of clothing, 28 x 28, grey, in MNIST's own format (Xiao, Rasul, Vollgraf 2017)."""

    class_names: ClassVar[tuple[str, ...]] = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    layouts: ClassVar[tuple[str, ...]] = (
        "FashionMNIST/raw",
        "FashionMNIST",
        "fashion-mnist",
        "fashion_mnist",
    )
    torchvision_name: ClassVar[str] = "FashionMNIST"


class Cifar10(_Published):
    """CIFAR-10: 50,000 + 10,000 photographs of ten kinds of things, 32 x 32, colour (Krizhevsky 2009)."""

    class_names: ClassVar[tuple[str, ...]] = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    official: ClassVar[tuple[int, int]] = (50_000, 10_000)
    files: ClassVar[tuple[tuple[str, ...], ...]] = tuple(
        (f"{stem}.bin", stem)
        for stem in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
    )
    layouts: ClassVar[tuple[str, ...]] = ("cifar-10-batches-bin", "cifar-10-batches-py", ".")
    torchvision_name: ClassVar[str] = "CIFAR10"

    def read(self, folders: Sequence[Path]) -> Source:
        files = self.find(folders)
        return Source(
            readers.read_cifar(files[:5]), readers.read_cifar(files[5:]), self.class_names
        )


class ImageFolder(Dataset):
    """A folder of images (png, jpg, bmp, webp), or one that `cae-sweep data import` made. Each subfolder is a class."""

    path: str
    """The folder: absolute, or relative to the current folder or to a data folder."""
    size: PositiveInt = 64
    """Shorter side after resizing, and sides of the square cut from the centre, in pixels."""
    channels: Literal[1, 3] = 3
    split: Literal["pooled"] = "pooled"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.channels, self.size, self.size

    def read(self, folders: Sequence[Path]) -> Source:
        places = [base / Path(self.path).expanduser() for base in (Path.cwd(), *folders)]
        for place in places:
            if (place / readers.IMPORTED).is_file():
                found = readers.read_imported(place / readers.IMPORTED)
                if (shape := found.images.pixels.shape[1:]) != self.image_shape:
                    asked = f"dataset.size = {self.size} with dataset.channels = {self.channels}"
                    raise ValueError(
                        f"{asked}, but {place} was imported as {shape[0]} x {shape[1]} x {shape[2]}: set these, or import it anew"
                    )
            elif readers.image_files(place):
                found = readers.read_folder(place, self.size, self.channels)
            else:
                continue
            return Source(found.images, None, found.class_names)
        kinds = ", ".join(readers.IMAGE_SUFFIXES)
        raise DatasetMissing(
            f"dataset.path = {self.path!r}: no folder of images ({kinds}) is there\n  looked in {readers.listed(dict.fromkeys(places))}\n"
            f"  give an absolute path, or one within the current folder, --data-dir or CAE_DATA; or: {_IMPORT}"
        )

    @classmethod
    def inventory(cls, folders: Sequence[Path]) -> list[Available]:
        lines = []
        for path in (
            path
            for folder in folders
            for path in sorted(Path(folder).glob(f"*/{readers.IMPORTED}"))
        ):
            use = f'ImageFolder(path="{path.parent.name}"'
            try:
                count, *shape = readers.imported_shape(path)
                use += f", size={shape[1]}, channels={shape[0]})" if len(shape) == 3 else ")"
                lines.append(Available(cls.name, path.parent, count, tuple(shape), use))
            except DatasetDamaged as error:
                lines.append(Available(cls.name, path.parent, None, None, f"damaged: {error}"))
        return lines or [Available(cls.name, None, None, None, _IMPORT)]

    @classmethod
    def download(cls, folder: Path) -> Path | None:  # noqa: ARG003
        raise DatasetMissing(
            f"{cls.name} is whatever folder you name: there is nothing to download. To bring one in: {_IMPORT}"
        )


class _Embedded(Dataset):
    """A data set that comes with scikit-learn: nothing to find, nothing to download. `embedded`: how many images (by default)."""

    embedded: ClassVar[int]

    @classmethod
    def inventory(cls, folders: Sequence[Path]) -> list[Available]:  # noqa: ARG003
        return [
            Available(
                cls.name, None, cls.embedded, cls().image_shape, "ready: comes with scikit-learn"
            )
        ]

    @classmethod
    def download(cls, folder: Path) -> Path | None:  # noqa: ARG003
        return None


class Digits(_Embedded):
    """scikit-learn's 1,797 handwritten digits (UCI, Alpaydin and Kaynak 1998): 8 x 8, 17 greys spread over 0..255, resized bilinearly."""

    size: PositiveInt = 8
    val_images: PositiveInt | None = 256
    test_images: PositiveInt | None = 256
    split: Literal["pooled"] = "pooled"

    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    embedded: ClassVar[int] = 1797

    @model_validator(mode="after")
    def _as_many_as_there_are(self) -> Self:
        splits.sizes(self.split, self.embedded, 0, self._asked())
        return self

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return 1, self.size, self.size

    def read(self, folders: Sequence[Path]) -> Source:
        return Source(readers.read_digits(self.size), None, self.class_names)


class Patches(_Embedded):
    """Square colour patches of scikit-learn's two sample photographs, 427 x 640: a temple in China, and a flower.

    Each photograph is cut into three strips, so that no pixel of a training patch is in a validation or test patch, whatever
    the seed; `split_seed` chooses the patches' places within the strips, no place twice, from each photograph in turn.
    """

    size: PositiveInt = 32
    train_images: PositiveInt = 2048
    val_images: PositiveInt = 256
    test_images: PositiveInt = 256
    split: Literal["regions"] = "regions"  # type: ignore[assignment]  # its own rule, and its only one

    class_names: ClassVar[tuple[str, ...]] = ("china", "flower")
    embedded: ClassVar[int] = 2048 + 256 + 256
    height: ClassVar[int] = 427
    strips: ClassVar[dict[str, tuple[int, int]]] = {
        "train_images": (0, 448),
        "val_images": (448, 544),
        "test_images": (544, 640),
    }
    """Columns of each photograph, from and up to: seven tenths to train on, fifteen hundredths each to validate and to test."""

    @model_validator(mode="after")
    def _strips_hold_them(self) -> Self:
        for parameter, (first, end) in self.strips.items():
            if self.size > end - first:
                raise ValueError(
                    f"dataset.size = {self.size}: {end - first} at most, the width of the strip for dataset.{parameter}"
                )
            there = 2 * (end - first - self.size + 1) * (self.height - self.size + 1)
            splits.enough(
                parameter,
                getattr(self, parameter),
                there,
                f"of {self.size} x {self.size} in its strips of the photographs",
            )
        return self

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return 3, self.size, self.size

    def load(self, folders: Sequence[Path]) -> Images:
        from sklearn.datasets import load_sample_images

        photographs = load_sample_images().images
        strips = [
            [photograph[:, first:end] for photograph in photographs]
            for first, end in self.strips.values()
        ]
        counts = self.train_images, self.val_images, self.test_images
        # A stream of random numbers for each strip: asking for more images of one kind moves none of another kind.
        train, val, test = (
            readers.cut_patches(strips[k], self.size, counts[k], (self.split_seed, k))
            for k in range(3)
        )
        return splits.images(train, val, test, self.class_names)


def available(folders: Sequence[Path]) -> list[Available]:
    """What is there and where, in the order of the registry: a line for each data set, and one for each imported folder."""
    return [line for dataset in Dataset.registry.values() for line in dataset.inventory(folders)]


def fetch(name: str, folder: Path) -> Path | None:
    """Downloads a data set into `folder` and returns where its files lie; None if it needs none. Raises UserError."""
    if name not in Dataset.registry:
        raise UserError(
            f"data set {name!r} is not known; there are {', '.join(sorted(Dataset.registry))}"
        )
    dataset: type[Dataset] = Dataset.registry[name]
    return dataset.download(folder)


def import_folder(
    source: Path, name: str, folder: Path, size: int = 64, channels: Literal[1, 3] = 3
) -> Path:
    """Decodes and resizes a folder of images once, into `folder`/`name`, for ImageFolder(path=name, size=size, channels=channels).

    Returns the new data set's folder. Raises DatasetMissing, DatasetDamaged (nothing is written then), and UserError.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(
            f"name = {name!r}: should be letters, digits, '_', '-' and '.', to name a folder"
        )
    wanted, place = ImageFolder(path=name, size=size, channels=channels), folder / name
    if place.is_dir() and any(place.iterdir()) and not (place / readers.IMPORTED).is_file():
        raise UserError(
            f"name = {name!r}: {place} is there already, and no import made it; choose another name"
        )
    if not readers.image_files(source):
        raise DatasetMissing(
            f"{source}: no images ({', '.join(readers.IMAGE_SUFFIXES)}) are there to import"
        )
    decoded = readers.read_folder(source, wanted.size, wanted.channels)
    place.mkdir(parents=True, exist_ok=True)
    readers.write_imported(place / readers.IMPORTED, decoded, source)
    return place


_IMPORT = "cae-sweep data import FOLDER"
