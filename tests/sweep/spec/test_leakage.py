"""Networks that were trained on the images that a trial is evaluated on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import PositiveInt

from cae import (
    Adam,
    Classifier,
    Classify,
    ConvAutoencoder,
    Denoise,
    Digits,
    Reconstruct,
    Source,
    Split,
    Sweep,
    Trial,
)
from cae.sweep.spec.plan import make_plan
from cae.trial.datasets import Dataset, Images
from cae.trial.datasets.splits import SplitRule
from cae.trial.messages import ConfigError


class TwoFilesOfDigits(Dataset):
    """Digits, of which the last 600 are in a test file."""

    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")

    split: SplitRule = "holdout"
    val_images: PositiveInt | None = 60

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (1, 8, 8)

    def read(self, folders: Sequence[Path]) -> Source:
        whole = Digits(size=8).read(folders).train
        first = Split(whole.pixels[:-600], whole.labels[:-600])
        return Source(first, Split(whole.pixels[-600:], whole.labels[-600:]))


DIGITS = Digits(size=8)
ENCODER = Trial(
    dataset=DIGITS,
    task=Reconstruct(),
    arch=ConvAutoencoder(
        encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
    ),
    optimizer=Adam(lr=1e-2),
    epochs=2,
)
TWO_STAGE = Trial(
    dataset=DIGITS,
    task=Classify(encoder=ENCODER),
    arch=Classifier(encoder_filters=(4, 2), pool_after=(1,), fc_units=8),
    optimizer=Adam(lr=1e-2),
    epochs=4,
)


def load(dataset: Dataset) -> Images:
    return dataset.load([])


def errors_of(base: Trial, **overrides: Any) -> list[str]:
    try:
        make_plan(Sweep(base=base), load, settings=overrides)
    except ConfigError as error:
        return error.messages
    return []


def common_images(evaluated: Digits, trained: Digits, split: str) -> int:
    """How many images of a split are training images of another data set, counted by pixels."""
    images = {image.tobytes() for image in trained.load([]).train.pixels}
    pixels = getattr(evaluated.load([]), split).pixels
    return sum(image.tobytes() in images for image in pixels)


def test_an_encoder_of_another_division_was_trained_on_the_test_images() -> None:
    """Regression: the accuracy on images that the encoder had seen, in silence."""
    (error,) = errors_of(TWO_STAGE, **{"dataset.split_seed": 1})
    evaluated = DIGITS.model_copy(update={"split_seed": 1})
    count = common_images(evaluated, DIGITS, "test")
    total = len(evaluated.load([]).test.labels)
    assert count > total / 2
    assert f"task.encoder is trained on {count} of the {total} test images" in error
    assert "its dataset.split_seed is 0, that of the trial 1" in error


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dataset.split_seed": 1, "task.encoder.dataset.split_seed": 1},
        {"dataset.train_images": 100},
        {"task.encoder.dataset.train_images": 100},
    ],
)
def test_divisions_with_equal_test_images_are_no_leak(settings: dict[str, Any]) -> None:
    assert errors_of(TWO_STAGE, **settings) == []


def with_digits(trial: Trial, split_seed: int) -> Trial:
    """Make a trial of two files: the test images are the same for each seed."""
    return trial.override({"dataset": "two_files_of_digits", "dataset.split_seed": split_seed})


def test_validation_images_rank_networks_that_start_from_the_encoder() -> None:
    base = with_digits(TWO_STAGE, 1).override({"task.encoder.dataset": "two_files_of_digits"})
    (error,) = errors_of(base)
    assert "of the 60 validation images" in error
    assert errors_of(with_digits(base, 0)) == []


def test_a_judge_may_know_the_validation_images() -> None:
    """It judges what other networks make of images."""
    judge = with_digits(TWO_STAGE, 0).override({"task.encoder": None})
    denoiser = with_digits(ENCODER, 1).model_copy(update={"task": Denoise(judge=judge)})
    assert errors_of(denoiser) == []
    pooled = ENCODER.model_copy(update={"task": Denoise(judge=TWO_STAGE)})
    (error,) = errors_of(pooled.override({"dataset.split_seed": 1}))
    assert error.startswith("task.judge is trained on ")
