"""Variational autoencoders."""

from __future__ import annotations

import copy

import pytest
import torch

from cae.trial.networks import Shape, VariationalAutoencoder, sizes
from cae.trial.networks.variational import VariationalNetwork

SHAPE: Shape = (1, 8, 8)


@pytest.fixture
def network() -> VariationalNetwork:
    torch.manual_seed(3)
    architecture = VariationalAutoencoder(encoder_filters=(2, 3), decoder_filters=(3, 2))
    return architecture.build(SHAPE, SHAPE)


@pytest.fixture
def images() -> torch.Tensor:
    torch.manual_seed(4)
    return torch.rand(4, *SHAPE)


def test_latent_codes_are_drawn_in_training(
    network: VariationalNetwork, images: torch.Tensor
) -> None:
    torch.manual_seed(5)
    first = network(images)
    assert not torch.equal(network(images), first)
    torch.manual_seed(5)
    assert torch.equal(network(images), first)


def test_latent_codes_are_the_means_in_evaluation(
    network: VariationalNetwork, images: torch.Tensor
) -> None:
    mean, _ = network.encode(images)
    network.eval()
    assert torch.equal(network(images), network.decode(mean))
    assert torch.equal(network.encoder(images), mean)


def test_kl_is_the_divergence_of_the_last_batch(
    network: VariationalNetwork, images: torch.Tensor
) -> None:
    network(images)
    mean, log_var = network.encode(images)
    prior = torch.distributions.Normal(0.0, 1.0)
    posterior = torch.distributions.Normal(mean, (log_var / 2).exp())
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1)
    torch.testing.assert_close(network.kl(), expected)


def test_kl_before_the_first_batch_is_an_error(network: VariationalNetwork) -> None:
    with pytest.raises(RuntimeError, match="no batch"):
        network.kl()


def test_all_parameters_have_finite_gradients(
    network: VariationalNetwork, images: torch.Tensor
) -> None:
    (network(images).sum() + network.kl().sum()).backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_a_network_can_be_copied_after_a_batch(
    network: VariationalNetwork, images: torch.Tensor
) -> None:
    network(images)
    duplicate = copy.deepcopy(network).eval()
    assert torch.equal(duplicate(images), network.eval()(images))


def test_the_latent_code_has_its_size() -> None:
    architecture = VariationalAutoencoder(latent_dim=8)
    assert sizes(architecture, (1, 28, 28), (1, 28, 28))["latent_shape"] == [8]


def test_the_decoders_hidden_units_are_always_active() -> None:
    architecture = VariationalAutoencoder(hidden_units=())
    assert "decoder_hidden_units" not in architecture.inactive_parameters()
