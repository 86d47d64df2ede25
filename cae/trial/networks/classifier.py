"""Networks that classify images."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from cae.trial.networks.conv_encoder import ConvEncoder
from cae.trial.networks.geometry import Shape, format_size
from cae.trial.networks.layers import initialize


class ClassifierNetwork(nn.Module):
    """An encoder like that of an autoencoder, and a head that outputs a logit per class."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (without softmax), B x classes x 1 x 1, of images B x C x H x W."""
        logits: Tensor = self.head(self.encoder(images))
        return logits


class Classifier(ConvEncoder):
    """The encoder of a ConvAutoencoder, followed by two fully connected layers.

    The encoder's weights have the same names as in the autoencoder. The output are logits, classes
    x 1 x 1.
    """

    fc_units: PositiveInt = 32
    """Units of the fully connected layer, with an activation, between the encoder and the layer
    with the logits; at least 1."""

    @override
    def build(self, input_shape: Shape, output_shape: Shape) -> ClassifierNetwork:
        classes, *size = output_shape
        if size != [1, 1]:
            raise ValueError(
                f"arch = 'classifier': outputs one value per class, not a {format_size(size)} "
                "image; choose task = 'classify' or another architecture"
            )
        encoder = self._build_encoder(input_shape)
        head = nn.Sequential(
            nn.Flatten(),
            initialize(nn.Linear(encoder.values, self.fc_units), self.init),
            self._activation(),
            initialize(nn.Linear(self.fc_units, classes), self.init),
            nn.Unflatten(1, output_shape),
        )
        return ClassifierNetwork(encoder.layers, head)
