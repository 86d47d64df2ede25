"""Data sets of the user's own: what is accepted, what it becomes, and what is an error in words."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from typing_extensions import override

from cae import Source, Split
from cae.errors import UserError
from cae.trial.batches import to_float
from cae.trial.datasets import Dataset, DatasetInvalid, Images, load_images
from cae.trial.datasets.pixel_values import to_unit

SHAPE = (3, 6, 8)
COUNT = 40
RANDOM = np.random.default_rng(0)
PIXELS: Any = RANDOM.integers(0, 256, (COUNT, *SHAPE), np.uint8)
PIXELS[0, 0, 0, :2] = (0, 255)
LABELS = np.arange(COUNT) % 4
NAMES = ("ant", "bee", "cat", "dog")


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data sets of a test are registered only in it."""
    monkeypatch.setattr(Dataset, "registry", dict(Dataset.registry))


def own(
    source: object,
    image_shape: Any = SHAPE,
    value_range: tuple[float, float] | None = None,
    **parameters: Any,
) -> Dataset:
    """A data set whose `read` returns `source`."""
    declared = value_range

    class Mine(Dataset):
        value_range: ClassVar[tuple[float, float] | None] = declared

        @property
        @override
        def image_shape(self) -> tuple[int, int, int]:
            return image_shape  # type: ignore[no-any-return]

        @override
        def read(self, folders: Sequence[Path]) -> Source:
            if isinstance(source, Exception):
                raise source
            return source  # type: ignore[return-value]

    return Mine(**parameters)


def load(pixels: Any, labels: Any = LABELS, **options: Any) -> Images:
    return load_images(own(Source(Split(pixels, labels)), **options), [])


def error_of(source: object, **options: Any) -> str:
    with pytest.raises(DatasetInvalid) as caught:
        load_images(own(source, **options), [])
    for message in caught.value.messages:
        assert message.startswith("dataset = 'mine': ")
        assert "\n" not in message
    return str(caught.value)


@functools.cache
def expected_images() -> Images:
    """The images of PIXELS and LABELS."""
    return load(PIXELS)


SAME_PIXELS: dict[str, tuple[Callable[[], Any], tuple[float, float] | None]] = {
    "uint8": (lambda: PIXELS, None),
    "list of arrays": (lambda: list(PIXELS), None),
    "tensor": (lambda: torch.from_numpy(PIXELS), None),
    "int64": (lambda: PIXELS.astype(np.int64), None),
    "int32 tensor": (lambda: torch.from_numpy(PIXELS).int(), None),
    "shifted": (lambda: PIXELS.astype(np.int16) - 128, (-128, 127)),
}


@pytest.mark.parametrize("kind", SAME_PIXELS)
def test_the_same_bytes_in_any_type_are_the_same_data_set(kind: str) -> None:
    make, value_range = SAME_PIXELS[kind]
    images = load(make(), value_range=value_range)
    np.testing.assert_array_equal(images.train.pixels, expected_images().train.pixels)
    assert images.train.pixels.dtype == np.uint8
    assert images.value_range == (0, 255)
    assert images.fingerprint == expected_images().fingerprint


KEPT_TYPES: dict[str, tuple[Callable[[], Any], tuple[float, float] | None, str]] = {
    "float32 in [0, 1]": (lambda: PIXELS.astype(np.float32) / 255, None, "float32"),
    "float16 in [0, 1]": (lambda: (PIXELS / 255).astype(np.float16), None, "float16"),
    "float64 in [0, 1]": (lambda: PIXELS / 255, None, "float32"),
    "float tensor": (lambda: torch.from_numpy(PIXELS).float().div(255), None, "float32"),
    "floats in [-1, 1]": (lambda: PIXELS / 127.5 - 1, (-1, 1), "float32"),
    "floats in [0, 255]": (lambda: PIXELS.astype(np.float32), (0, 255), "float32"),
    "uint16": (lambda: PIXELS.astype(np.uint16) * 257, (0, 65535), "uint16"),
    "12 bits": (lambda: np.rint(PIXELS * (4095 / 255)).astype(np.uint16), (0, 4095), "uint16"),
    "12 bits in int64": (lambda: np.rint(PIXELS * (4095 / 255)).astype(int), (0, 4095), "uint16"),
    "32 bits": (lambda: PIXELS.astype(np.int64) * 2**20, (0, 255 * 2**20), "float32"),
    "big-endian": (lambda: PIXELS.astype(">u2") * 257, (0, 65535), "uint16"),
    "signed": (lambda: PIXELS.astype(np.int16) * 4 - 100, (-100, 920), "int16"),
}


