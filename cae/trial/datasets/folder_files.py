"""The files of a folder: images, and the others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from cae.trial.datasets.image_reader import readable_suffixes

KNOWN_FORMATS = "png, jpg, tif, gif, bmp, webp, pgm, ... (all that Pillow reads)"


class FoundFiles(NamedTuple):
    """The files of a folder, each sorted by their path within it."""

    images: list[Path]
    skipped: list[Path]
    """Files whose suffix is not one of an image."""
    outside: list[Path]
    """Links to images and folders outside of the folder: they are not followed."""


def find_images(folder: Path) -> list[Path]:
    """Return the image files in a folder and its subfolders, sorted by their path within it."""
    return find_files(folder).images


def find_files(folder: Path) -> FoundFiles:
    """Return the files in a folder and its subfolders: images, and the others.

    Symbolic links are followed within the folder: somebody else may have made it. Hidden files and
    folders are ignored.
    """
    root = os.path.realpath(folder)
    outside: list[Path] = []
    images: list[Path] = []
    skipped: list[Path] = []
    suffixes = readable_suffixes()
    visited: set[str] = set()
    for parent, subfolders, names in os.walk(folder, followlinks=True):
        real_parent = os.path.realpath(parent)
        if real_parent in visited:  # a link to a parent folder would lead to an endless loop
            subfolders.clear()
            continue
        visited.add(real_parent)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in list(subfolders):
            if leads_out(os.path.join(parent, name), root):
                subfolders.remove(name)
                outside.append(Path(parent, name))
        for name in names:
            if name.startswith("."):
                continue
            if os.path.splitext(name)[1].lower() in suffixes:
                if leads_out(os.path.join(parent, name), root):
                    outside.append(Path(parent, name))
                else:
                    images.append(Path(parent, name))
            else:
                skipped.append(Path(parent, name))

    def parts(path: Path) -> tuple[str, ...]:
        return path.relative_to(folder).parts

    return FoundFiles(
        sorted(images, key=parts), sorted(skipped, key=parts), sorted(outside, key=parts)
    )


def leads_out(path: str, root: str) -> bool:
    """Whether a path is a symbolic link to something outside of a folder."""
    if not os.path.islink(path):
        return False
    return not Path(os.path.realpath(path)).is_relative_to(root)
