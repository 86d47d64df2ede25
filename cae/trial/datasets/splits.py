"""How the images of a data set are divided into training, validation and test images: the one implementation of every rule.

All rules shuffle by numpy's RandomState(seed).permutation(n), whose numbers are the same in every version of numpy.

- `holdout`: validation images are taken off the training file, the ones and in the order that scikit-learn's train_test_split
  takes with the same seed; the test images are the test file's first.
- `pooled`: both files together are divided anew: validation, then test, then training images.
- `test_as_validation`: the test file's first images are validation and test images in one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

Rule = Literal["holdout", "pooled", "test_as_validation"]


class Split(NamedTuple):
    """Images and their classes: `pixels` uint8, N x C x H x W, 0..255; `labels` int64, N, from 0."""

    pixels: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Images:
    """A data set, split and whole in memory. `fingerprint`: what it is, in 32 hexadecimal digits, and so part of a trial's identity."""

    train: Split
    val: Split
    test: Split
    fingerprint: str
    class_names: tuple[str, ...] = ()


class Asked(NamedTuple):
    """How many images of each kind a data set is asked for; None: as many as the rule gives."""

    train: int | None
    val: int | None
    test: int | None


def sizes(rule: Rule, train_file: int, test_file: int, asked: Asked) -> tuple[int, int, int]:
    """How many training, validation and test images the rule gives. Raises ValueError, naming the parameter, where there are too few."""
    if rule != "pooled" and not test_file:
        raise ValueError(
            f"dataset.split = {rule!r} needs a test file, and this data set has none: use 'pooled'"
        )
    if not train_file + (test_file if rule == "pooled" else 0):
        raise ValueError(f"dataset.split = {rule!r}: this data set has no images to train on")
    if rule == "test_as_validation":
        val = enough("val_images", asked.val or test_file, test_file, "in the test file")
        return (
            enough("train_images", asked.train or train_file, train_file, "in the training file"),
            val,
            val,
        )
    total, where = (
        (train_file + test_file, "in all")
        if rule == "pooled"
        else (train_file, "in the training file")
    )
    val = enough("val_images", asked.val or max(1, total // 10), total, where)
    left, taken = total - val, f"dataset.val_images = {val}"
    if rule == "pooled":
        test = enough(
            "test_images", asked.test or max(1, total // 10), left, f"left of {total} after {taken}"
        )
        left, taken = left - test, f"{taken} and dataset.test_images = {test}"
    else:
        test = enough("test_images", asked.test or test_file, test_file, "in the test file")
    if not left:
        raise ValueError(f"{taken}: none of the {total} images {where} is left to train on")
    return (
        enough("train_images", asked.train or left, left, f"left of {total} after {taken}"),
        val,
        test,
    )


def divide(
    rule: Rule, seed: int, train: Split, test: Split | None, asked: Asked
) -> tuple[Split, Split, Split]:
    """Training, validation and test images, each contiguous. Raises ValueError where there are too few."""
    n_train, n_val, n_test = sizes(rule, len(train.labels), len(test.labels) if test else 0, asked)
    if test and rule == "pooled":
        train, test = Split(*(np.concatenate(both) for both in zip(train, test, strict=True))), None
    order = np.random.RandomState(seed).permutation(len(train.labels))
    if test and rule == "test_as_validation":
        val = _take(test, np.arange(n_val))
        return _take(train, order[:n_train]), val, val
    val, order = _take(train, order[:n_val]), order[n_val:]
    if test:
        return _take(train, order[:n_train]), val, _take(test, np.arange(n_test))
    return _take(train, order[n_test:][:n_train]), val, _take(train, order[:n_test])


def of_classes(split: Split, classes: tuple[int, ...]) -> Split:
    """The images of these classes, in their order."""
    return _take(split, np.flatnonzero(np.isin(split.labels, classes)))


def enough(parameter: str, asked: int, there: int, where: str) -> int:
    """`asked`, or ValueError if there are fewer images than that."""
    if asked > there:
        raise ValueError(f"dataset.{parameter} = {asked}: there are only {there} images {where}")
    return asked


def images(train: Split, val: Split, test: Split, class_names: tuple[str, ...] = ()) -> Images:
    """The splits with their fingerprint: BLAKE2b, 16 bytes, over shape, pixels and labels of each."""
    digest = hashlib.blake2b(digest_size=16)
    for pixels, labels in (train, val, test):
        digest.update(repr((pixels.shape, pixels.dtype.str)).encode())
        digest.update(np.ascontiguousarray(pixels).data)
        digest.update(np.ascontiguousarray(labels, dtype="<i8").data)
    return Images(train, val, test, digest.hexdigest(), class_names)


def _take(split: Split, index: np.ndarray) -> Split:
    """The images at these places, copied: contiguous, and no longer a part of what was read."""
    return Split(split.pixels[index], split.labels[index])
