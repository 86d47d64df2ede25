"""All registered networks, and their sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cae.trial.networks import Architecture, ConvAutoencoder, Shape, conv, measuring, sizes
from cae.trial.networks.measuring import PartSizes
from tests.trial.networks.strategies import networks

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
    "parameters",
    [{}, {"batch_norm": "before_activation", "hidden_units": (3,)}, {"upsampling": "transposed"}],
    ids=str,
)
def test_a_large_network_has_the_same_sizes_without_its_weights(
    parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = ConvAutoencoder(**parameters)
    expected = sizes(architecture, (3, 32, 32), (3, 32, 32))
    monkeypatch.setattr(measuring, "MAX_REAL_PARAMETERS", 0)
    assert whole_sizes(architecture, (3, 32, 32)) == expected


def whole_sizes(architecture: ConvAutoencoder, shape: Shape) -> dict[str, Any] | str:
    """The sizes of a network that is not divided into encoder and decoder, or the error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConvAutoencoder, "part_sizes", Architecture.part_sizes)
        return sizes_or_error(architecture, shape)


def sizes_or_error(architecture: ConvAutoencoder, shape: Shape) -> dict[str, Any] | str:
    try:
        return sizes(architecture, shape, shape)
    except ValueError as error:
        return str(error)


@settings(deadline=None, max_examples=60)
@given(networks(), st.integers(1, 3), st.integers(5, 20), st.integers(5, 20))
def test_encoder_and_decoder_together_have_the_sizes_and_errors_of_the_network(
    architecture: ConvAutoencoder, channels: int, height: int, width: int
) -> None:
    shape = (channels, height, width)
    assert sizes_or_error(architecture, shape) == whole_sizes(architecture, shape)


def test_an_encoder_or_a_decoder_that_networks_share_is_measured_once() -> None:
    built: list[int] = []

    def count(build: Callable[[], torch.nn.Module], shape: Shape) -> PartSizes | None:
        built.append(1)
        return measuring.measure_part(build, shape)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv, "measure_part", count)
        for first in (7, 8):
            for last in (11, 12, 13):  # filters of the latent code
                for filters in (17, 19):
                    network = ConvAutoencoder(
                        encoder_filters=(first, last),
                        decoder_filters=(filters,),
                        pool_after=(1,),
                        upsample_after=(0,),
                    )
                    sizes(network, (3, 23, 23), (3, 23, 23))
    encoders = 2 * 3
    decoders = 3 * 2
    assert len(built) == encoders + decoders


@pytest.mark.parametrize(
    "build", [ConvAutoencoder().build, lambda *shapes: sizes(ConvAutoencoder(), *shapes)]
)
def test_another_size_of_the_output_is_an_error(build: Callable[[Shape, Shape], object]) -> None:
    with pytest.raises(ValueError, match="cannot map 8x8 images to 8x9"):
        build((1, 8, 8), (1, 8, 9))
