"""Residual blocks, normalizations and skips of convolutional networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from cae.trial.networks.geometry import Size, format_size
from cae.trial.networks.layers import Autoencoder


class ResidualBlock(nn.Module):
    """Adds the output of some layers to their input, followed by an activation (He et al. 2016).

    `layers` keep the shape.
    """

    def __init__(self, layers: nn.Sequential, activation: nn.Module) -> None:
        super().__init__()
        self.layers = layers
        self.activation = activation

    def forward(self, images: Tensor) -> Tensor:
        """Map B x C x H x W to the same shape."""
        output: Tensor = self.activation(images + self.layers(images))
        return output


def group_norm(groups: int, channels: int, size: Size, epsilon: float, name: str) -> nn.Module:
    """Return group normalization of the output of a layer.

    `name`: of the layer in error messages. Raises ValueError if the groups do not divide the
    channels, or if each has a single value, which normalization would replace by 0.
    """
    if channels % groups:
        divisors = [str(number) for number in range(1, channels + 1) if channels % number == 0]
        raise ValueError(
            f"arch.norm_groups = {groups}: does not divide the {channels} channels of {name}; "
            f"choose one of {', '.join(divisors)}"
        )
    if channels // groups * size[0] * size[1] == 1:
        raise ValueError(
            f"arch.norm_groups = {groups}: a group of {name} would have a single value "
            f"({channels} channels of {format_size(size)}), which normalization replaces by 0; "
            "choose fewer groups"
        )
    return nn.GroupNorm(groups, channels, epsilon)


class SkipStart(nn.Identity):
    """The place in an encoder whose output is passed to the decoder."""


class SkipEnd(nn.Module):
    """The place in a decoder where the output of a stage of the encoder is joined."""

    def forward(self, images: Tensor, skipped: Tensor) -> Tensor:
        """Return the channels of both: B x (C + C') x H x W."""
        return torch.cat([images, skipped], 1)


class SkipAutoencoder(Autoencoder):
    """An autoencoder with skips, a U-Net (Ronneberger et al. 2015).

    The output of each SkipStart of the encoder is joined at a SkipEnd of the decoder, the last one
    first.
    """

    encoder: nn.Sequential
    decoder: nn.Sequential

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential) -> None:
        super().__init__(encoder, decoder)

    @override
    def forward(self, images: Tensor) -> Tensor:
        skipped: list[Tensor] = []
        values = images
        for layer in self.encoder:
            values = layer(values)
            if isinstance(layer, SkipStart):
                skipped.append(values)
        for layer in self.decoder:
            if isinstance(layer, SkipEnd):
                values = layer(values, skipped.pop())
            else:
                values = layer(values)
        return values
