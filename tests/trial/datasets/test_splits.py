"""The rules of a split: scikit-learn's own numbers, disjoint parts, the sizes asked for, a fingerprint that stays."""

from __future__ import annotations

import hashlib
import re
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from cae.trial.datasets import splits
from cae.trial.datasets.splits import Split


def numbered(count: int, start: int = 0) -> Split:
    """Images of 1 x 2 x 2 that can be told apart: the bytes of each are its number."""
    numbers = np.arange(start, start + count)
    return Split(numbers.astype("<u4").view(np.uint8).reshape(count, 1, 2, 2), numbers * 7 % 10)


def numbers(split: Split) -> list[int]:
    return [int(number) for number in split.pixels.reshape(-1).view("<u4")]


def test_holdout_is_scikit_learns_split_as_report_002_made_it() -> None:
    """48,000 and 12,000 of MNIST's 60,000 training images, test_size=0.2, random_state=13: the same images in the same order."""
    train = Split(
        np.arange(60_000, dtype=np.uint32).view(np.uint8).reshape(60_000, 1, 2, 2),
        np.arange(60_000),
    )
    test = Split(np.zeros((10_000, 1, 2, 2), np.uint8), np.arange(10_000))
    ours = splits.divide("holdout", 13, train, test, splits.Asked(None, 12_000, None))
    theirs = train_test_split(np.arange(60_000), test_size=0.2, random_state=13)
    np.testing.assert_array_equal(ours[0].labels, theirs[0])
    np.testing.assert_array_equal(ours[1].labels, theirs[1])
    np.testing.assert_array_equal(ours[2].labels, np.arange(10_000))
    np.testing.assert_array_equal(ours[0].pixels.reshape(-1).view(np.uint32), theirs[0])


@given(st.integers(2, 400), st.integers(0, 2**32 - 1), st.data())
def test_holdout_is_scikit_learns_split_for_any_size_and_seed(
    total: int, seed: int, data: st.DataObject
) -> None:
    held_out = data.draw(st.integers(1, total - 1))
    ours = splits.divide(
        "holdout", seed, numbered(total), numbered(3, total), splits.Asked(None, held_out, None)
    )
    theirs = train_test_split(np.arange(total), test_size=held_out, random_state=seed)
    assert [numbers(ours[0]), numbers(ours[1])] == [list(theirs[0]), list(theirs[1])]


@given(
    st.sampled_from(get_args(splits.Rule)),
    st.integers(0, 300),
    st.integers(0, 100),
    st.integers(0, 2**32 - 1),
    st.data(),
)
def test_splits_are_disjoint_and_of_the_sizes_asked_for(
    rule: splits.Rule, train: int, test: int, seed: int, data: st.DataObject
) -> None:
    asked = splits.Asked(*(data.draw(st.none() | st.integers(1, 120)) for _ in range(3)))
    try:
        parts = splits.divide(
            rule, seed, numbered(train), numbered(test, train) if test else None, asked
        )
    except ValueError as error:
        told = str(error)
        assert re.search(r"dataset\.(train_images|val_images|test_images|split) = ", told)
        roomy = train > 0 and (test > 0 or rule == "pooled") and train + test >= 3
        assert not (roomy and asked == (None, None, None) and (rule != "holdout" or train > 1))
        return
    indices = [numbers(part) for part in parts]
    if rule == "test_as_validation":
        assert parts[1] is parts[2]
        indices.pop()
    assert all(len(set(part)) == len(part) > 0 for part in indices)
    assert len(set().union(*indices)) == sum(map(len, indices))
    for part, index, wanted in zip(parts, indices, asked, strict=False):
        assert wanted is None or len(index) == wanted
        np.testing.assert_array_equal(
            part.labels, np.array(index) * 7 % 10
        )  # labels go with their images
    if rule == "pooled":
        assert set().union(*indices) <= set(range(train + test))
    else:
        assert set(indices[0]) <= set(range(train))
        assert indices[-1] == list(
            range(train, train + len(indices[-1]))
        )  # the test file's first, in its order
    if rule == "holdout":
        assert set(indices[1]) <= set(range(train))
    if asked.train is None and rule != "test_as_validation":
        assert (
            len(indices[0]) + len(indices[1]) == train
            if rule == "holdout"
            else sum(map(len, indices)) == train + test
        )


def test_a_rule_that_needs_a_test_file_says_so() -> None:
    with pytest.raises(ValueError, match=r"dataset\.split = 'holdout' needs a test file"):
        splits.sizes("holdout", 10, 0, splits.Asked(None, None, None))


def test_fingerprint_is_of_shapes_pixels_and_labels() -> None:
    one, other = numbered(4), numbered(4, 100)
    first = splits.images(one, one, one).fingerprint
    assert (
        first
        == splits.images(one, Split(one.pixels.copy(), one.labels.copy()), one, ("a",)).fingerprint
    )
    swapped = Split(one.pixels, one.labels[::-1])
    reshaped = Split(one.pixels.reshape(4, 1, 1, 4), one.labels)
    different = [
        splits.images(*changed).fingerprint
        for wrong in (other, swapped, reshaped)
        for changed in ((wrong, one, one), (one, one, wrong))
    ]
    assert len({first, *different}) == 7
    digest = hashlib.blake2b(digest_size=16)
    for _ in range(3):
        digest.update(
            b"((4, 1, 2, 2), '|u1')" + one.pixels.tobytes() + one.labels.astype("<i8").tobytes()
        )
    assert (
        first == digest.hexdigest()
    )  # it is part of every trial's identity: it must not change by accident
