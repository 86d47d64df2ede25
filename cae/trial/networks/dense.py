"""Fully connected networks."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from annotated_types import Len
from pydantic import PositiveFloat, PositiveInt
from torch import nn

from cae.trial.networks import layers as of
from cae.trial.networks.base import Architecture
from cae.trial.networks.layers import OUTPUT_ACTIVATIONS, Autoencoder, Init, Mirrored, Shape


class DenseAutoencoder(Architecture):
    """Fully connected layers from the flattened image to the code and on to the flattened output, each with an activation.

    The output may have another size than the input: a half from the other half, a hole from what is around it.
    """

    hidden_units: Annotated[tuple[PositiveInt, ...], Len(1)] = (128, 64, 32)
    """Width of each encoder layer; the last one's output is the code."""
    decoder_hidden_units: Mirrored = "mirrored"
    """Width of each decoder layer before the output layer; `mirrored`: those of the encoder before the code, backwards."""
    activation: Literal["relu", "leaky_relu", "sigmoid"] = "relu"
    negative_slope: PositiveFloat = 0.01
    """Of leaky_relu."""
    output_activation: Literal["sigmoid", "tanh", "linear"] = "sigmoid"
    init: Init = "glorot_uniform"
    """Of the weights: `glorot_uniform` with zero biases is Keras's default, `pytorch` is PyTorch's."""

    def inactive_parameters(self) -> dict[str, str]:
        if self.activation == "leaky_relu":
            return {}
        return {
            "negative_slope": f"arch.activation is {self.activation!r}, and only 'leaky_relu' has a slope"
        }

    @property
    def output_range(self) -> tuple[float, float]:
        return OUTPUT_ACTIVATIONS[self.output_activation][1]

    def build(self, input_shape: Shape, output_shape: Shape) -> Autoencoder:
        encoder, decoder = nn.Sequential(nn.Flatten()), nn.Sequential()
        back = (
            self.hidden_units[-2::-1]
            if isinstance(self.decoder_hidden_units, str)
            else self.decoder_hidden_units
        )
        width = math.prod(input_shape)
        for layers, widths in ((encoder, self.hidden_units), (decoder, back)):
            for units in widths:
                layers.append(of.initialised(nn.Linear(width, units), self.init))
                layers.append(of.activation(self.activation, self.negative_slope))
                width = units
        decoder.append(of.initialised(nn.Linear(width, math.prod(output_shape)), self.init))
        decoder.append(OUTPUT_ACTIVATIONS[self.output_activation][0]())
        decoder.append(nn.Unflatten(1, output_shape))
        return Autoencoder(encoder, decoder)
