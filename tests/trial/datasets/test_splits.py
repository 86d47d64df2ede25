"""The rules of splits: scikit-learn's splits, disjoint parts, requested sizes, fingerprints."""

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
from cae.trial.datasets.splits import (
    RequestedCounts,
    Split,
    SplitRule,
    divide,
    split_counts,
    with_fingerprint,
)

AS_MANY_AS_POSSIBLE = RequestedCounts(None, None, None)
counts = st.none() | st.integers(1, 120)
seeds = st.integers(0, 2**32 - 1)


def numbered_images(count: int, start: int = 0) -> Split:
    """Distinguishable images of 1 x 2 x 2: the four bytes of each are its number."""
    numbers = np.arange(start, start + count)
    pixels = numbers.astype("<u4").view(np.uint8).reshape(count, 1, 2, 2)
    return Split(pixels, numbers * 7 % 10)


def image_numbers(split: Split) -> list[int]:
    return [int(number) for number in split.pixels.reshape(-1).view("<u4")]


def test_holdout_gives_the_split_of_report_002() -> None:
    """MNIST's 60,000 training images, test_size=0.2, random_state=13, in scikit-learn's order."""
    requested = RequestedCounts(None, 12_000, None)
    train_file = numbered_images(60_000)
    test_file = numbered_images(10_000, 60_000)
    train, val, test = divide("holdout", 13, train_file, test_file, requested)
    expected = train_test_split(np.arange(60_000), test_size=0.2, random_state=13)
    assert image_numbers(train) == expected[0].tolist()
    assert image_numbers(val) == expected[1].tolist()
    assert image_numbers(test) == list(range(60_000, 70_000))
    np.testing.assert_array_equal(train.labels, expected[0] * 7 % 10)


@given(st.integers(2, 400), seeds, st.data())
def test_holdout_gives_the_split_of_scikit_learn(
    total: int, seed: int, data: st.DataObject
) -> None:
    held_out = data.draw(st.integers(1, total - 1))
    requested = RequestedCounts(None, held_out, None)
    train, val, _ = divide("holdout", seed, numbered_images(total), numbered_images(3), requested)
    expected = train_test_split(np.arange(total), test_size=held_out, random_state=seed)
    assert image_numbers(train) == expected[0].tolist()
    assert image_numbers(val) == expected[1].tolist()


@given(
    rule=st.sampled_from(get_args(SplitRule)),
    train_file=st.integers(0, 300),
    test_file=st.integers(0, 100),
    seed=seeds,
    requested=st.builds(RequestedCounts, counts, counts, counts),
)
def test_parts_are_disjoint_and_have_the_requested_sizes(
    rule: SplitRule, train_file: int, test_file: int, seed: int, requested: RequestedCounts
) -> None:
    test_images = None
    if test_file:
        test_images = numbered_images(test_file, train_file)
    message = ""
    try:
        train, val, test = divide(rule, seed, numbered_images(train_file), test_images, requested)
    except ValueError as error:
        message = str(error)
    if message:
        assert re.search(r"dataset\.(train_images|val_images|test_images|split) = ", message)
        assert requested != AS_MANY_AS_POSSIBLE or not is_divisible(rule, train_file, test_file)
        return
    for part, count in ((train, requested.train), (val, requested.val)):
        assert count is None or len(part.labels) == count
    if requested.test is not None and rule != "test_as_validation":
        assert len(test.labels) == requested.test
    parts = [train, val, test]
    if rule == "test_as_validation":
        assert val is test
        parts = [train, test]
    all_numbers: list[int] = []
    for part in parts:
        numbers = image_numbers(part)
        assert len(numbers) > 0
        np.testing.assert_array_equal(part.labels, np.array(numbers) * 7 % 10)
        all_numbers += numbers
    assert len(set(all_numbers)) == len(all_numbers)
    assert set(all_numbers) <= set(range(train_file + test_file))
    if rule != "pooled":
        from_training_file = image_numbers(train)
        if rule == "holdout":
            from_training_file += image_numbers(val)
        assert max(from_training_file) < train_file
        first_test_images = list(range(train_file, train_file + len(test.labels)))
        assert image_numbers(test) == first_test_images
    if requested.train is None:  # no image is left unused
        unused = train_file + test_file - len(all_numbers)
        if rule == "pooled":
            assert unused == 0
        else:
            assert unused == test_file - len(test.labels)


def test_files_that_are_divided_together_in_blocks_keep_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(splits, "POOLED_BLOCK", 4)
    files = (numbered_images(13), numbered_images(6, start=13))
    train, val, test = divide("pooled", 3, *files, RequestedCounts(11, 5, 3))
    order = np.random.RandomState(3).permutation(19).tolist()
    assert image_numbers(val) + image_numbers(test) + image_numbers(train) == order
    assert (len(val.labels), len(test.labels)) == (5, 3)
    np.testing.assert_array_equal(train.labels, np.array(image_numbers(train)) * 7 % 10)


def is_divisible(rule: SplitRule, train_file: int, test_file: int) -> bool:
    """Whether a rule gives at least one image of each kind."""
    if rule == "pooled":
        return train_file + test_file >= 3
    if rule == "holdout":
        return train_file >= 2 and test_file >= 1
    return train_file >= 1 and test_file >= 1


def test_a_rule_that_requires_a_test_file_is_an_error_without_one() -> None:
    message = r"dataset\.split = 'holdout': the data set has no test file; use 'pooled'"
    with pytest.raises(ValueError, match=message):
        split_counts("holdout", 10, 0, AS_MANY_AS_POSSIBLE)


def test_the_fingerprint_identifies_shapes_pixels_and_labels() -> None:
    split = numbered_images(4)
    fingerprint = with_fingerprint(split, split, split).fingerprint
    copy = Split(split.pixels.copy(), split.labels.copy())
    assert with_fingerprint(split, copy, split, ("a",)).fingerprint == fingerprint
    other_pixels = numbered_images(4, 100)
    other_labels = Split(split.pixels, split.labels[::-1])
    other_shape = Split(split.pixels.reshape(4, 1, 1, 4), split.labels)
    fingerprints = {fingerprint}
    for changed in (other_pixels, other_labels, other_shape):
        fingerprints.add(with_fingerprint(changed, split, split).fingerprint)
        fingerprints.add(with_fingerprint(split, split, changed).fingerprint)
    assert len(fingerprints) == 7


def test_the_fingerprint_does_not_change_between_versions() -> None:
    """It is a part of every trial's identity."""
    split = numbered_images(4)
    digest = hashlib.blake2b(digest_size=16)
    for _ in range(3):
        digest.update(b"((4, 1, 2, 2), '|u1')")
        digest.update(split.pixels.tobytes())
        digest.update(split.labels.astype("<i8").tobytes())
    assert with_fingerprint(split, split, split).fingerprint == digest.hexdigest()
