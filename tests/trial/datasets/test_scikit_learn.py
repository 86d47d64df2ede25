"""Data sets of scikit-learn: the images of the library, and patches of disjoint regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.datasets import load_digits, load_sample_images

from cae.trial.datasets import Digits, Patches, fetch
from cae.trial.datasets.splits import Split


@pytest.mark.parametrize("name", ["digits", "patches"])
def test_they_need_no_download(name: str, tmp_path: Path) -> None:
    assert fetch(name, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_digits_are_the_images_of_load_digits() -> None:
    images = Digits(val_images=None, test_images=None).load([])
    digits = load_digits()
    order = np.random.RandomState(0).permutation(1797)
    expected = np.rint(digits.images[order[:179]] / 16 * 255)
    np.testing.assert_array_equal(images.val.pixels[:, 0], expected)
    np.testing.assert_array_equal(images.train.labels, digits.target[order[358:]])
    assert images.train.pixels.max() == 255


def test_resized_digits_have_the_same_labels_and_brightness() -> None:
    small = Digits(train_images=64).load([])
    large = Digits(size=28, train_images=64).load([])
    assert large.train.pixels.shape == (64, 1, 28, 28)
    np.testing.assert_array_equal(large.train.labels, small.train.labels)
    brightness = small.train.pixels.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(large.train.pixels.mean(axis=(1, 2, 3)), brightness, atol=6)


# Patches


def find_patch(photograph: np.ndarray, patch: np.ndarray) -> tuple[int, int]:
    """Row and column from which a patch (3 x H x W) was cut."""
    size = patch.shape[1]
    first_pixel = patch[:, 0, 0]
    for row, column in np.argwhere((photograph == first_pixel).all(axis=2)):
        window = photograph[row : row + size, column : column + size]
        if np.array_equal(window, patch.transpose(1, 2, 0)):
            return int(row), int(column)
    raise AssertionError("the patch is not a part of the photograph")


def used_pixels(photographs: list[np.ndarray], split: Split) -> np.ndarray:
    """The pixels of the photographs that are in a patch; no two patches are from one position."""
    size = split.pixels.shape[2]
    used = np.zeros((2, Patches.height, 640), bool)
    positions = set()
    for patch, label in zip(split.pixels, split.labels, strict=True):
        row, column = find_patch(photographs[label], patch)
        positions.add((int(label), row, column))
        used[label, row : row + size, column : column + size] = True
    assert len(positions) == len(split.labels)
    return used


@pytest.mark.parametrize(("size", "seed"), [(16, 0), (32, 1), (64, 7), (96, 2**32 - 1)])
def test_patches_of_two_splits_have_no_pixel_in_common(size: int, seed: int) -> None:
    photographs = [np.asarray(image) for image in load_sample_images().images]
    for photograph in photographs:
        assert photograph.shape == (Patches.height, 640, 3)
    dataset = Patches(size=size, split_seed=seed, train_images=21, val_images=20, test_images=20)
    images = dataset.load([])
    train = used_pixels(photographs, images.train)
    val = used_pixels(photographs, images.val)
    test = used_pixels(photographs, images.test)
    assert not (train & val).any()
    assert not (train & test).any()
    assert not (val & test).any()
    for split in (images.train, images.val, images.test):
        assert split.labels.tolist() == [index % 2 for index in range(len(split.labels))]


def test_more_patches_of_one_split_do_not_change_the_other_splits() -> None:
    few = Patches(train_images=10).load([])
    many = Patches(train_images=40).load([])
    np.testing.assert_array_equal(many.train.pixels[:10], few.train.pixels)
    np.testing.assert_array_equal(many.val.pixels, few.val.pixels)


def test_default_numbers_of_patches() -> None:
    images = Patches().load([])
    assert len(images.train.labels) == 2048
    assert len(images.val.labels) == 256
    assert len(images.test.labels) == 256


def test_patches_that_do_not_fit_their_strips_are_errors() -> None:
    too_large = r"dataset\.size = 97: at most 96, the width of the strip for dataset\.val_images"
    with pytest.raises(ValidationError, match=too_large):
        Patches(size=97)
    too_many = r"dataset\.val_images = 665: there are only 664 images of 96 x 96"
    with pytest.raises(ValidationError, match=too_many):
        Patches(size=96, val_images=665)
    all_positions = Patches(size=96, train_images=1, val_images=664, test_images=664).load([])
    assert len({patch.tobytes() for patch in all_positions.val.pixels}) == 664
    with pytest.raises(ValidationError):
        Patches.model_validate({"split": "holdout"})
