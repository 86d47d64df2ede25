from __future__ import annotations

import pytest
import torch
from torch import nn

from cae.trial.latent_code import NoLatentCode, decode, encode
from cae.trial.networks.base import Architecture
from cae.trial.networks.classifier import Classifier
from cae.trial.networks.conv import ConvAutoencoder
from cae.trial.networks.dense import DenseAutoencoder
from cae.trial.networks.variational import VariationalAutoencoder, VariationalNetwork

IMAGE = (1, 16, 16)
AUTOENCODERS = [
    ConvAutoencoder(batch_norm="before_activation", dropout=0.5),
    ConvAutoencoder(hidden_units=(5,)),
    DenseAutoencoder(),
    VariationalAutoencoder(),
]


@pytest.mark.parametrize("architecture", AUTOENCODERS, ids=lambda arch: arch.name)
def test_decoded_codes_are_the_outputs_of_the_network(architecture: Architecture) -> None:
    torch.manual_seed(0)
    network = architecture.build(IMAGE, IMAGE).eval()
    images = torch.rand(7, *IMAGE)
    with torch.inference_mode():
        outputs = network(images)
    assert torch.equal(decode(network, encode(network, images)), outputs)


def test_codes_of_a_variational_autoencoder_are_means() -> None:
    network = VariationalAutoencoder().build(IMAGE, IMAGE)
    assert isinstance(network, VariationalNetwork)
    images = torch.rand(3, *IMAGE)
    mean, _ = network.eval().encode(images)
    assert torch.equal(encode(network, images), mean.detach())


def test_encoding_keeps_the_mode_of_the_network() -> None:
    network = ConvAutoencoder(dropout=0.5).build(IMAGE, IMAGE).train()
    images = torch.rand(3, *IMAGE)
    assert torch.equal(encode(network, images), encode(network, images))
    assert network.training


def test_more_images_than_a_batch_keep_their_order() -> None:
    network = DenseAutoencoder().build(IMAGE, IMAGE)
    images = torch.rand(1001, *IMAGE)
    codes = encode(network, images)
    assert len(codes) == 1001
    torch.testing.assert_close(codes[-1:], encode(network, images[-1:]))


def test_network_with_skips_is_encoded_but_not_decoded() -> None:
    network = ConvAutoencoder(skips=True).build(IMAGE, IMAGE)
    codes = encode(network, torch.rand(2, *IMAGE))
    with pytest.raises(NoLatentCode, match="skips"):
        decode(network, codes)


def test_classifier_is_encoded_but_not_decoded() -> None:
    network = Classifier().build(IMAGE, (10, 1, 1))
    codes = encode(network, torch.rand(2, *IMAGE))
    with pytest.raises(NoLatentCode, match="no module named decoder"):
        decode(network, codes)


def test_network_without_an_encoder_has_no_code() -> None:
    with pytest.raises(NoLatentCode, match="Identity"):
        encode(nn.Identity(), torch.rand(2, *IMAGE))
