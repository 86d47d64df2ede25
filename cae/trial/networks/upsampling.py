"""Upsampling by 2 and the convolution after it as one convolution of the small image.

The result is the same, with fewer products.

Nearest-neighbour upsampling repeats each pixel, so that several weights of a k x k kernel read the
same pixel. Their sums are computed once, for each of the four positions that a pixel of the large
image can have within one of the small image. With t = (k + 1) / 2, t x t weights remain of k x k: 4
of 9, 9 of 25, 16 of 49. Zero padding stays exact at every border, because a repeated zero is a
zero. In one dimension, for the padding p = (k - 1) / 2:

    large[m] = sum over u of W[u] small[(m + u - p) // 2]
             = sum over i of S[2 i - m + p + 1] small[i],   S[q] = W[q - 1] + W[q]
"""

from __future__ import annotations

import copy
from enum import StrEnum

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_PHASES_OUTPUTS = 4
"""Up to this number of output channels, `phases` is faster than `transposed` on a CPU
(benchmarks/upsampling.py)."""


class Form(StrEnum):
    """How the folded convolution is computed on a CPU."""

    TRANSPOSED = "transposed"
    PHASES = "phases"


class UpsampledConv2d(nn.Conv2d):
    """nn.Upsample(scale_factor=2) and nn.Conv2d in one layer.

    Its parameters are those of the convolution, under the same names.
    """

    form: Form

    @classmethod
    def from_convolution(cls, convolution: nn.Conv2d, form: Form) -> UpsampledConv2d:
        """Return the layer for an upsampling and `convolution`, whose parameters it shares."""
        height, width = convolution.kernel_size
        layer = cls(
            convolution.in_channels,
            convolution.out_channels,
            (height, width),
            padding=(height // 2, width // 2),
            device="meta",
        )
        layer.weight = convolution.weight
        layer.bias = convolution.bias
        layer.form = form
        return layer

    def forward(self, images: Tensor) -> Tensor:
        """Map B x C x H x W to B x C' x 2H x 2W."""
        if images.device.type != "cpu":  # the forms were measured on CPUs only
            large = F.interpolate(images, scale_factor=2)
            return F.conv2d(large, self.weight, self.bias, padding=self.padding)
        if self.form == Form.TRANSPOSED:
            return transposed(images, self.weight, self.bias)
        return phases(images, self.weight, self.bias)


def fold(layers: nn.Sequential) -> None:
    """Merge an Upsample and a Conv2d, if they are the last two layers and that is possible.

    It is if the output of the convolution has the size of its input.

    The caller ensures that the upsampling doubles the size. An Identity replaces the Upsample, so
    that all parameters keep their names.
    """
    upsample, convolution = layers[-2:]
    if not isinstance(upsample, nn.Upsample) or type(convolution) is not nn.Conv2d:
        return
    for side, padding in zip(convolution.kernel_size, convolution.padding, strict=True):
        if side % 2 == 0 or padding != side // 2:
            return
    layers[-2] = nn.Identity()
    form = faster_form(convolution.out_channels)
    layers[-1] = UpsampledConv2d.from_convolution(convolution, form)


def unfolded(network: nn.Module) -> nn.Module:
    """Return a copy of a network with an Upsample and a Conv2d in place of each merged layer.

    Its outputs are the same but for rounding. Exporters get it: that of ONNX ignores the divisor of
    the pooling which adds the weights, and other programs know the two plain layers.
    """
    plain = copy.deepcopy(network)
    for parent in list(plain.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, UpsampledConv2d):
                setattr(parent, name, _plain_layers(layer))
    return plain


def _plain_layers(layer: UpsampledConv2d) -> nn.Sequential:
    height, width = layer.kernel_size
    convolution = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (height, width),
        padding=(height // 2, width // 2),
        device="meta",
    )
    convolution.weight = layer.weight
    convolution.bias = layer.bias
    return nn.Sequential(nn.Upsample(scale_factor=2), convolution)


def faster_form(outputs: int) -> Form:
    """Return the form that is faster on a CPU for this number of output channels.

    oneDNN computes 16 output channels together. Most of them are unused for images of one or three
    channels; the four phases of such an image use more.
    """
    if outputs <= MAX_PHASES_OUTPUTS:
        return Form.PHASES
    return Form.TRANSPOSED


def transposed(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute the result as a transposed convolution with stride 2.

    Each pixel of the small image contributes to k + 1 pixels of the large one. `images`: B x C x H
    x W; `weight`: C' x C x k x k with odd k; returns B x C' x 2H x 2W.
    """
    padding = [side // 2 for side in weight.shape[2:]]
    return F.conv_transpose2d(images, _sums(weight).flip(2, 3).transpose(0, 1), bias, 2, padding)


def phases(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute the result as a convolution with four times the channels.

    There is one for each position; they are interleaved.

    Shapes as in `transposed`.
    """
    outputs, inputs, kernel_height, kernel_width = weight.shape
    height = (kernel_height + 1) // 2
    width = (kernel_width + 1) // 2
    positions = (
        _sums(weight)
        .reshape(outputs, inputs, height, 2, width, 2)
        .flip(3, 5)
        .permute(0, 3, 5, 1, 2, 4)
    )
    folded = positions.reshape(4 * outputs, inputs, height, width).contiguous(
        memory_format=torch.channels_last
    )
    folded_bias = None
    if bias is not None:
        folded_bias = bias.repeat_interleave(4)
    padding = [(side // 2 + 1) // 2 for side in (kernel_height, kernel_width)]
    large = F.pixel_shuffle(F.conv2d(images, folded, folded_bias, padding=padding), 2)
    # If k // 2 is odd, the positions of an output pixel begin one pixel of the large image earlier.
    top = kernel_height // 2 % 2
    left = kernel_width // 2 % 2
    return large[:, :, top : large.shape[2] - top, left : large.shape[3] - left]


def _sums(weight: Tensor) -> Tensor:
    """S of the formula above in both dimensions: C' x C x (k + 1) x (k + 1)."""
    return F.avg_pool2d(F.pad(weight, (1, 1, 1, 1)), 2, 1, divisor_override=1)
