"""The user's own images: a folder of image files, used directly or imported once."""

from __future__ import annotations

import math
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import PositiveInt
from typing_extensions import override

from cae.errors import UserError
from cae.trial.datasets.base import Dataset, InventoryEntry, Source
from cae.trial.datasets.errors import DatasetDamaged, DatasetMissing
from cae.trial.datasets.files import format_folders
from cae.trial.datasets.folder_files import KNOWN_FORMATS, FoundFiles, find_files, find_images
from cae.trial.datasets.folder_labels import SPLITS, ClassFolders
from cae.trial.datasets.image_files import (
    DecodedFolder,
    FolderStatistics,
    allocate_memory,
    decode_folder,
)
from cae.trial.datasets.image_memory import is_larger_than_share
from cae.trial.datasets.image_reader import Fit
from cae.trial.datasets.imported_files import (
    IMPORTED_FILE,
    create_pixel_file,
    imported_options,
    imported_shape,
    read_imported,
    temporary_file,
    write_imported,
)
from cae.trial.datasets.parameter_types import ImageSize

IMPORT_COMMAND = "cae-sweep data import FOLDER NAME"
"""How to import a folder."""


class ImageFolder(Dataset):
    """A folder of images (png, jpg, tif, gif and all else that Pillow reads), or one that
    `cae-sweep data import` created. Each subfolder is a class. Subfolders named train, val (or
    validation) and test are splits, whose subfolders are classes."""

    path: str
    """The folder: absolute, or relative to the current folder, the folder of the sweep file or a
    data folder; the first of these that contains images is used."""
    size: ImageSize = 64
    """Height and width of the images in pixels, (96, 160); one number is both."""
    fit: Fit = "crop"
    """How images of another shape get this one. `crop`: they cover it, and what is outside of the
    center is cut off; `pad`: they are inside of it, and the rest has the color of their border;
    `stretch`: they are distorted."""
    channels: Literal[1, 3] = 3
    """1: gray, 3: color."""
    max_value: PositiveInt | None = None
    """The value of white in gray images of more than 8 bits: 4095 for 12 bits. None: 65535; for
    floats 1. If there are such images, all keep 16 bits (floats: 32)."""
    class_folders: ClassFolders = "first"
    """Which folders on the path of an image are its class. `first`: cat in cat/old/1.png; `all`:
    cat/old."""
    splits: str | None = None
    """A CSV file, in the folder or beside the sweep file, with the columns `file` (relative to the
    folder), `split` (train, val or test) and, optional, `class`. Images that it does not list are
    left out."""
    split: Literal["pooled"] = "pooled"
    """How the images are divided: `pooled`, unless there are folders train, val and test, or
    `splits`. Those keep their images; missing validation or test images are taken from train."""

    has_relative_path: ClassVar[bool] = True
    later_parameters: ClassVar[frozenset[str]] = frozenset(
        {"max_value", "fit", "class_folders", "splits"}
    )

    @property
    @override
    def image_shape(self) -> tuple[int, int, int]:
        if isinstance(self.size, int):
            return self.channels, self.size, self.size
        return self.channels, *self.size

    @override
    def read(self, folders: Sequence[Path]) -> Source:
        path = Path(self.path).expanduser()
        candidates = list(
            dict.fromkeys([Path.cwd() / path, *(folder / path for folder in folders)])
        )
        usable = [candidate for candidate in candidates if _contains_images(candidate)]
        if not usable:
            raise DatasetMissing(
                f"dataset.path = {self.path!r}: no folder of images: {KNOWN_FORMATS}\n"
                f"  searched {format_folders(candidates)}\n"
                "  use an absolute path, or one relative to the current folder, the folder of the "
                f"sweep file, --data-dir or CAE_DATA; or: {IMPORT_COMMAND}"
            )
        folder = usable[0]
        if (folder / IMPORTED_FILE).is_file():
            decoded = self._read_imported(folder)
        else:
            decoded = decode_folder(
                folder,
                self.size,
                self.channels,
                max_value=self.max_value,
                fit=self.fit,
                class_folders=self.class_folders,
                splits=find_splits(self.splits, folder, folders),
            )
        others = [other for other in usable[1:] if not other.samefile(folder)]
        if others:
            note = f"{self.path!r} is {folder}, and not {format_folders(others)}"
            decoded = decoded._replace(notes=(*decoded.notes, note))
        return _to_source(decoded)

    def _read_imported(self, folder: Path) -> DecodedFolder:
        decoded = read_imported(folder / IMPORTED_FILE)
        channels, height, width = decoded.images.pixels.shape[1:]
        if (channels, height, width) != self.image_shape:
            raise ValueError(
                f"dataset.size = {self.size} with dataset.channels = {self.channels}: {folder} was "
                f"imported as {channels} x {height} x {width}; use these values, or import it again"
            )
        if self.max_value not in (None, decoded.max_value):
            raise ValueError(
                f"dataset.max_value = {self.max_value}: {folder} was imported with "
                f"max_value = {decoded.max_value}; import it again with --max-value"
            )
        for name in ("fit", "class_folders"):
            imported = getattr(decoded, name)
            if getattr(self, name) != imported:
                raise ValueError(
                    f"dataset.{name} = {getattr(self, name)!r}: {folder} was imported with "
                    f"{name} = {imported!r}; use this value, or import it again"
                )
        if self.splits is not None:
            raise ValueError(
                f"dataset.splits = {self.splits!r}: {folder} is imported, with its splits; import "
                "it again with --splits, and leave splits out"
            )
        return decoded

    @classmethod
    @override
    def inventory(cls, folders: Sequence[Path]) -> list[InventoryEntry]:
        entries = []
        for folder in folders:
            for path in sorted(Path(folder).glob(f"*/{IMPORTED_FILE}")):
                entries.append(cls._imported_entry(path))
        return entries or [InventoryEntry(cls.name, IMPORT_COMMAND)]

    @classmethod
    def _imported_entry(cls, path: Path) -> InventoryEntry:
        try:
            count, *image_shape = imported_shape(path)
        except DatasetDamaged as error:
            return InventoryEntry(cls.name, f"damaged: {error}", path.parent)
        usage = f'ImageFolder(path="{path.parent.name}")'
        if len(image_shape) == 3 and image_shape[0] in (1, 3):
            channels, height, width = image_shape
            options: dict[str, Any] = dict(imported_options(path))
            options |= {"size": (height, width), "channels": channels}
            dataset = cls.model_construct(path=path.parent.name, **options)
            usage = _usage(dataset)
        return InventoryEntry(cls.name, usage, path.parent, count, tuple(image_shape))

    @classmethod
    @override
    def download(cls, folder: Path) -> Path | None:
        raise DatasetMissing(
            f"{cls.name} consists of your own images and cannot be downloaded; to import them: "
            f"{IMPORT_COMMAND}"
        )


