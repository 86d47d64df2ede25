"""The data sets that come with scikit-learn: the images that they say, and no pixel of a test patch ever trained on."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.datasets import load_digits, load_sample_images

from cae.trial.datasets.base import Digits, Images, Patches


def split_is_whole(images: Images, shape: tuple[int, ...]) -> None:
    for split in (images.train, images.val, images.test):
        assert split.pixels.dtype == np.uint8
        assert split.pixels.shape == (len(split.labels), *shape)


def test_digits_are_scikit_learns() -> None:
    images = Digits(val_images=None, test_images=None).load([])
    digits = load_digits()
    order = np.random.RandomState(0).permutation(1797)
    np.testing.assert_array_equal(
        images.val.pixels[:, 0], np.rint(digits.images[order[:179]] / 16 * 255)
    )
    np.testing.assert_array_equal(images.train.labels, digits.target[order[358:]])
    assert images.train.pixels.max() == 255
    larger = Digits(size=28, train_images=64).load([])
    split_is_whole(larger, (1, 28, 28))
    small = Digits(train_images=64).load([])
    np.testing.assert_array_equal(larger.train.labels, small.train.labels)
    shrunk = larger.train.pixels[:, 0, :, :].reshape(64, 28, 28).mean(axis=(1, 2))
    np.testing.assert_allclose(
        shrunk, small.train.pixels.mean(axis=(1, 2, 3)), atol=6
    )  # as bright as before


def where(photographs: list[np.ndarray], patch: np.ndarray, label: int) -> tuple[int, int]:
    """Row and column at which a patch was cut out of its photograph."""
    size = patch.shape[1]
    photograph, corner = photographs[label], patch[:, 0, 0]
    for row, column in np.argwhere((photograph == corner).all(axis=2)):
        cut = photograph[row : row + size, column : column + size]
        if cut.shape == (size, size, 3) and np.array_equal(cut, patch.transpose(1, 2, 0)):
            return int(row), int(column)
    raise AssertionError("the patch is in no photograph")


@pytest.mark.parametrize(("size", "seed"), [(16, 0), (32, 1), (64, 7), (96, 2**32 - 1)])
def test_patches_are_of_disjoint_regions_whatever_the_seed(size: int, seed: int) -> None:
    photographs = [np.asarray(image) for image in load_sample_images().images]
    assert all(photograph.shape == (Patches.height, 640, 3) for photograph in photographs)
    images = Patches(
        size=size, split_seed=seed, train_images=21, val_images=20, test_images=20
    ).load([])
    split_is_whole(images, (3, size, size))
    seen: list[np.ndarray] = []
    for split in (images.train, images.val, images.test):
        touched = np.zeros((2, Patches.height, 640), bool)
        places = [
            (int(label), *where(photographs, patch, int(label)))
            for patch, label in zip(*split, strict=True)
        ]
        assert len(set(places)) == len(places)
        for label, row, column in places:
            touched[label, row : row + size, column : column + size] = True
        assert not any((touched & other).any() for other in seen)
        seen.append(touched)
        assert split.labels.tolist() == [index % 2 for index in range(len(places))]


def test_patches_of_one_split_do_not_move_when_another_grows() -> None:
    few, many = Patches(train_images=10).load([]), Patches(train_images=40).load([])
    np.testing.assert_array_equal(many.train.pixels[:10], few.train.pixels)
    np.testing.assert_array_equal(many.val.pixels, few.val.pixels)
    default = Patches().load([])
    assert [len(split.labels) for split in (default.train, default.val, default.test)] == [
        2048,
        256,
        256,
    ]


def test_patches_that_no_region_can_hold_are_refused() -> None:
    with pytest.raises(
        ValidationError,
        match=r"dataset\.size = 97: 96 at most, the width of the strip for dataset\.val_images",
    ):
        Patches(size=97)
    with pytest.raises(
        ValidationError, match=r"dataset\.val_images = 665: there are only 664 images of 96 x 96"
    ):
        Patches(size=96, val_images=665)
    every = Patches(size=96, train_images=1, val_images=664, test_images=664).load([])
    assert len({patch.tobytes() for patch in every.val.pixels}) == 664
    with pytest.raises(ValidationError):
        Patches(split="holdout")  # type: ignore[arg-type]
