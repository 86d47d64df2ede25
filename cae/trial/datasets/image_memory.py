"""Whether the images of a data set are kept in memory, or read from their file batch by batch."""

from __future__ import annotations

import math
import os

from cae.container_limits import memory_limit
from cae.errors import UserError

IMAGES_VARIABLE = "CAE_SWEEP_IMAGES"
"""Environment variable: `resident` keeps images in memory, `streamed` reads them from the disk.
The results are the same, bit for bit."""
TEST_SHARE = 0.1
"""The test images of a streamed data set may need this share of the memory at the end of a trial,
when about as much again is needed for measures of them."""
CHOICES = ("auto", "resident", "streamed")
MEMORY_SHARE = 0.25
"""Larger images are streamed: while a data set is read, divided and given to the workers, it is in
memory up to three times."""


SAVE_UNCOMPRESSED = "save them uncompressed: numpy.save or safetensors"


def choose_streaming(
    nbytes: int, *, can_stream: bool, what: str, remedy: str = SAVE_UNCOMPRESSED
) -> tuple[bool, str]:
    """Return whether images are streamed, and a note for the user (empty if nothing is special).

    Raises UserError if they have to be, but cannot.

    Args:
        nbytes: Size of the images in memory.
        can_stream: Whether their bytes are in a file as they are in memory.
        what: The file, for messages.
        remedy: How images that cannot be streamed become images that can.
    """
    choice = os.environ.get(IMAGES_VARIABLE) or "auto"
    if choice not in CHOICES:
        raise UserError(
            f"{IMAGES_VARIABLE} = {choice!r}: should be {', '.join(CHOICES[:-1])} or {CHOICES[-1]}"
        )
    limit = memory_limit()
    is_large = is_larger_than_share(nbytes)
    sizes = f"{format_gigabytes(nbytes)} of images with {format_gigabytes(limit)} of memory"
    if choice == "streamed" and not can_stream:
        raise UserError(f"{IMAGES_VARIABLE} = streamed: {what} cannot be streamed; {remedy}")
    if choice == "resident" or (choice == "auto" and not is_large):
        note = ""
        if choice == "resident" and is_large:
            note = f"{sizes}: kept in memory, because {IMAGES_VARIABLE} = resident"
        return False, note
    if not can_stream:
        raise UserError(
            f"{what}: {sizes} are too many to be kept in memory, and are not stored as a file of "
            f"pixels: {remedy} (or set {IMAGES_VARIABLE}=resident)"
        )
    reason = f"more than {MEMORY_SHARE:.0%} of the memory"
    if choice == "streamed":
        reason = f"{IMAGES_VARIABLE} = streamed"
    return True, f"{sizes}: streamed from the disk ({reason}), with the same results"


def check_test_images(count: int, image_shape: tuple[int, ...]) -> None:
    """Raise ValueError if the test images of a streamed data set do not fit into the memory.

    The final evaluation keeps their inputs, outputs and targets as float32.
    """
    image_bytes = 3 * 4 * math.prod(image_shape)
    available = int(TEST_SHARE * memory_limit())
    largest = max(1, available // image_bytes)
    if count > largest:
        raise ValueError(
            f"dataset.test_images: the final evaluation keeps {count:,} test images in memory, "
            f"{format_gigabytes(count * image_bytes)} of {format_gigabytes(memory_limit())}: set "
            f"test_images to at most {largest:,}"
        )


def is_larger_than_share(nbytes: int) -> bool:
    """Return whether images of this size are streamed, if nothing else is requested."""
    return nbytes > MEMORY_SHARE * memory_limit()


def format_gigabytes(nbytes: int) -> str:
    """Return a size in GB, or in MB below 0.1 GB."""
    if nbytes < 1e8:
        return f"{nbytes / 1e6:.3g} MB"
    return f"{nbytes / 1e9:.3g} GB"
