"""Global contrast normalization of images with the L1 norm."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Range = tuple[float, float]
ROUNDING = 1e-6
"""An image whose contrast is a smaller share of its mean is of one color, despite rounding."""


def contrast(images: Tensor) -> Tensor:
    """Return images, B x C x H x W, minus their mean, divided by the mean absolute value of that.

    Both means are those of an image over its channels and pixels. An image of one color becomes 0.
    """
    mean, scale = _mean_and_scale(images)
    centered = images - mean
    return torch.where(scale > 0, centered / scale, torch.zeros_like(centered))


def _mean_and_scale(images: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of each image, and the mean absolute difference from it: 0 for one color."""
    mean = images.mean((1, 2, 3), keepdim=True)
    scale = (images - mean).abs().mean((1, 2, 3), keepdim=True)
    smallest = ROUNDING * images.abs().mean((1, 2, 3), keepdim=True)
    return mean, torch.where(scale > smallest, scale, torch.zeros_like(scale))


def normalize_contrast(images: Tensor, limits: Range) -> Tensor:
    """Return the contrast of images with these two values mapped to 0 and 1.

    Other values are mapped linearly and may be outside of [0, 1].
    """
    low, high = limits
    return (contrast(images) - low) / (high - low)


def restore_contrast(values: Tensor, images: Tensor, limits: Range) -> Tensor:
    """Return what `normalize_contrast` maps to `values` with the mean and the contrast of `images`.

    It is the inverse for the images themselves. An image of one color has no contrast: all values
    become this color. All are B x C x H x W.
    """
    low, high = limits
    mean, scale = _mean_and_scale(images)
    return (values * (high - low) + low) * scale + mean


def contrast_range(pixels: np.ndarray) -> Range:
    """Return the smallest and the largest value of the contrast of images, N x C x H x W.

    The range of the pixels does not matter: contrast does not depend on it.
    """
    low = float("inf")
    high = float("-inf")
    for start in range(0, len(pixels), 1000):
        values = contrast(torch.from_numpy(pixels[start : start + 1000].astype(np.float64)))
        low = min(low, values.min().item())
        high = max(high, values.max().item())
    return low, high
