"""Networks that name the class of an image."""

from __future__ import annotations

import math

from pydantic import PositiveInt
from torch import Tensor, nn

from cae.trial.networks import layers as of
from cae.trial.networks.conv import _ConvEncoder
from cae.trial.networks.layers import Shape


class Classifying(nn.Module):
    """An encoder, as an autoencoder's, and a head that names the class."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """B x classes x 1 x 1: logits, to which nothing has been applied."""
        logits: Tensor = self.head(self.encoder(images))
        return logits


class Classifier(_ConvEncoder):
    """The encoder of a ConvAutoencoder of equal parameters, its weights under the same names, then two fully connected layers.

    It answers with the logits of the classes, a task's targets being of shape classes x 1 x 1.
    """

    fc_units: PositiveInt = 32
    """Width of the fully connected layer, with an activation, between the flattened code and the one that gives the classes."""

    def build(self, input_shape: Shape, output_shape: Shape) -> Classifying:
        classes, *size = output_shape
        if size != [1, 1]:
            raise ValueError(
                f"classifier gives one value per class: it cannot give an image of {of.x(size)}; choose another task"
            )
        encoded = self._encoder(input_shape)
        values = (
            self.hidden_units[-1]
            if self.hidden_units
            else encoded.channels * math.prod(encoded.sizes[-1])
        )
        head = nn.Sequential(
            nn.Flatten(),
            of.initialised(nn.Linear(values, self.fc_units), self.init),
            self._activation(),
            of.initialised(nn.Linear(self.fc_units, classes), self.init),
            nn.Unflatten(1, output_shape),
        )
        return Classifying(encoded.layers, head)
