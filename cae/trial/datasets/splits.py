"""The images of a data set, and how they are divided into training, validation and test images.

The rules:

- `holdout`: validation images are taken from the training file, the same ones and in the same order
  as by scikit-learn's train_test_split with the same seed; the test images are the first images of
  the test file.
- `pooled`: the images of both files together are divided into validation, test and training images,
  in this order.
- `test_as_validation`: the first images of the test file are both validation and test images.

All rules shuffle with numpy's RandomState(seed).permutation(n), which gives the same numbers in
every version of numpy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from cae.trial.datasets.mapped import MappedPixels
from cae.trial.datasets.pixel_values import BYTE_RANGE, ValueRange, block_length

DIGEST_BYTES = 16
POOLED_BLOCK = 1000
"""Images that are selected together from two files."""
SplitRule = Literal["holdout", "pooled", "test_as_validation"]


class Split(NamedTuple):
    """Images and their classes."""

    pixels: Any
    """An array, or MappedPixels of images that stay on the disk (see mapped.py).

    N x C x H x W, of one of STORED_TYPES (see pixel_values.py); mostly uint8."""
    labels: np.ndarray
    """int64, N, from 0."""


@dataclass(frozen=True)
class Images:
    """A data set in memory, divided."""

    train: Split
    val: Split
    test: Split
    fingerprint: str
    """Identifies shapes, pixels and labels: 32 hexadecimal digits. It is a part of a trial's
    identity."""
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What was done to the images that a user has to know: skipped files, rounded values."""
    value_range: ValueRange = BYTE_RANGE
    """The pixel values of black and white, which become 0 and 1."""

    @property
    def is_streamed(self) -> bool:
        """Whether the training images stay on the disk."""
        return isinstance(self.train.pixels, MappedPixels)


@dataclass(frozen=True)
class RequestedCounts:
    """Number of images of each kind that a data set shall have; None: as many as the rule gives."""

    train: int | None
    val: int | None
    test: int | None


@dataclass(frozen=True)
class Counts:
    """Number of training, validation and test images."""

    train: int
    val: int
    test: int


def split_counts(
    rule: SplitRule, train_file: int, test_file: int, requested: RequestedCounts
) -> Counts:
    """Return the number of images of each kind that a rule gives.

    `train_file` and `test_file` are the numbers of images in the training and the test file. Raises
    ValueError, with the parameter's name, if there are too few images.
    """
    if rule != "pooled" and test_file == 0:
        raise ValueError(f"dataset.split = {rule!r}: the data set has no test file; use 'pooled'")
    if rule == "pooled":
        return _pooled_counts(train_file + test_file, requested)
    if train_file == 0:
        raise _no_training_images(rule)
    if rule == "holdout":
        return _holdout_counts(train_file, test_file, requested)
    train = validate_count(
        "train_images", requested.train or train_file, train_file, "in the training file"
    )
    test = validate_count("val_images", requested.val or test_file, test_file, "in the test file")
    return Counts(train, test, test)


def _no_training_images(rule: SplitRule) -> ValueError:
    return ValueError(f"dataset.split = {rule!r}: the data set has no training images")


