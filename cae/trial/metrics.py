"""Metrics: their declarations, and measures of images.

Measures take outputs and targets, B x C x H x W with pixels in [0, 1], and return a value per image
(shape B).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import torch
from torch import Tensor

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_K1 = 0.01
SSIM_K2 = 0.03

SPLITS = ("train_", "val_", "test_")
"""Prefixes of metrics that name a split."""


class Direction(StrEnum):
    """Which values of a metric are better."""

    MINIMIZE = "min"
    MAXIMIZE = "max"
    NONE = "none"
    """Neither: the metric describes something."""


@dataclass(frozen=True)
class Metric:
    """The declaration of a metric. `name` has no split (`psnr`, not `val_psnr`)."""

    name: str
    direction: Direction
    unit: str
    low: float
    """Smallest possible value."""
    high: float
    """Largest possible value."""
    meaning: str
    depends_on_training: bool = True
    """Whether other seeds or epochs change it. Otherwise it follows from the configuration and the
    images, as the loss of a baseline does: reports count it with sizes and settings."""

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest possible value."""
        return self.low, self.high


def error_metric(name: str, unit: str, meaning: str) -> Metric:
    """A metric from 0, of which less is better."""
    return Metric(name, Direction.MINIMIZE, unit, 0.0, math.inf, meaning)


def share_metric(name: str, direction: Direction, meaning: str) -> Metric:
    """A metric between 0 and 1."""
    return Metric(name, direction, "share", 0.0, 1.0, meaning)


def description(
    name: str,
    unit: str,
    meaning: str,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    depends_on_training: bool = True,
) -> Metric:
    """A metric of which neither small nor large values are better."""
    return Metric(name, Direction.NONE, unit, low, high, meaning, depends_on_training)


PSNR = Metric(
    "psnr", Direction.MAXIMIZE, "dB", -math.inf, 100.0, "Peak signal-to-noise ratio, peak 1."
)
SSIM = Metric("ssim", Direction.MAXIMIZE, "", -1.0, 1.0, "Structural similarity, range 1.")
MSE = error_metric("mse", "squared pixel value", "Mean squared error.")
CHANNEL_ARGMAX_ERROR = share_metric(
    "channel_argmax_error",
    Direction.MINIMIZE,
    "Share of pixels whose brightest channel differs from the target's.",
)
GRADIENT_ENERGY = description(
    "gradient_energy", "ratio", "Gradient energy of outputs over targets; below 1: blurred.", 0.0
)

TRIAL_METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        description("lr", "", "Learning rate of the epoch.", 0.0),
        error_metric("seconds", "s", "Training and validation of the epoch."),
        Metric(
            "images_per_second",
            Direction.MAXIMIZE,
            "1/s",
            0.0,
            math.inf,
            "Training images per second.",
        ),
    )
}
"""Metrics that every trial reports, without a split."""


def find_metric(name: str, declared: Mapping[str, Metric]) -> Metric | None:
    """The declaration of a metric as it is reported: `val_psnr`, `last_val_psnr`, `lr`.

    None if the metric is not declared.
    """
    name = name.removeprefix("last_")
    if name in TRIAL_METRICS:
        return TRIAL_METRICS[name]
    for split in SPLITS:
        if name.startswith(split):
            return declared.get(name.removeprefix(split))
    return None


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB: -10 log10(mean squared error), peak 1; at most 100 dB."""
    return -10 * (output - target).square().flatten(1).mean(1).clamp(min=1e-10).log10()


def mse(error: Tensor) -> Tensor:
    """Mean square of each image. `error`: output minus target."""
    return error.square().flatten(1).mean(1)


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each image."""
    return mse(output - target)


def channel_argmax_error(output: Tensor, target: Tensor) -> Tensor:
    """Share of pixels whose brightest channel differs from the target's; in [0, 1].

    It is 1 minus the `accuracy` that Keras reports for 3-channel targets (categorical accuracy over
    the last axis). It describes an image poorly, and is here because it was published.
    """
    return (output.argmax(1) != target.argmax(1)).float().flatten(1).mean(1)


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004); at most 1.

    Gaussian window of 11 pixels, sigma 1.5, K1 0.01, K2 0.03, range 1; mean over channels and over
    the positions where the whole window is inside. Images smaller than 11 pixels use the largest
    odd window that fits. Own code because the libraries that have it take seconds and 300 MB to
    import, in every worker; a test compares it with one of them.
    """
    rows, columns = target.shape[-2:]
    window = min(SSIM_WINDOW, rows - 1 + rows % 2, columns - 1 + columns % 2)
    local = local_statistics(output, target, window)
    c1 = SSIM_K1**2
    c2 = SSIM_K2**2
    means = local.output_mean**2 + local.target_mean**2
    variances = local.output_variance + local.target_variance
    similarity = (
        (2 * local.output_mean * local.target_mean + c1)
        * (2 * local.covariance + c2)
        / ((means + c1) * (variances + c2))
    )
    return similarity.flatten(1).mean(1)


class LocalStatistics(NamedTuple):
    """Means, variances and covariance of two images, weighted by a window at each position."""

    output_mean: Tensor
    target_mean: Tensor
    output_variance: Tensor
    target_variance: Tensor
    covariance: Tensor


def local_statistics(output: Tensor, target: Tensor, window: int) -> LocalStatistics:
    """The statistics at the positions where a Gaussian window of `window` pixels is inside.

    Args:
        output: B x C x H x W.
        target: B x C x H x W.
        window: Its side, an odd number up to H and W.
    """
    rows, columns = target.shape[-2:]
    vertical = gaussian_windows(rows, window, like=output)
    horizontal = gaussian_windows(columns, window, like=output)

    def blur(images: Tensor) -> Tensor:
        return vertical @ images @ horizontal.T

    output_mean = blur(output)
    target_mean = blur(target)
    return LocalStatistics(
        output_mean,
        target_mean,
        output_variance=blur(output**2) - output_mean**2,
        target_variance=blur(target**2) - target_mean**2,
        covariance=blur(output * target) - output_mean * target_mean,
    )


def gaussian_windows(size: int, window: int, like: Tensor) -> Tensor:
    """The weights of a Gaussian window at each of its positions inside `size` pixels.

    (size - window + 1) x size, each row with sum 1; of the type and on the device of `like`. A
    product with this matrix takes a third to a tenth of the time of a convolution of one channel.
    """
    pixels = torch.arange(size, dtype=like.dtype, device=like.device)
    first = pixels[: size - window + 1, None]
    offsets = pixels - first - window // 2
    weights = torch.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    weights = weights * (offsets.abs() <= window // 2)
    return weights / weights.sum(1, keepdim=True)


def gradient_energy(images: Tensor) -> Tensor:
    """How sharp images are: the sum of squared differences between neighbours, per value.

    Neighbours in a row and in a column. A blurred image has less than its original.
    """
    horizontal = images.diff(dim=-1).square().flatten(1).sum(1)
    vertical = images.diff(dim=-2).square().flatten(1).sum(1)
    return (horizontal + vertical) / images[0].numel()
