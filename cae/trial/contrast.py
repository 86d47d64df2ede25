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
    centered = images - images.mean((1, 2, 3), keepdim=True)
    scale = centered.abs().mean((1, 2, 3), keepdim=True)
    smallest = ROUNDING * images.abs().mean((1, 2, 3), keepdim=True)
    return torch.where(scale > smallest, centered / scale, torch.zeros_like(centered))


def normalize_contrast(images: Tensor, limits: Range) -> Tensor:
    """Return the contrast of images with these two values mapped to 0 and 1.

    Other values are mapped linearly and may be outside of [0, 1].
    """
    low, high = limits
    return (contrast(images) - low) / (high - low)


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
