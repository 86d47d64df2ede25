"""Networks: one architecture per file.

The fields of an architecture are its parameters; its `build` returns the PyTorch module.

Shapes are C x H x W without the batch. A network maps B x C x H x W, pixels in [0, 1], to B x C' x
H' x W'; a classifier to B x classes x 1 x 1. Importing this package registers all architectures: a
new one is one new file and one import here.
"""

from __future__ import annotations

from cae.trial.networks.base import Architecture, sizes
from cae.trial.networks.classifier import Classifier
from cae.trial.networks.conv import ConvAutoencoder
from cae.trial.networks.dense import DenseAutoencoder
from cae.trial.networks.geometry import Shape, Size
from cae.trial.networks.layers import Autoencoder
from cae.trial.networks.lenet import LenetAutoencoder
from cae.trial.networks.variational import VariationalAutoencoder

__all__ = [
    "Architecture",
    "Autoencoder",
    "Classifier",
    "ConvAutoencoder",
    "DenseAutoencoder",
    "LenetAutoencoder",
    "Shape",
    "Size",
    "VariationalAutoencoder",
    "sizes",
]
