"""The user's own images: a folder of image files, used directly or imported once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import PositiveInt
from typing_extensions import override

from cae.errors import UserError
from cae.trial.datasets.base import Dataset, InventoryEntry, Source
from cae.trial.datasets.errors import DatasetDamaged, DatasetMissing
from cae.trial.datasets.files import format_folders
from cae.trial.datasets.image_files import (
    IMPORTED_FILE,
    KNOWN_FORMATS,
    DecodedFolder,
    FoundFiles,
    decode_folder,
    find_files,
    find_images,
    imported_shape,
    read_imported,
    write_imported,
)

IMPORT_COMMAND = "cae-sweep data import FOLDER NAME"
"""How to import a folder."""


class ImageFolder(Dataset):
    """A folder of images (png, jpg, tif, gif and all else that Pillow reads), or one that
    `cae-sweep data import` created. Each subfolder is a class. Subfolders named train, val (or
    validation) and test are splits, whose subfolders are classes."""

    path: str
    """The folder: absolute, or relative to the current folder, the folder of the sweep file or a
    data folder; the first of these that contains images is used."""
    size: PositiveInt = 64
    """Width and height of the images in pixels: the shorter side is resized to it, and a centered
    square is cropped."""
    channels: Literal[1, 3] = 3
    """1: gray, 3: color."""
    max_value: PositiveInt | None = None
    """The value of white in gray images of more than 8 bits: 4095 for 12 bits. None: 65535; for
    floats 1."""
    split: Literal["pooled"] = "pooled"
    """How the images are divided: `pooled`, unless there are folders train, val and test. Those
    keep their images; missing validation or test images are taken from train."""

    has_relative_path: ClassVar[bool] = True
    later_parameters: ClassVar[frozenset[str]] = frozenset({"max_value"})

    @property
    @override
    def image_shape(self) -> tuple[int, int, int]:
        return self.channels, self.size, self.size

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
            decoded = decode_folder(folder, self.size, self.channels, max_value=self.max_value)
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
        arguments = [f'path="{path.parent.name}"']
        if len(image_shape) == 3:
            channels, height, _width = image_shape
            arguments += [f"size={height}", f"channels={channels}"]
        usage = f"ImageFolder({', '.join(arguments)})"
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


def _to_source(decoded: DecodedFolder) -> Source:
    """The images of a folder, in its splits if it has some."""
    if decoded.splits is None:
        return Source(decoded.images, None, decoded.class_names, notes=decoded.notes)
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
    )


@dataclass(frozen=True)
class Import:
    """A folder of images that was imported."""

    folder: Path
    """Where the imported images are."""
    dataset: ImageFolder
    """The data set that reads them."""
    images_per_class: dict[str, int]
    notes: tuple[str, ...]
    """What was done to the images, and which files were skipped."""


def import_folder(
    source: Path,
    name: str,
    folder: Path,
    size: int = 64,
    channels: Literal[1, 3] = 3,
    *,
    max_value: int | None = None,
    skip_damaged: bool = False,
    replace: bool = False,
) -> Import:
    """Decode and resize a folder of images once, and write them to `folder`/`name`.

    ImageFolder(path=name, size=size, channels=channels) reads them. Raises UserError (a name that
    is invalid, or in use without `replace`), DatasetMissing, DatasetDamaged and DatasetInvalid;
    nothing is written then.

    Args:
        max_value: See ImageFolder.
        skip_damaged: Leave out images that cannot be decoded.
        replace: Replace an earlier import of this name.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(
            f"name = {name!r}: not a valid folder name; use letters, digits, '_', '-' and '.'"
        )
    dataset = ImageFolder(path=name, size=size, channels=channels)
    target = folder / name
    _check_target(target, name, replace=replace)
    source = source.expanduser()
    files = find_files(source)
    if not files.images:
        raise DatasetMissing(_no_images(source, files))
    decoded = decode_folder(
        source, dataset.size, dataset.channels, max_value=max_value, skip_damaged=skip_damaged
    )
    target.mkdir(parents=True, exist_ok=True)
    write_imported(target / IMPORTED_FILE, decoded, source)
    counts = np.bincount(decoded.images.labels, minlength=len(decoded.class_names))
    images_per_class = dict(zip(decoded.class_names, counts.tolist(), strict=True))
    return Import(target, dataset, images_per_class, decoded.notes)


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