def _pooled_counts(total: int, requested: RequestedCounts) -> Counts:
    if total == 0:
        raise _no_training_images("pooled")
    tenth = max(1, total // 10)
    val = validate_count("val_images", requested.val or tenth, total, "in total")
    after_val = f"left of {total} after dataset.val_images = {val}"
    test = validate_count("test_images", requested.test or tenth, total - val, after_val)
    rest = total - val - test
    used = f"dataset.val_images = {val} and dataset.test_images = {test}"
    if rest == 0:
        raise ValueError(f"{used}: none of the {total} images is left for training")
    train = validate_count(
        "train_images", requested.train or rest, rest, f"left of {total} after {used}"
    )
    return Counts(train, val, test)


def _holdout_counts(train_file: int, test_file: int, requested: RequestedCounts) -> Counts:
    tenth = max(1, train_file // 10)
    val = validate_count("val_images", requested.val or tenth, train_file, "in the training file")
    test = validate_count("test_images", requested.test or test_file, test_file, "in the test file")
    rest = train_file - val
    used = f"dataset.val_images = {val}"
    if rest == 0:
        raise ValueError(
            f"{used}: none of the {train_file} images in the training file is left for training"
        )
    train = validate_count(
        "train_images", requested.train or rest, rest, f"left of {train_file} after {used}"
    )
    return Counts(train, val, test)


def validate_count(parameter: str, requested: int, available: int, where: str) -> int:
    """Return `requested`. Raises ValueError if fewer images are available."""
    if requested > available:
        raise ValueError(
            f"dataset.{parameter} = {requested}: there are only {available} images {where}"
        )
    return requested


def divide(
    rule: SplitRule, seed: int, train: Split, test: Split | None, requested: RequestedCounts
) -> tuple[Split, Split, Split]:
    """Return the training, validation and test images, each contiguous in memory.

    `train` and `test` are the images of the training and the test file. Raises ValueError if there
    are too few of them.
    """
    if test is None:
        test = select_images(train, np.arange(0))
    counts = split_counts(rule, len(train.labels), len(test.labels), requested)
    if rule == "pooled":
        return _divide_pooled(seed, train, test, counts)
    order = np.random.RandomState(seed).permutation(len(train.labels))
    held_out_test = select_images(test, np.arange(counts.test))
    if rule == "test_as_validation":
        return select_images(train, order[: counts.train]), held_out_test, held_out_test
    val = select_images(train, order[: counts.val])
    rest = order[counts.val :]
    return select_images(train, rest[: counts.train]), val, held_out_test


def _divide_pooled(
    seed: int, train: Split, test: Split, counts: Counts
) -> tuple[Split, Split, Split]:
    order = np.random.RandomState(seed).permutation(len(train.labels) + len(test.labels))
    first_test = counts.val
    first_train = counts.val + counts.test
    return (
        _select_pooled(train, test, order[first_train : first_train + counts.train]),
        _select_pooled(train, test, order[: counts.val]),
        _select_pooled(train, test, order[first_test:first_train]),
    )


def _select_pooled(train: Split, test: Split, indices: np.ndarray) -> Split:
    """Return images by their indices in the training file followed by the test file.

    A block at a time: a copy of both files together would take twice the memory, and as long as
    reading them.
    """
    if len(test.labels) == 0:
        return select_images(train, indices)
    pixel_type = np.result_type(train.pixels, test.pixels)
    pixels = np.empty((len(indices), *train.pixels.shape[1:]), pixel_type)
    for start in range(0, len(indices), POOLED_BLOCK):
        block = indices[start : start + POOLED_BLOCK]
        selected = pixels[start : start + POOLED_BLOCK]
        is_test = block >= len(train.labels)
        selected[~is_test] = train.pixels[block[~is_test]]
        selected[is_test] = test.pixels[block[is_test] - len(train.labels)]
    return Split(pixels, np.concatenate([train.labels, test.labels])[indices])


def divide_given(
    seed: int, train: Split, val: Split | None, test: Split | None, requested: RequestedCounts
) -> tuple[Split, Split, Split]:
    """Return training, validation and test images that stay in the split that they come from.

    Missing validation or test images are taken from the training images, a tenth of them for each
    if no number is requested. If fewer than all images of a split are requested, they are chosen
    with the seed: files are often sorted by class. Raises ValueError if there are too few.
    """
    order = np.random.RandomState(seed).permutation(len(train.labels))
    total = len(order)
    used = 0
    chosen: dict[str, Split] = {}
    for parameter, given, count in (
        ("val_images", val, requested.val),
        ("test_images", test, requested.test),
    ):
        if given is not None:
            chosen[parameter] = _select_some(parameter, given, count, seed)
            continue
        count = validate_count(
            parameter, count or max(1, total // 10), total - used, "left for training"
        )
        chosen[parameter] = select_images(train, order[used : used + count])
        used += count
    rest = total - used
    if rest == 0:
        raise ValueError(f"dataset.train_images: none of the {total} images is left for training")
    count = validate_count("train_images", requested.train or rest, rest, "for training")
    train = select_images(train, order[used : used + count])
    return train, chosen["val_images"], chosen["test_images"]


def _select_some(parameter: str, split: Split, requested: int | None, seed: int) -> Split:
    """All images of a split, or as many as are requested, in their order."""
    available = len(split.labels)
    if available == 0:
        raise ValueError(f"dataset.{parameter}: there are no images in this split")
    count = validate_count(parameter, requested or available, available, "in this split")
    chosen = np.random.RandomState(seed).permutation(available)[:count]
    return select_images(split, np.sort(chosen))


def select_classes(split: Split, classes: tuple[int, ...]) -> Split:
    """Return the images of these classes, in their order."""
    return select_images(split, np.flatnonzero(np.isin(split.labels, classes)))


def select_images(split: Split, indices: np.ndarray) -> Split:
    """Return the images at these indices."""
    if isinstance(split.pixels, MappedPixels):
        return Split(split.pixels.select(indices), split.labels[indices])
    # Indexing with an array copies: the result is contiguous and does not keep the whole file.
    return Split(split.pixels[indices], split.labels[indices])


def with_fingerprint(
    train: Split,
    val: Split,
    test: Split,
    class_names: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    value_range: ValueRange = BYTE_RANGE,
    *,
    by_image: bool = False,
) -> Images:
    """Return the images with their fingerprint.

    The fingerprint is BLAKE2b of 16 bytes over shape, pixels and labels of each split, and over the
    value range if it is not that of bytes. With `by_image`, a digest of each image is in the place
    of the pixels.
    """
    digest = hashlib.blake2b(digest_size=16)
    if value_range != BYTE_RANGE:
        digest.update(repr(value_range).encode())
    for split in (train, val, test):
        digest.update(repr((split.pixels.shape, split.pixels.dtype.str)).encode())
        if by_image:
            digest.update(_image_digests(split.pixels).data)
        else:
            for block in pixel_blocks(split.pixels):
                digest.update(np.ascontiguousarray(block).data)
        digest.update(np.ascontiguousarray(split.labels, dtype="<i8").data)
    return Images(train, val, test, digest.hexdigest(), class_names, notes, value_range)


def pixel_blocks(pixels: np.ndarray | MappedPixels) -> Iterator[np.ndarray]:
    """Yield all images of a split in their order, a block at a time."""
    if isinstance(pixels, MappedPixels):
        yield from pixels.blocks()
        return
    length = block_length(pixels.shape[1:], pixels.itemsize)
    for start in range(0, len(pixels), length):
        yield pixels[start : start + length]


def digest_images(pixels: np.ndarray) -> np.ndarray:
    """Return a digest of each image: BLAKE2b of its bytes, N x DIGEST_BYTES."""
    digests = np.empty((len(pixels), DIGEST_BYTES), np.uint8)
    for index, image in enumerate(pixels):
        content = np.ascontiguousarray(image).data
        digest = hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()
        digests[index] = np.frombuffer(digest, np.uint8)
    return digests


def _image_digests(pixels: np.ndarray | MappedPixels) -> np.ndarray:
    if isinstance(pixels, MappedPixels) and pixels.digests is not None:
        return np.ascontiguousarray(pixels.digests)
    return np.concatenate([digest_images(block) for block in pixel_blocks(pixels)])
