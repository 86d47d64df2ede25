"""How images of any number of channels are displayed."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def tile_channels(images: Tensor) -> Tensor:
    """Return images, B x C x H x W, as B x 1 or 3 x H x W.

    Gray and RGB images stay as they are. The channels of all others become gray tiles of a grid, in
    their order, with a row of two for two channels and 4 x 4 tiles for thirteen; tiles that are
    left are black.
    """
    count, channels, rows, columns = images.shape
    if channels in (1, 3):
        return images
    across = math.ceil(math.sqrt(channels))
    down = math.ceil(channels / across)
    missing = images.new_zeros(count, across * down - channels, rows, columns)
    tiles = torch.cat([images, missing], 1).view(count, down, across, rows, columns)
    return tiles.transpose(2, 3).reshape(count, 1, down * rows, across * columns)


def heat_map(values: Tensor, largest: float) -> Tensor:
    """Return values, B x 1 x H x W, as colors: B x 3 x H x W in [0, 1].

    0 is black, `largest` is white, with red and yellow between them.
    """
    shares = torch.zeros_like(values)
    if largest > 0:
        shares = (values / largest).nan_to_num(1).clamp(0, 1)
    red = 3 * shares
    green = red - 1
    blue = red - 2
    return torch.cat([red, green, blue], 1).clamp(0, 1)
