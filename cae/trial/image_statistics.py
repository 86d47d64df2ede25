"""Statistics of the training images of a model, and how far other images are from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from cae.trial.datasets.mapped import MappedPixels
from cae.trial.datasets.pixel_values import BYTE_RANGE, ValueRange, to_unit
from cae.trial.datasets.splits import pixel_blocks

QUANTILES = (0.001, 0.999)
"""Between them are the training images; a few may be damaged."""
MARGIN = 0.25
"""Images outside the range of the training images by more than this share of it are reported."""
MIN_MARGIN = 0.02
"""The margin of training images that are all alike, in units of the pixel range."""


@dataclass(frozen=True)
class ImageStatistics:
    """The range of the mean and of the standard deviation of the pixels of an image, in [0, 1]."""

    images: int
    mean_low: float
    mean_high: float
    std_low: float
    std_high: float

    def to_json(self) -> dict[str, float]:
        """Return the statistics as a dictionary."""
        return asdict(self)

    def has_mean(self, mean: float) -> bool:
        """Return whether training images have about this mean."""
        return _is_inside(mean, self.mean_low, self.mean_high)

    def distance(self, mean: float) -> float:
        """Return how far a mean is from those of the training images."""
        return max(self.mean_low - mean, mean - self.mean_high, 0.0)

    def has_std(self, std: float) -> bool:
        """Return whether training images have about this standard deviation."""
        return _is_inside(std, self.std_low, self.std_high)


def measure(
    pixels: np.ndarray | MappedPixels, value_range: ValueRange = BYTE_RANGE
) -> ImageStatistics:
    """Return the statistics of images, N x C x H x W.

    `value_range`: the pixel values of black and white.
    """
    means = np.empty(len(pixels))
    deviations = np.empty(len(pixels))
    start = 0
    for block in pixel_blocks(pixels):
        values = to_unit(block, value_range).reshape(len(block), -1)
        end = start + len(block)
        means[start:end] = values.mean(axis=1)
        deviations[start:end] = values.std(axis=1)
        start = end
    mean_low, mean_high = np.quantile(means, QUANTILES)
    std_low, std_high = np.quantile(deviations, QUANTILES)
    return ImageStatistics(
        len(pixels), float(mean_low), float(mean_high), float(std_low), float(std_high)
    )


def from_json(content: object) -> ImageStatistics | None:
    """Return the statistics that `to_json` gave; None if there are none."""
    if not isinstance(content, Mapping):
        return None
    try:
        return ImageStatistics(**content)
    except TypeError:
        return None


def find_difference(values: np.ndarray, training: ImageStatistics) -> str:
    """Return how an image (floats in [0, 1], C x H x W) differs from the training images.

    Empty if it does not. It names `--invert` if the negative of the image would be much nearer to
    them.
    """
    mean = float(values.mean())
    std = float(values.std())
    if not training.has_mean(mean):
        text = (
            f"its mean pixel is {mean:.2f}, that of the training images "
            f"{training.mean_low:.2f} to {training.mean_high:.2f} (0: black, 1: white)"
        )
        if 2 * training.distance(1 - mean) < training.distance(mean):
            text += f"; invert (--invert) would make it {1 - mean:.2f}"
        return text
    if not training.has_std(std):
        return (
            f"the standard deviation of its pixels is {std:.2f}, that of the training images "
            f"{training.std_low:.2f} to {training.std_high:.2f}"
        )
    return ""


def _is_inside(value: float, low: float, high: float) -> bool:
    margin = max(MIN_MARGIN, MARGIN * (high - low))
    return low - margin <= value <= high + margin
