"""The user's own images: a folder of image files, used directly or imported once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import PositiveInt
from typing_extensions import override

from cae.errors import UserError
from cae.trial.datasets.base import Dataset, InventoryEntry, Source
from cae.trial.datasets.errors import DatasetDamaged, DatasetMissing
from cae.trial.datasets.files import format_folders
from cae.trial.datasets.image_files import (
    IMAGE_SUFFIXES,
    IMPORTED_FILE,
    DecodedFolder,
    decode_folder,
    find_images,
    imported_shape,
    read_imported,
    write_imported,
)

IMPORT_COMMAND = "cae-sweep data import FOLDER NAME"


class ImageFolder(Dataset):
    """A folder of images (png, jpg, bmp, webp), or one that `cae-sweep data import` created. Each
    subfolder is a class."""

    path: str
    """The folder: absolute, or relative to the current folder or to a data folder."""
    size: PositiveInt = 64
    """Width and height of the images in pixels: the shorter side is resized to it, and a centered
    square is cropped."""
    channels: Literal[1, 3] = 3
    """1: gray, 3: color."""
    split: Literal["pooled"] = "pooled"
    """How the images are divided. Only `pooled`, because there is no separate test file."""

    @property
    @override
    def image_shape(self) -> tuple[int, int, int]:
        return self.channels, self.size, self.size

    @override
    def read(self, folders: Sequence[Path]) -> Source:
        path = Path(self.path).expanduser()
        candidates = [Path.cwd() / path, *(folder / path for folder in folders)]
        for candidate in candidates:
            if (candidate / IMPORTED_FILE).is_file():
                decoded = self._read_imported(candidate)
            elif find_images(candidate):
                decoded = decode_folder(candidate, self.size, self.channels)
            else:
                continue
            return Source(decoded.images, None, decoded.class_names)
        raise DatasetMissing(
            f"dataset.path = {self.path!r}: no folder of images ({', '.join(IMAGE_SUFFIXES)})\n"
            f"  searched {format_folders(dict.fromkeys(candidates))}\n"
            "  use an absolute path, or one relative to the current folder, --data-dir or "
            f"CAE_DATA; or: {IMPORT_COMMAND}"
        )

    def _read_imported(self, folder: Path) -> DecodedFolder:
        decoded = read_imported(folder / IMPORTED_FILE)
        channels, height, width = decoded.images.pixels.shape[1:]
        if (channels, height, width) != self.image_shape:
            raise ValueError(
                f"dataset.size = {self.size} with dataset.channels = {self.channels}: {folder} was "
                f"imported as {channels} x {height} x {width}; use these values, or import it again"
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


def import_folder(
    source: Path, name: str, folder: Path, size: int = 64, channels: Literal[1, 3] = 3
) -> Path:
    """Decode and resize a folder of images once, and write them to `folder`/`name`.

    ImageFolder(path=name, size=size, channels=channels) reads them. Returns the new folder. Raises
    UserError (invalid name), DatasetMissing and DatasetDamaged; nothing is written then.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(
            f"name = {name!r}: not a valid folder name; use letters, digits, '_', '-' and '.'"
        )
    dataset = ImageFolder(path=name, size=size, channels=channels)
    target = folder / name
    exists = target.is_dir() and any(target.iterdir())
    if exists and not (target / IMPORTED_FILE).is_file():
        raise UserError(
            f"name = {name!r}: {target} exists and is not an imported data set; choose another name"
        )
    if not find_images(source):
        raise DatasetMissing(f"{source}: there are no images ({', '.join(IMAGE_SUFFIXES)})")
    decoded = decode_folder(source, dataset.size, dataset.channels)
    target.mkdir(parents=True, exist_ok=True)
    write_imported(target / IMPORTED_FILE, decoded, source)
    return target
