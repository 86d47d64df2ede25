"""Augmentation: random changes of the training images, other ones in each epoch.

The images are changed before a task makes its inputs and targets from them, so that the targets of
a restoration task follow: noise is added to the flipped image. Validation and test images are never
changed.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le, Lt
from pydantic import NonNegativeInt
from torch import Tensor
from typing_extensions import override

from cae.trial.component import Component

Padding = Literal["zeros", "edge", "reflect"]
SAMPLE_PADDING = {"zeros": "zeros", "edge": "border", "reflect": "reflection"}
"""Names of the paddings in torch.nn.functional.grid_sample."""


class Augmentation(Component):
    """A kind of component: random changes of the training images."""

    @abstractmethod
    def apply(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed images of the same shape, B x C x H x W in [0, 1].

        All randomness comes from `generator`, which is on the device of the images. Labels stay:
        the class of an image must not change.
        """

    def validate_images(self, image_shape: tuple[int, int, int]) -> None:
        """Raise ValueError if images of C x H x W are too small."""


class NoAugmentation(Augmentation):
    """The training images as they are."""

    @override
    def apply(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return images


class Augment(Augmentation):
    """Flips, shifts, rotations, brightness, contrast and cutout, drawn for each image.

    In this order; each is off by default. A shift is a random crop of the padded image.
    """

    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    """Mirror half of the images: left and right (`horizontal`), top and bottom (`vertical`), or
    each independently (`both`)."""
    shift: NonNegativeInt = 0
    """Largest shift in pixels, up, down, left and right; whole pixels, all equally likely."""
    rotation: Annotated[float, Ge(0), Le(180)] = 0.0
    """Largest rotation in degrees, in both directions; bilinear interpolation."""
    padding: Padding = "zeros"
    """What a shift or rotation moves into the image: `zeros`, the nearest pixel of the `edge`, or
    the image mirrored at its border (`reflect`)."""
    brightness: Annotated[float, Ge(0), Lt(1)] = 0.0
    """All pixels are multiplied by a factor between 1 - brightness and 1 + brightness, then clipped
    to [0, 1]."""
    contrast: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Distances from the mean of the image are multiplied by a factor between 1 - contrast and 1 +
    contrast; then clipped to [0, 1]."""
    cutout: NonNegativeInt = 0
    """Side in pixels of a square that is set to 0, with a random pixel as its center (DeVries &
    Taylor 2017)."""

    @override
    def inactive_parameters(self) -> dict[str, str]:
        if self.shift or self.rotation:
            return {}
        return {"padding": "augmentation.shift and augmentation.rotation are 0"}

    @override
    def validate_images(self, image_shape: tuple[int, int, int]) -> None:
        _, rows, columns = image_shape
        smaller = min(rows, columns)
        for name in ("shift", "cutout"):
            value = getattr(self, name)
            if value >= smaller:
                raise ValueError(
                    f"augmentation.{name} = {value}: should be smaller than the images of {rows} x "
                    f"{columns} pixels: at most {smaller - 1}"
                )

    @override
    def apply(self, images: Tensor, generator: torch.Generator) -> Tensor:
        draw = _Draw(len(images), generator, images.device)
        if self.flip in ("horizontal", "both"):
            images = _where(draw.uniform(0, 1) < 0.5, images.flip(3), images)
        if self.flip in ("vertical", "both"):
            images = _where(draw.uniform(0, 1) < 0.5, images.flip(2), images)
        if self.shift:
            down = draw.integers(-self.shift, self.shift)
            right = draw.integers(-self.shift, self.shift)
            images = shift(images, down, right, self.padding)
        if self.rotation:
            images = rotate(images, draw.uniform(-self.rotation, self.rotation), self.padding)
        if self.brightness:
            factor = draw.uniform(1 - self.brightness, 1 + self.brightness)
            images = (images * _per_image(factor)).clamp(0, 1)
        if self.contrast:
            factor = draw.uniform(1 - self.contrast, 1 + self.contrast)
            mean = images.mean((1, 2, 3), keepdim=True)
            images = (mean + (images - mean) * _per_image(factor)).clamp(0, 1)
        if self.cutout:
            row = draw.integers(0, images.shape[2] - 1)
            column = draw.integers(0, images.shape[3] - 1)
            images = cut_out(images, row, column, self.cutout)
        return images


class _Draw:
    """Draws a random number per image."""

    def __init__(self, count: int, generator: torch.Generator, device: torch.device) -> None:
        self._count = count
        self._generator = generator
        self._device = device

    def uniform(self, low: float, high: float) -> Tensor:
        """B numbers in [low, high)."""
        numbers = torch.rand(self._count, generator=self._generator, device=self._device)
        return low + (high - low) * numbers

    def integers(self, low: int, high: int) -> Tensor:
        """B whole numbers from `low` to `high`."""
        return torch.randint(
            low, high + 1, (self._count,), generator=self._generator, device=self._device
        )


def _per_image(values: Tensor) -> Tensor:
    """One value per image, for products with B x C x H x W."""
    return values[:, None, None, None]


def _where(condition: Tensor, changed: Tensor, images: Tensor) -> Tensor:
    return torch.where(_per_image(condition), changed, images)


def shift(images: Tensor, down: Tensor, right: Tensor, padding: Padding) -> Tensor:
    """Shift each image by whole pixels; `down` and `right`: B integers, smaller than the image."""
    rows, has_row = _sources(images.shape[2], down, padding)
    columns, has_column = _sources(images.shape[3], right, padding)
    numbers = torch.arange(len(images), device=images.device)[:, None, None]
    shifted = images[numbers, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if padding != "zeros":
        return shifted
    is_inside = has_row[:, None, :, None] & has_column[:, None, None, :]
    return torch.where(is_inside, shifted, torch.zeros_like(shifted))


def _sources(size: int, offset: Tensor, padding: Padding) -> tuple[Tensor, Tensor]:
    """The pixel from which each pixel of a row or column comes, and whether it is in the image.

    B x size each; the pixel is one of the image also where it comes from outside.
    """
    source = torch.arange(size, device=offset.device) - offset[:, None]
    is_inside = (source >= 0) & (source < size)
    if padding == "reflect":
        source = torch.where(source < 0, -source - 1, source)
        source = torch.where(source >= size, 2 * size - 1 - source, source)
    return source.clamp(0, size - 1), is_inside


def rotate(images: Tensor, degrees: Tensor, padding: Padding) -> Tensor:
    """Rotate each image counterclockwise around its center; `degrees`: B numbers."""
    rows, columns = images.shape[2:]
    angle = degrees * (math.pi / 180)
    cosine = angle.cos()
    sine = angle.sin()
    zero = torch.zeros_like(angle)
    # Coordinates of grid_sample are from -1 to 1 in both directions, whatever the aspect.
    first = torch.stack([cosine, -sine * (rows / columns), zero], 1)
    second = torch.stack([sine * (columns / rows), cosine, zero], 1)
    matrices = torch.stack([first, second], 1)  # B x 2 x 3
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(
        images, grid, padding_mode=SAMPLE_PADDING[padding], align_corners=False
    ).clamp(0, 1)


def cut_out(images: Tensor, row: Tensor, column: Tensor, side: int) -> Tensor:
    """Set a square of each image to 0; `row` and `column`: B centers. It may cross the border."""
    top = (row - side // 2)[:, None]
    left = (column - side // 2)[:, None]
    rows = torch.arange(images.shape[2], device=images.device)
    columns = torch.arange(images.shape[3], device=images.device)
    in_rows = (rows >= top) & (rows < top + side)
    in_columns = (columns >= left) & (columns < left + side)
    is_cut = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    return torch.where(is_cut, torch.zeros_like(images), images)
