"""Networks: one class per family, whose fields are its parameters and whose `build` makes the torch module.

Shapes are C x H x W without the batch. A network maps B x C x H x W, pixels in [0, 1], to B x C' x H x W. A classifier
maps them to B x classes x 1 x 1. Importing this module registers all families.
"""

from __future__ import annotations

from cae.trial.networks.base import Architecture, sizes
from cae.trial.networks.classifier import Classifier
from cae.trial.networks.conv import ConvAutoencoder
from cae.trial.networks.dense import DenseAutoencoder
from cae.trial.networks.layers import OUTPUT_ACTIVATIONS, Autoencoder, Shape, Size
from cae.trial.networks.variational import VariationalAutoencoder

__all__ = [
    "OUTPUT_ACTIVATIONS",
    "Architecture",
    "Autoencoder",
    "Classifier",
    "ConvAutoencoder",
    "DenseAutoencoder",
    "Shape",
    "Size",
    "VariationalAutoencoder",
    "sizes",
]
