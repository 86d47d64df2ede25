"""Upsampling by 2 and the convolution after it, as one convolution of the small image: the same function, fewer products.

Nearest upsampling repeats each pixel, so of a k x k kernel's taps several read the same pixel. Their weights are added up once,
for each of the four places that a pixel of the large image has over one of the small; with t = (k + 1) / 2, t x t taps are left
of k x k: 4 of 9, 9 of 25, 16 of 49. Zero padding stays exact at every border, for a repeated zero is a zero. In one dimension:

    large[m] = sum over u of W[u] small[(m + u - p) // 2] = sum over i of S[2 i - m + p + 1] small[i],   S[q] = W[q - 1] + W[q]
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UpsampledConv2d(nn.Conv2d):
    """nn.Upsample(scale_factor=2) and nn.Conv2d in one; its parameters are those of the convolution, under the same names."""

    form: str
    """How it is computed on a CPU: `transposed`, or `phases`."""

    @classmethod
    def of(cls, convolution: nn.Conv2d, form: str) -> UpsampledConv2d:
        """Takes over the convolution's own parameters."""
        inputs, outputs, kernel = (
            convolution.in_channels,
            convolution.out_channels,
            convolution.kernel_size,
        )
        layer = cls(inputs, outputs, kernel, padding=convolution.padding, device="meta")  # type: ignore[arg-type]
        layer.weight, layer.bias, layer.form = convolution.weight, convolution.bias, form
        return layer

    def forward(self, images: Tensor) -> Tensor:
        if images.device.type != "cpu":  # what is faster there was never measured
            return F.conv2d(
                F.interpolate(images, scale_factor=2), self.weight, self.bias, padding=self.padding
            )
        return (
            transposed(images, self.weight, self.bias)
            if self.form == "transposed"
            else phases(images, self.weight, self.bias)
        )


def fold(layers: nn.Sequential) -> None:
    """Makes one of the last two layers, where they are an Upsample by 2 and a Conv2d whose output has the size of its input. An
    Identity takes the place of the Upsample, so that all parameters keep their names."""
    upsample, convolution = layers[-2:]
    if not isinstance(upsample, nn.Upsample) or type(convolution) is not nn.Conv2d:
        return
    same = all(
        side % 2 and pad == side // 2
        for side, pad in zip(convolution.kernel_size, convolution.padding, strict=True)
    )
    if same:
        layers[-2], layers[-1] = (
            nn.Identity(),
            UpsampledConv2d.of(convolution, faster(convolution.out_channels)),
        )


def faster(outputs: int) -> str:
    """The form that is faster on a CPU (benchmarks/upsampling.py): oneDNN computes 16 output channels at once, and for an image
    of one or three most of them are idle, whereas four phases of it fill more."""
    return "phases" if outputs <= 4 else "transposed"


def transposed(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """As a transposed convolution in steps of 2: each pixel of the small image is spread over k + 1 of the large one."""
    padding = [side // 2 for side in weight.shape[2:]]
    return F.conv_transpose2d(images, _sums(weight).flip(2, 3).transpose(0, 1), bias, 2, padding)


def phases(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """As a convolution with four times the channels, one for each place over a small pixel, which are then interleaved."""
    outputs, inputs, *kernel = weight.shape
    (height, width), odd = ((side + 1) // 2 for side in kernel), [side // 2 % 2 for side in kernel]
    places = (
        _sums(weight)
        .reshape(outputs, inputs, height, 2, width, 2)
        .flip(3, 5)
        .permute(0, 3, 5, 1, 2, 4)
    )
    padding = [(side // 2 + 1) // 2 for side in kernel]
    folded = places.reshape(4 * outputs, inputs, height, width).contiguous(
        memory_format=torch.channels_last
    )
    large = F.pixel_shuffle(
        F.conv2d(
            images, folded, None if bias is None else bias.repeat_interleave(4), padding=padding
        ),
        2,
    )
    top, left = odd  # the places of an output of that convolution begin one large pixel before it
    return large[:, :, top : large.shape[2] - top, left : large.shape[3] - left]


def _sums(weight: Tensor) -> Tensor:
    """S of the module's formula in both dimensions: outputs x inputs x (k + 1) x (k + 1)."""
    return F.avg_pool2d(F.pad(weight, (1, 1, 1, 1)), 2, 1, divisor_override=1)
