"""Fully connected autoencoders."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cae.trial.networks import DenseAutoencoder


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "leaky_relu"])
def test_the_decoder_mirrors_the_encoder(activation: Any) -> None:
    architecture = DenseAutoencoder(hidden_units=(9, 5, 3), activation=activation)
    network = architecture.build((1, 4, 6), (1, 4, 6))
    widths = [
        (layer.in_features, layer.out_features)
        for layer in network.modules()
        if isinstance(layer, nn.Linear)
    ]
    assert widths == [(24, 9), (9, 5), (5, 3), (3, 5), (5, 9), (9, 24)]


def test_the_output_may_have_another_size_than_the_input() -> None:
    network = DenseAutoencoder(hidden_units=(9, 5)).build((1, 4, 6), (2, 4, 3))
    output = network(torch.rand(5, 1, 4, 6))
    assert output.shape == (5, 2, 4, 3)
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_slope_is_inactive_without_leaky_relu() -> None:
    assert set(DenseAutoencoder().inactive_parameters()) == {"negative_slope"}
    assert DenseAutoencoder(activation="leaky_relu").inactive_parameters() == {}