@pytest.mark.parametrize("kind", KEPT_TYPES)
def test_pixels_keep_their_type_and_are_scaled_in_batches(kind: str) -> None:
    make, value_range, dtype = KEPT_TYPES[kind]
    images = load(make(), value_range=value_range)
    assert images.train.pixels.dtype == dtype
    assert images.train.pixels.dtype.isnative
    batch = to_float(torch.from_numpy(images.train.pixels), images.value_range)
    assert batch.dtype == torch.float32
    tolerance = {"float16": 5e-4, "uint16": 2e-4}.get(dtype, 2e-7)
    expected = expected_images().train.pixels / 255
    np.testing.assert_allclose(batch.numpy(), expected, atol=tolerance)
    np.testing.assert_array_equal(batch.numpy(), to_unit(images.train.pixels, images.value_range))
    assert images.fingerprint != expected_images().fingerprint


def test_the_value_range_is_part_of_the_identity() -> None:
    dark = (PIXELS // 8).astype(np.uint16)
    images = [load(dark, value_range=limits) for limits in ((0, 31), (0, 100), (0, 4095))]
    assert len({item.fingerprint for item in images}) == 3


def test_splits_of_several_types_become_floats() -> None:
    train = Split(PIXELS[:20], LABELS[:20])
    test = Split((PIXELS[20:] / 255).astype(np.float32), LABELS[20:])
    images = load_images(own(Source(train, val=test)), [])
    assert images.train.pixels.dtype == images.val.pixels.dtype == np.float32
    assert images.train.pixels.max() <= 1
    assert "pixels of several types" in images.notes[0]


def test_bools_are_black_and_white() -> None:
    images = load(PIXELS > 127)
    np.testing.assert_array_equal(
        images.train.pixels, (expected_images().train.pixels > 127) * np.uint8(255)
    )


@pytest.mark.parametrize("scale", [np.uint8(16), np.float32(16 / 255)])
def test_nearly_black_images_are_noted(scale: Any) -> None:
    """The digits of scikit-learn are from 0 to 16: as bytes they are nearly black, in silence."""
    levels = (PIXELS // 15).clip(max=16)
    if scale == 16:
        dark = levels
    else:
        dark = (levels / np.float32(255)).astype(np.float32)
    [note] = load(dark).notes
    assert "nearly black" in note
    assert "value_range = (0, " in note
    assert load(dark, value_range=(0, float(dark.max()))).notes == ()
    assert load(levels + np.uint8(1)).notes == ()


def test_rounded_values_are_noted() -> None:
    assert expected_images().notes == ()
    assert load(PIXELS.astype(np.int64)).notes == ()
    assert load(PIXELS.astype(np.float32) / 255).notes == ()
    [note] = load(PIXELS / 255).notes
    assert "float64 pixels in (0, 1) are stored as float32: rounded to 24 bits" in note


WRONG_PIXELS: dict[str, tuple[Any, str]] = {
    "floats in [-1, 1]": (PIXELS / 127.5 - 1, "value_range = (-1, 1)"),
    "floats in [0, 255]": (PIXELS.astype(np.float32), "value_range = (0, 255)"),
    "divided twice": (PIXELS / 255 / 255, "divided by 255 twice"),
    "standardized": ((PIXELS - 127.5) / 74, "should be in [0, 1]"),
    "NaN": (np.where(PIXELS == 255, np.nan, PIXELS / 255), "NaN or infinite values in"),
    "infinite": (np.where(PIXELS == 255, np.inf, PIXELS / 255), "first in image 0"),
    "uint16": (PIXELS.astype(np.uint16) * 257, "value_range = (0, 65535)"),
    "12 bits": (PIXELS.astype(np.uint16) * 16, "value_range = (0, 4095)"),
    "8 bits in uint16": (PIXELS.astype(np.uint16), "value_range = (0, 255)"),
    "negative": (PIXELS.astype(np.int64) - 3, "value_range = (-3, 252)"),
    "0 and 1 in uint8": (PIXELS // 128, "nearly black in 0..255"),
    "complex": (PIXELS.astype(np.complex64), "of the type complex64"),
    "objects": (PIXELS.astype(object), "of the type object"),
    "texts": (PIXELS.astype(str), "of the type <U3"),
    "several shapes": ([PIXELS[0], PIXELS[0, :1]], "not an array of numbers"),
    "None": (None, "train.pixels has the shape ()"),
    "N x H x W x C": (PIXELS.transpose(0, 2, 3, 1), "pixels.transpose(0, 3, 1, 2)"),
    "H and W swapped": (PIXELS.transpose(0, 1, 3, 2), "height and width are swapped"),
    "another size": (PIXELS[..., :7], "image_shape = (3, 6, 7) would fit"),
    "flat": (PIXELS.reshape(COUNT, -1), "has the shape (40, 144)"),
}


@pytest.mark.parametrize("kind", WRONG_PIXELS)
def test_wrong_pixels_are_errors_with_the_fix(kind: str) -> None:
    pixels, expected = WRONG_PIXELS[kind]
    assert expected in error_of(Source(Split(pixels, LABELS)))


def test_gray_images_without_the_axis_of_the_channel_are_an_error() -> None:
    source = Source(Split(PIXELS[:, 0], LABELS))
    assert "pixels[:, None]" in error_of(source, image_shape=(1, 6, 8))


@pytest.mark.parametrize("value_range", [(1, 0), (0, 0), (0,), 255, (0, np.inf), "01"])
def test_a_value_range_is_two_increasing_numbers(value_range: Any) -> None:
    source = Source(Split(PIXELS, LABELS))
    assert "value_range = " in error_of(source, value_range=value_range)


def test_pixels_outside_the_declared_range_are_an_error() -> None:
    source = Source(Split(PIXELS / 255, LABELS))
    assert "outside value_range = (0.0, 0.5)" in error_of(source, value_range=(0, 0.5))


@pytest.mark.parametrize(
    ("image_shape", "expected"),
    [
        ((6, 8), "three whole numbers"),
        ((6, 8, 3), "the channels come first: (3, 6, 8)"),
        ((3, 0, 8), "above 0"),
        ((3, 6.0, 8), "whole numbers"),
        (8, "three whole numbers"),
    ],
)
def test_a_wrong_image_shape_is_an_error_before_and_after_reading(
    image_shape: Any, expected: str
) -> None:
    source = Source(Split(PIXELS, LABELS))
    assert expected in error_of(source, image_shape=image_shape)
    [error] = own(source, image_shape=image_shape).shape_errors()
    assert expected in error
    assert own(source).shape_errors() == []


SAME_LABELS: dict[str, Any] = {
    "list": LABELS.tolist(),
    "tensor": torch.from_numpy(LABELS),
    "uint8": LABELS.astype(np.uint8),
    "int32 tensor": torch.from_numpy(LABELS).int(),
}


@pytest.mark.parametrize("kind", SAME_LABELS)
def test_the_same_labels_in_any_type_are_the_same_data_set(kind: str) -> None:
    images = load(PIXELS, SAME_LABELS[kind])
    assert images.fingerprint == expected_images().fingerprint
    assert images.train.labels.dtype == np.int64


def test_images_without_labels_are_of_one_class() -> None:
    images = load(PIXELS, None)
    assert images.train.labels.tolist() == [0] * len(images.train.labels)
    assert images.notes == ("there are no labels: all images are of class 0",)


def test_labels_of_some_splits_only_are_an_error() -> None:
    """The others would be of class 0."""
    source = Source(Split(PIXELS, LABELS), Split(PIXELS, None))  # type: ignore[arg-type]
    assert "train has labels, and test has none: give all of them labels" in error_of(source)


WRONG_LABELS: dict[str, tuple[Any, str]] = {
    "fewer": (LABELS[:30], "30 labels for 40 images"),
    "one-hot": (np.eye(4)[LABELS], "labels.argmax(1)"),
    "column": (LABELS[:, None], "labels.ravel()"),
    "texts": (np.array(NAMES)[LABELS], "np.unique(labels, return_inverse=True)"),
    "floats": (LABELS.astype(np.float32), "labels.astype(np.int64)"),
    "from 1": (LABELS + 1, "labels - 1"),
    "negative": (LABELS - 1, "train.labels is from -1 to 2"),
    "without names": (LABELS * 3, "there are 4 class_names"),
    "None with names": (None, "train.labels is None, but there are 4 class_names"),
    "scalar": (0, "use one dimension"),
}


@pytest.mark.parametrize("kind", WRONG_LABELS)
def test_wrong_labels_are_errors_with_the_fix(kind: str) -> None:
    labels, expected = WRONG_LABELS[kind]
    assert expected in error_of(Source(Split(PIXELS, labels), None, NAMES))


@pytest.mark.parametrize("names", ["abcd", ("a", "b", "c", 4), ("a", "b", "c", "a"), 4, {"a": 1}])
def test_class_names_are_distinct_texts(names: Any) -> None:
    assert "class_names" in error_of(Source(Split(PIXELS, LABELS), None, names))


def test_class_names_become_a_tuple_of_texts() -> None:
    source = Source(Split(PIXELS, LABELS), None, list(np.array(NAMES)))  # type: ignore[arg-type]
    assert load_images(own(source), []).class_names == NAMES


def test_all_errors_are_reported_together() -> None:
    wrong = Split(PIXELS / 127.5 - 1, LABELS[:30])
    with pytest.raises(DatasetInvalid) as caught:
        load_images(own(Source(wrong, Split(PIXELS[..., :4], LABELS))), [])
    messages = caught.value.messages
    assert len(messages) == 3
    assert "train.pixels" in messages[0]
    assert "train.labels" in messages[1]
    assert "test.pixels" in messages[2]


@pytest.mark.parametrize(
    "source", [None, PIXELS, (PIXELS, LABELS), [PIXELS, LABELS], Source(PIXELS)]
)
def test_another_result_of_read_is_an_error(source: Any) -> None:
    assert "should" in error_of(source)


def test_a_split_alone_is_accepted() -> None:
    assert load_images(own(Split(PIXELS, LABELS)), []).fingerprint == expected_images().fingerprint


def test_an_exception_in_read_is_an_error_with_its_line() -> None:
    error = error_of(ZeroDivisionError("division by zero"))
    assert "division by zero [ZeroDivisionError]" in error
    assert "test_own_data.py, line" in error


def test_too_few_images_name_the_parameter() -> None:
    dataset = own(Source(Split(PIXELS, LABELS)), train_images=100)
    with pytest.raises(UserError, match=r"dataset\.train_images = 100: there are only"):
        load_images(dataset, [])


def test_a_class_without_images_is_an_error() -> None:
    dataset = own(Source(Split(PIXELS, LABELS)), classes=(0, 9))
    with pytest.raises(UserError, match=r"no images of class 9; there are images of 0, 1, 2, 3"):
        load_images(dataset, [])


def test_given_validation_images_stay_validation_images() -> None:
    train = Split(PIXELS[:20], LABELS[:20])
    val = Split(PIXELS[20:32], LABELS[20:32])
    test = Split(PIXELS[32:], LABELS[32:])
    images = load_images(own(Source(train, test, val=val)), [])
    np.testing.assert_array_equal(images.val.pixels, val.pixels)
    np.testing.assert_array_equal(images.test.pixels, test.pixels)
    assert len(images.train.labels) == 20
    images = load_images(own(Source(train, val=val), val_images=5), [])
    assert [len(images.train.labels), len(images.val.labels), len(images.test.labels)] == [18, 5, 2]
    given = {image.tobytes() for image in val.pixels}
    assert {image.tobytes() for image in images.val.pixels} < given


def own_load(images: object) -> Dataset:
    """A data set with a `load` of its own."""

    class Loaded(Dataset):
        @property
        @override
        def image_shape(self) -> tuple[int, int, int]:
            return SHAPE

        @override
        def load(self, folders: Sequence[Path]) -> Images:
            return images  # type: ignore[return-value]

    return Loaded()


def test_what_an_own_load_returns_is_checked() -> None:
    split = Split(PIXELS, LABELS)
    images = Images(split, split, split, "mine")
    assert load_images(own_load(images), []).fingerprint == "mine"
    floats = Split(PIXELS / 255, LABELS)
    converted = load_images(own_load(Images(floats, floats, floats, "mine")), [])
    np.testing.assert_array_equal(converted.val.pixels, (PIXELS / 255).astype(np.float32))
    assert converted.value_range == (0, 1)
    assert converted.fingerprint != "mine"
    empty = Split(PIXELS[:0], LABELS[:0])
    for wrong, expected in (
        (Images(split, empty, split, "mine"), "val has no images"),
        (Images(split, split, Split(PIXELS, LABELS[1:]), "mine"), "39 labels for 40 images"),
        (Source(split), "load returned Source"),
    ):
        with pytest.raises(DatasetInvalid, match=expected):
            load_images(own_load(wrong), [])