def _contains_images(folder: Path) -> bool:
    """Whether a folder is an imported one or contains images."""
    return (folder / IMPORTED_FILE).is_file() or bool(find_images(folder))


def format_size(height: int, width: int) -> str:
    """Return a size as the parameter of ImageFolder."""
    if height == width:
        return str(height)
    return f"({height}, {width})"


def find_splits(name: str | None, folder: Path, folders: Sequence[Path]) -> Path | None:
    """Return the CSV file of splits: in the folder of images, or where that is searched for.

    Raises DatasetMissing.
    """
    if name is None:
        return None
    path = Path(name).expanduser()
    candidates = [parent / path for parent in (folder, Path.cwd(), *folders)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DatasetMissing(
        f"dataset.splits = {name!r}: there is no such file; searched {format_folders(candidates)}"
    )


def _to_source(decoded: DecodedFolder) -> Source:
    """The images of a folder, in its splits if it has some."""
    if decoded.splits is None:
        return Source(
            decoded.images,
            None,
            decoded.class_names,
            notes=decoded.notes,
            value_range=decoded.value_range,
        )
    train = decoded.split("train")
    if train is None:  # all its images are damaged and were skipped
        raise DatasetDamaged("there are no images for training")
    return Source(
        train,
        decoded.split("test"),
        decoded.class_names,
        val=decoded.split("val"),
        is_divided=True,
        notes=decoded.notes,
        value_range=decoded.value_range,
    )


@dataclass(frozen=True)
class Import:
    """A folder of images that was imported."""

    folder: Path
    """Where the imported images are."""
    dataset: ImageFolder
    """The data set that reads them."""
    images_per_class: dict[str, int]
    counts: dict[str, dict[str, int]]
    """Images per split and class; one split `all` if the folder has none."""
    statistics: FolderStatistics
    line: str
    """The data set as it is written in a sweep file."""
    notes: tuple[str, ...]
    """What was done to the images, and which files were skipped."""


def import_folder(
    source: Path,
    name: str,
    folder: Path,
    size: int | tuple[int, int] = 64,
    channels: Literal[1, 3] = 3,
    *,
    max_value: int | None = None,
    fit: Fit = "crop",
    class_folders: ClassFolders = "first",
    splits: str | None = None,
    skip_damaged: bool = False,
    replace: bool = False,
) -> Import:
    """Decode and resize a folder of images once, and write them to `folder`/`name`.

    ImageFolder(path=name, size=size, ...) reads them. Raises UserError (a name that is invalid, or
    in use without `replace`), DatasetMissing, DatasetDamaged and DatasetInvalid; nothing is written
    then.

    Args:
        source: The folder of images.
        name: The name of the import.
        folder: The data folder.
        size: See ImageFolder, as for the parameters of the same names.
        channels: 1 or 3.
        max_value: See ImageFolder.
        fit: See ImageFolder.
        class_folders: See ImageFolder.
        splits: A CSV file, in the folder or relative to the current one.
        skip_damaged: Leave out images that cannot be decoded.
        replace: Replace an earlier import of this name.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(
            f"name = {name!r}: not a valid folder name; use letters, digits, '_', '-' and '.'"
        )
    dataset = ImageFolder(
        path=name, size=size, channels=channels, fit=fit, class_folders=class_folders
    )
    target = folder / name
    _check_target(target, name, replace=replace)
    source = source.expanduser()
    files = find_files(source)
    if not files.images:
        raise DatasetMissing(_no_images(source, files))
    is_new = not target.exists()
    temporary = temporary_file(target / f"{IMPORTED_FILE}.pixels")

    def allocate(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """In memory, or in a file beside the result if it is large."""
        if not is_larger_than_share(math.prod(shape) * dtype.itemsize):
            return allocate_memory(shape, dtype)
        target.mkdir(parents=True, exist_ok=True)
        return create_pixel_file(temporary, shape, dtype)

    try:
        decoded = decode_folder(
            source,
            dataset.size,
            dataset.channels,
            max_value=max_value,
            skip_damaged=skip_damaged,
            fit=fit,
            class_folders=class_folders,
            splits=find_splits(splits, source, []),
            allocate=allocate,
        )
        target.mkdir(parents=True, exist_ok=True)
        write_imported(target / IMPORTED_FILE, decoded, source)
    except BaseException:
        if is_new and target.is_dir():
            shutil.rmtree(target)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    counts = _counts(decoded)
    images_per_class: Counter[str] = Counter()
    for of_split in counts.values():
        images_per_class.update(of_split)
    assert decoded.statistics is not None
    return Import(
        folder=target,
        dataset=dataset,
        images_per_class={name: images_per_class[name] for name in decoded.class_names},
        counts=counts,
        statistics=decoded.statistics,
        line=_usage(dataset),
        notes=decoded.notes,
    )


def _counts(decoded: DecodedFolder) -> dict[str, dict[str, int]]:
    """Images per split and class."""
    labels = decoded.images.labels
    members = {"all": np.ones(len(labels), bool)}
    if decoded.splits is not None:
        members = {name: decoded.splits == number for number, name in enumerate(SPLITS)}
    counts: dict[str, dict[str, int]] = {}
    for split, is_member in members.items():
        numbers = np.bincount(labels[is_member], minlength=len(decoded.class_names)).tolist()
        if sum(numbers):
            counts[split] = dict(zip(decoded.class_names, numbers, strict=True))
    return counts


def _usage(dataset: ImageFolder) -> str:
    """The line of a sweep file that uses an imported folder."""
    channels, height, width = dataset.image_shape
    arguments = [
        f'path="{dataset.path}"',
        f"size={format_size(height, width)}",
        f"channels={channels}",
    ]
    for name in ("fit", "class_folders"):
        value = getattr(dataset, name)
        if value != ImageFolder.model_fields[name].default:
            arguments.append(f'{name}="{value}"')
    return f"ImageFolder({', '.join(arguments)})"


def _check_target(target: Path, name: str, *, replace: bool) -> None:
    """Raise UserError if the folder of an import is in use."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"name = {name!r}: {target} is a file; choose another name")
    contents = [path.name for path in target.iterdir()]
    if IMPORTED_FILE in contents:
        if not replace:
            raise UserError(
                f"name = {name!r}: {target} is imported already; choose another name, or replace "
                "it with --replace"
            )
        return
    # A process that was killed while it wrote leaves only its temporary file.
    others = [content for content in contents if not content.startswith(f".{IMPORTED_FILE}.")]
    if others:
        raise UserError(
            f"name = {name!r}: {target} exists and is not an imported data set; choose another name"
        )
    for content in contents:
        (target / content).unlink()


def _no_images(source: Path, files: FoundFiles) -> str:
    if not source.exists():
        return f"{source} does not exist"
    if not source.is_dir():
        return f"{source} is a file: should be a folder of images"
    message = f"{source}: there are no images in it or in its subfolders ({KNOWN_FORMATS})"
    if files.skipped:
        names = ", ".join(path.name for path in files.skipped[:5])
        message += f"; there are {len(files.skipped)} other files, such as {names}"
    if files.outside:
        name = files.outside[0].name
        message += f"; links out of the folder, such as {name}, are not followed: copy the images"
    return message
