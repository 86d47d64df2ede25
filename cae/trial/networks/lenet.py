"""The convolutional autoencoder with which Deep SVDD was compared (Ruff et al. 2018)."""

from __future__ import annotations

import math
from typing import Annotated, Any

from annotated_types import Len, MultipleOf
from pydantic import PositiveFloat, PositiveInt
from torch import nn
from typing_extensions import override

from cae.trial.networks.base import Architecture
from cae.trial.networks.geometry import Shape, format_size
from cae.trial.networks.layers import Autoencoder

KERNEL = 5
START = 4
"""Rows and columns of the map that the decoder makes of the latent code."""
CELLS = START * START
BATCH_NORM_EPSILON = 1e-4
BATCH_NORM_MOMENTUM = 0.1


class LenetAutoencoder(Architecture):
    """The DCAE of "Deep One-Class Classification" (Ruff et al., ICML 2018), as in its code.

    Modules of a 5 x 5 convolution, batch normalization, leaky ReLU and 2 x 2 max-pooling; a fully
    connected layer, whose output is the latent code; a decoder that reshapes it to 4 x 4 and
    mirrors the modules with nearest-neighbour upsampling; a sigmoid. No layer has a bias but batch
    normalization, which has a shift.
    """

    filters: Annotated[tuple[PositiveInt, ...], Len(1)] = (8, 4)
    """Output channels of the modules of the encoder; the decoder has them in reverse order."""
    latent_units: Annotated[PositiveInt, MultipleOf(CELLS)] = 32
    """Number of values of the latent code; a multiple of 16."""
    negative_slope: PositiveFloat = 0.01
    """Slope of leaky ReLU for negative values; above 0."""

    @property
    @override
    def output_range(self) -> tuple[float, float]:
        return 0.0, 1.0

    @override
    def build(self, input_shape: Shape, output_shape: Shape) -> Autoencoder:
        if input_shape[1:] != output_shape[1:]:
            raise ValueError(
                f"arch = {self.name!r}: outputs have the size of inputs, "
                f"{format_size(input_shape[1:])}, but the target is {format_size(output_shape[1:])}"
            )
        return Autoencoder(self._encoder(input_shape), self._decoder(output_shape))

    def _encoder(self, shape: Shape) -> nn.Sequential:
        channels, rows, columns = shape
        layers = nn.Sequential()
        for filters in self.filters:
            self._add_module(layers, channels, filters, KERNEL // 2)
            layers.append(nn.MaxPool2d(2))
            channels = filters
            rows //= 2
            columns //= 2
        if rows * columns == 0:
            raise ValueError(
                f"arch.filters = {self.filters}: images of {format_size(shape[1:])} cannot be "
                f"pooled {len(self.filters)} times; choose fewer modules"
            )
        dense = nn.Linear(channels * rows * columns, self.latent_units, bias=False)
        layers.append(nn.Flatten())
        layers.append(_initialized(dense, 1.0))
        return layers

    def _decoder(self, shape: Shape) -> nn.Sequential:
        upsamplings, padding = self._plan_decoder(shape)
        layers = nn.Sequential(
            nn.Unflatten(1, (self.latent_units // CELLS, START, START)),
            nn.LeakyReLU(self.negative_slope),
        )
        channels = self.latent_units // CELLS
        if upsamplings > len(self.filters):
            layers.append(nn.Upsample(scale_factor=2))
        for number, filters in enumerate(self.filters[::-1], 1):
            module_padding = KERNEL // 2
            if number == len(self.filters):
                module_padding = padding
            self._add_module(layers, channels, filters, module_padding)
            layers.append(nn.Upsample(scale_factor=2))
            channels = filters
        output = nn.Conv2d(channels, shape[0], KERNEL, padding=KERNEL // 2, bias=False)
        layers.append(_initialized(output, self._gain))
        layers.append(nn.Sigmoid())
        return layers

    def _plan_decoder(self, shape: Shape) -> tuple[int, int]:
        """The number of upsamplings from 4 x 4 to the image, and the padding of the convolution
        before the last one, which removes the pixels that are too many."""
        _, rows, columns = shape
        modules = len(self.filters)
        upsamplings = math.ceil(math.log2(max(rows, START) / START))
        excess = START * 2**upsamplings - rows
        fits = rows == columns and excess % 4 == 0 and excess <= 4 * (KERNEL // 2)
        if not fits or upsamplings not in (modules, modules + 1):
            raise ValueError(
                f"arch.filters = {self.filters}: a decoder of {modules} modules from 4x4 makes "
                f"images of {_sizes_of(modules)}, not {format_size(shape[1:])}"
            )
        return upsamplings, KERNEL // 2 - excess // 4

    def _add_module(self, layers: nn.Sequential, channels: int, filters: int, padding: int) -> None:
        convolution = nn.Conv2d(channels, filters, KERNEL, padding=padding, bias=False)
        layers.append(_initialized(convolution, self._gain))
        layers.append(nn.BatchNorm2d(filters, BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM))
        layers.append(nn.LeakyReLU(self.negative_slope))

    @property
    def _gain(self) -> float:
        """The gain of weights before a leaky ReLU."""
        return math.sqrt(2 / (1 + self.negative_slope**2))


def _sizes_of(modules: int) -> str:
    """The sides of images that a decoder with this many modules can make."""
    sides: list[int] = []
    for upsamplings in (modules, modules + 1):
        full = START * 2**upsamplings
        for excess in (8, 4, 0):
            if full - excess > full // 2:
                sides.append(full - excess)
    return ", ".join(f"{side}x{side}" for side in sorted(set(sides)))


def _initialized(layer: Any, gain: float) -> nn.Module:
    """Draw the weights of a layer: uniform, as Glorot & Bengio 2010, times a gain."""
    if not layer.weight.is_meta:
        nn.init.xavier_uniform_(layer.weight, gain)
    module: nn.Module = layer
    return module
