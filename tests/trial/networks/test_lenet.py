"""The autoencoder of Deep One-Class Classification: its layers as in the authors' code."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cae.trial.networks import LenetAutoencoder, sizes

MNIST = (1, 28, 28)
CIFAR = (3, 32, 32)
FOR_CIFAR = LenetAutoencoder(filters=(32, 64, 128), latent_units=128)


def shapes_of(part: nn.Module, inputs: torch.Tensor, kind: type[nn.Module]) -> list[list[int]]:
    """The shapes of the outputs of all layers of a kind."""
    shapes: list[list[int]] = []
    for layer in part.modules():
        if isinstance(layer, kind):
            layer.register_forward_hook(lambda _, __, output: shapes.append(list(output.shape[1:])))
    part(inputs)
    return shapes


def test_the_network_of_mnist_has_the_maps_of_the_authors_code() -> None:
    network = LenetAutoencoder().build(MNIST, MNIST).eval()
    images = torch.rand(2, *MNIST)
    encoded = shapes_of(network.encoder, images, nn.Conv2d)
    assert encoded == [[8, 28, 28], [4, 14, 14]]
    code = network.encoder(images)
    assert code.shape == (2, 32)
    decoded = shapes_of(network.decoder, code, nn.Conv2d)
    assert decoded == [[4, 8, 8], [8, 14, 14], [1, 28, 28]]


def test_the_network_of_cifar_has_the_maps_of_the_authors_code() -> None:
    network = FOR_CIFAR.build(CIFAR, CIFAR).eval()
    images = torch.rand(2, *CIFAR)
    encoded = shapes_of(network.encoder, images, nn.Conv2d)
    assert encoded == [[32, 32, 32], [64, 16, 16], [128, 8, 8]]
    code = network.encoder(images)
    decoded = shapes_of(network.decoder, code, nn.Conv2d)
    assert decoded == [[128, 4, 4], [64, 8, 8], [32, 16, 16], [3, 32, 32]]


def test_no_layer_has_a_bias_but_batch_normalization() -> None:
    weights = 5 * 5 * (8 + 8 * 4) + 4 * 7 * 7 * 32 + 5 * 5 * (2 * 4 + 4 * 8 + 8)
    normalization = 2 * (8 + 4 + 4 + 8)
    measured = sizes(LenetAutoencoder(), MNIST, MNIST)
    assert measured["parameters"] == weights + normalization
    assert measured["latent_values"] == 32
    assert sizes(FOR_CIFAR, CIFAR, CIFAR)["latent_values"] == 128


def test_weights_have_the_spread_of_glorot_with_the_gain_of_leaky_relu() -> None:
    torch.manual_seed(0)
    network = FOR_CIFAR.build(CIFAR, CIFAR)
    second = network.get_submodule("encoder.4")
    assert isinstance(second, nn.Conv2d)
    variance = 2 / (25 * (32 + 64)) * 2 / (1 + 0.01**2)
    assert second.weight.var().item() == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize("side", [24, 28, 32])
def test_sizes_that_the_decoder_can_make_are_built(side: int) -> None:
    shape = (2, side, side)
    network = LenetAutoencoder().build(shape, shape)
    assert network(torch.rand(2, *shape)).shape == (2, *shape)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 30, 30), "makes images of 12x12, 16x16, 24x24, 28x28, 32x32, not 30x30"),
        ((1, 28, 32), "not 28x32"),
        ((1, 64, 64), "not 64x64"),
    ],
)
def test_other_sizes_are_refused_with_those_that_fit(
    shape: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LenetAutoencoder().build(shape, shape)


@pytest.mark.parametrize("shape", [(1, 3, 3), (1, 2, 2)])
def test_images_that_are_too_small_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"arch\.filters"):
        LenetAutoencoder().build(shape, shape)


def test_the_latent_code_is_a_multiple_of_the_cells_of_the_first_map() -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        LenetAutoencoder(latent_units=40)
