"""Fully connected autoencoders."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Annotated, Literal

from annotated_types import Len
from pydantic import PositiveFloat, PositiveInt
from torch import nn
from typing_extensions import override

from cae.trial.networks.base import Architecture
from cae.trial.networks.geometry import Shape
from cae.trial.networks.layers import OUTPUT_ACTIVATIONS, Autoencoder, activation, initialize
from cae.trial.networks.parameter_types import Initialization, MirroredUnits


class DenseAutoencoder(Architecture):
    """Fully connected layers from the image to the latent code and from it to the output.

    The output may have another size than the input, such as one half of an image that is predicted
    from the other half.
    """

    hidden_units: Annotated[tuple[PositiveInt, ...], Len(1)] = (128, 64, 32)
    """Units of each encoder layer, at least one layer. The output of the last one is the latent
    code."""
    decoder_hidden_units: MirroredUnits = "mirrored"
    """Units of each decoder layer before the output layer. `mirrored`: those of the encoder before
    the latent code, in reverse order."""
    activation: Literal["relu", "leaky_relu", "sigmoid", "gelu", "silu", "elu"] = "relu"
    """Activation after each layer but the output layer, which has `output_activation`."""
    negative_slope: PositiveFloat = 0.01
    """Slope of leaky_relu for negative values; above 0. PyTorch's default."""
    output_activation: Literal["sigmoid", "tanh", "linear"] = "sigmoid"
    """Activation of the output layer, which determines the range of the output: `sigmoid` [0, 1],
    `tanh` [-1, 1], `linear` unbounded."""
    init: Initialization = "glorot_uniform"
    """Initial weights. `glorot_uniform`: uniform, scaled by the number of inputs and outputs
    (Glorot & Bengio 2010), with biases of 0, Keras's default. `pytorch`: the default of PyTorch's
    layers."""

    @override
    def inactive_parameters(self) -> dict[str, str]:
        if self.activation == "leaky_relu":
            return {}
        reason = f"arch.activation is {self.activation!r}, and only 'leaky_relu' has a slope"
        return {"negative_slope": reason}

    @property
    @override
    def output_range(self) -> tuple[float, float]:
        return OUTPUT_ACTIVATIONS[self.output_activation].range

    @override
    def build(self, input_shape: Shape, output_shape: Shape) -> Autoencoder:
        encoder_widths = [math.prod(input_shape), *self.hidden_units]
        latent_size = encoder_widths[-1]
        decoder_widths = [latent_size, *self._decoder_units()]
        encoder = nn.Sequential(nn.Flatten())
        self._add_layers(encoder, encoder_widths)
        decoder = nn.Sequential()
        self._add_layers(decoder, decoder_widths)
        output_layer = nn.Linear(decoder_widths[-1], math.prod(output_shape))
        decoder.append(initialize(output_layer, self.init))
        decoder.append(OUTPUT_ACTIVATIONS[self.output_activation].layer())
        decoder.append(nn.Unflatten(1, output_shape))
        return Autoencoder(encoder, decoder)

    def _decoder_units(self) -> tuple[int, ...]:
        """Return the units of the decoder's layers before the output layer."""
        if self.decoder_hidden_units == "mirrored":
            before_latent_code = self.hidden_units[:-1]
            return before_latent_code[::-1]
        return self.decoder_hidden_units

    def _add_layers(self, layers: nn.Sequential, widths: Sequence[int]) -> None:
        """Add fully connected layers, each with an activation.

        `widths`: number of inputs of the first layer, then the units of each layer.
        """
        for inputs, outputs in itertools.pairwise(widths):
            layers.append(initialize(nn.Linear(inputs, outputs), self.init))
            layers.append(activation(self.activation, self.negative_slope))
