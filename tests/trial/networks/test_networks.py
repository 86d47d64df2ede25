"""All registered networks, and their sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from cae.trial.networks import Architecture, ConvAutoencoder, Shape, base, sizes

BUILT_IN = {
    name: component for name, component in Architecture.registry.items() if component.is_builtin()
}
"""The networks of the package: a new one is tested without a change here if it outputs images."""
OUTPUT_SHAPES: dict[str, Shape] = {"classifier": (10, 1, 1)}
"""Shapes of the outputs that are not images."""


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_network_keeps_its_shapes_and_range_and_has_gradients(name: str) -> None:
    architecture: Architecture = BUILT_IN[name]()
    output_shape = OUTPUT_SHAPES.get(name, (1, 32, 32))
    network = architecture.build((3, 32, 32), output_shape)
    output = network(torch.rand(2, 3, 32, 32))
    assert output.shape == (2, *output_shape)
    lowest, highest = architecture.output_range
    assert lowest <= output.min().item() <= output.max().item() <= highest
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert sizes(architecture, (3, 32, 32), output_shape)["parameters"] == parameters
    output.square().sum().backward()
    first = next(network.parameters()).grad
    assert first is not None
    assert first.abs().sum() > 0


@pytest.mark.parametrize(
    ("activation", "lowest", "highest"),
    [("sigmoid", 0, 1), ("tanh", -1, 1), ("linear", -math.inf, math.inf)],
)
def test_the_output_range_is_that_of_the_output_activation(
    activation: Any, lowest: float, highest: float
) -> None:
    assert ConvAutoencoder(output_activation=activation).output_range == (lowest, highest)


def test_a_multiplication_and_its_addition_are_two_operations() -> None:
    architecture = ConvAutoencoder(
        encoder_filters=(2,), decoder_filters=(), pool_after=(1,), upsample_after=(0,)
    )
    encoder_operations = 2 * (10 * 20 * 2) * (3 * 9)  # outputs before pooling x weights of each
    decoder_operations = 2 * (10 * 20 * 3) * (2 * 9)  # outputs after upsampling x weights of each
    expected = round((encoder_operations + decoder_operations) / 1e6, 3)
    assert sizes(architecture, (3, 10, 20), (3, 10, 20))["megaflops"] == expected


@pytest.mark.parametrize(
    "settings",
    [{}, {"batch_norm": "before_activation", "hidden_units": (3,)}, {"upsampling": "transposed"}],
    ids=str,
)
def test_a_large_network_has_the_same_sizes_without_its_weights(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = ConvAutoencoder(**settings)
    expected = sizes(architecture, (3, 32, 32), (3, 32, 32))
    monkeypatch.setattr(base, "MAX_REAL_PARAMETERS", 0)
    assert sizes(architecture, (3, 32, 32), (3, 32, 32)) == expected


@pytest.mark.parametrize(
    "build", [ConvAutoencoder().build, lambda *shapes: sizes(ConvAutoencoder(), *shapes)]
)
def test_another_size_of_the_output_is_an_error(build: Callable[[Shape, Shape], object]) -> None:
    with pytest.raises(ValueError, match="cannot map 8x8 images to 8x9"):
        build((1, 8, 8), (1, 8, 9))
