"""Measures of images, a value per image. Both arguments: B x C x H x W, pixels in [0, 1]. Returns: B."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB: -10 log10(mean squared error of the image), peak 1. At most 100 dB."""
    return -10 * (output - target).square().flatten(1).mean(1).clamp(min=1e-10).log10()


def channel_argmax_error(output: Tensor, target: Tensor) -> Tensor:
    """Share of pixels whose brightest channel is another one than the target's; in [0, 1].

    This is 1 - the `accuracy` that Keras reports for 3-channel targets (categorical accuracy over the last axis): it says
    little about an image, and stands here because it was published.
    """
    return (output.argmax(1) != target.argmax(1)).float().flatten(1).mean(1)


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004): Gaussian window of 11 pixels, sigma 1.5, K1 0.01, K2 0.03, range 1; mean
    over channels and over the positions where the whole window lies inside. At most 1.

    Images smaller than 11 pixels are measured with the largest odd window that fits. Written here because the
    libraries that have it take seconds and 300 MB to import, in every worker; a test holds it against one of them.
    """
    window = min(11, *(side - 1 + side % 2 for side in target.shape[-2:]))
    offsets = torch.arange(window, dtype=output.dtype, device=output.device) - window // 2
    line = torch.exp(-(offsets**2) / (2 * 1.5**2))
    line = line / line.sum()
    channels = target.shape[1]

    def blur(images: Tensor) -> Tensor:
        rows = F.conv2d(images, line.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
        return F.conv2d(rows, line.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)

    mean_o, mean_t = blur(output), blur(target)
    var_o, var_t = blur(output**2) - mean_o**2, blur(target**2) - mean_t**2
    covariance = blur(output * target) - mean_o * mean_t
    c1, c2 = 0.01**2, 0.03**2
    similarity = (
        (2 * mean_o * mean_t + c1)
        * (2 * covariance + c2)
        / ((mean_o**2 + mean_t**2 + c1) * (var_o + var_t + c2))
    )
    return similarity.flatten(1).mean(1)


def gradient_energy(images: Tensor) -> Tensor:
    """How sharp images are (B x C x H x W, returns B): the sum of the squared differences between neighbours in a row and in a
    column, per value. A blurred image has less than the image it was made from."""
    squared = [
        difference.square().flatten(1).sum(1)
        for difference in (images.diff(dim=-1), images.diff(dim=-2))
    ]
    return (squared[0] + squared[1]) / images[0].numel()
