"""Sizes of images, and how kernels and padding change them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

Shape = tuple[int, int, int]
"""C x H x W of an image, without the batch."""
Size = tuple[int, int]
"""Height and width of an image, in pixels."""
Margins = tuple[int, int]
"""Pixels before and after an image in one dimension."""


@dataclass(frozen=True)
class KernelAxis:
    """A convolution along one axis of the image."""

    pixels: int
    """Pixels of the input, without padding."""
    kernel: int
    """Weights of the kernel."""
    dilation: int
    """Distance between adjacent weights of the kernel, in pixels."""
    stride: int
    """Step between two positions of the kernel, in pixels."""
    padding: Margins
    """Zeros before and after the input."""

    @property
    def extent(self) -> int:
        """Pixels from the first to the last one that the kernel reads at a position."""
        return kernel_extent(self.kernel, self.dilation)

    @property
    def fits(self) -> bool:
        """Whether the kernel is at most as large as the padded input."""
        return self.extent <= self.pixels + sum(self.padding)

    @property
    def outputs(self) -> int:
        """Pixels of the output."""
        return (self.pixels + sum(self.padding) - self.extent) // self.stride + 1

    @property
    def reads_pixels_everywhere(self) -> bool:
        """Whether the kernel reads a pixel of the input, not only padding, at each position."""
        if self.dilation == 1 and max(self.padding) < self.kernel:
            return True  # adjacent weights, and the padding of neither side is as wide as they are
        for position in range(self.outputs):
            start = position * self.stride - self.padding[0]
            reads = range(start, start + self.extent, self.dilation)
            if not any(0 <= pixel < self.pixels for pixel in reads):
                return False
        return True


def kernel_extent(kernel: int, dilation: int) -> int:
    """Return the pixels from the first to the last one that a dilated kernel reads."""
    return (kernel - 1) * dilation + 1


def pair_of(value: int | Size) -> Size:
    """Return (height, width) of a parameter that is one number for both, or a pair."""
    if isinstance(value, tuple):
        return value
    return value, value


def symmetric_padding(vertical: Margins, horizontal: Margins) -> Size | None:
    """Return the argument `padding` of PyTorch's convolutions for these margins.

    None if they are not symmetric: the margins then have to be a layer of their own.
    """
    if vertical[0] != vertical[1] or horizontal[0] != horizontal[1]:
        return None
    return vertical[0], horizontal[0]


def split_padding(total: int) -> Margins:
    """Distribute pixels before and after an image; an odd one is after it, as in Keras."""
    before = total // 2
    return before, total - before


def same_padding(side: int, extent: int, stride: int) -> Margins:
    """Return the zeros before and after `side` pixels for ceil(side / stride) outputs.

    `extent`: pixels that the kernel covers.
    """
    outputs = math.ceil(side / stride)
    return split_padding(max((outputs - 1) * stride + extent - side, 0))


def format_size(size: Iterable[int]) -> str:
    """Return a size or shape as text: 3x32x32."""
    return "x".join(map(str, size))
