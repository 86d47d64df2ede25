"""What a user has to know about a folder of images before training: copies, empty classes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def note_on_copies(pixels: np.ndarray, names: Sequence[str], splits: np.ndarray | None) -> str:
    """A note about images with equal pixels; empty if there are none.

    Copies in training and test images make a network look better than it is on new images.

    Args:
        pixels: uint8, N x C x H x W.
        names: The name of each image.
        splits: The number of each image's split, if the folder has splits.
    """
    first: dict[bytes, int] = {}
    copies: list[tuple[int, int]] = []
    for index, image in enumerate(pixels):
        digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        original = first.setdefault(digest, index)
        if original != index:
            copies.append((original, index))
    if not copies:
        return ""
    danger = "both may be in training and test images"
    if splits is not None:
        copies = [pair for pair in copies if splits[pair[0]] != splits[pair[1]]]
        if not copies:
            return ""
        danger = "they are in different splits"
    original, copy = copies[0]
    images = f"{len(copies)} images equal"
    if len(copies) == 1:
        images = "1 image equals"
    return f"{images} another one (such as {names[copy]} and {names[original]}): {danger}"


def note_on_empty_folders(folder: Path, images: Sequence[Path]) -> str:
    """A note about subfolders, which would be classes, without images; empty if there are none."""
    with_images = {path.relative_to(folder).parts[0] for path in images}
    empty = [
        path.name
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith(".") and path.name not in with_images
    ]
    if not empty:
        return ""
    shown = ", ".join(empty[:5])
    if len(empty) > 5:
        shown += ", ..."
    return f"no images in {len(empty)} of the folders: {shown}"
