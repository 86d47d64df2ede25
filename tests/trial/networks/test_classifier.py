"""Classifiers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cae.trial.networks import Classifier, ConvAutoencoder, Shape

SHAPE: Shape = (1, 12, 12)
CLASSES: Shape = (10, 1, 1)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "hidden_units": (6, 4),
            "batch_norm": "after_activation",
            "kernel_size": (4, 2),
            "dropout": 0.2,
        },
    ],
    ids=str,
)
def test_a_classifier_has_the_encoder_of_an_autoencoder(settings: dict[str, Any]) -> None:
    classifier = Classifier(**settings, fc_units=7).build(SHAPE, CLASSES).eval()
    autoencoder = ConvAutoencoder(**settings).build(SHAPE, SHAPE).eval()
    classifier.encoder.load_state_dict(autoencoder.encoder.state_dict())
    images = torch.rand(3, *SHAPE)
    latent = autoencoder.encoder(images)
    assert torch.equal(classifier.encoder(images), latent)
    logits = classifier(images)
    assert logits.shape == (3, *CLASSES)
    torch.testing.assert_close(logits, classifier.head(latent))


def test_the_logits_are_not_bounded() -> None:
    assert Classifier().output_range == (-torch.inf, torch.inf)


def test_the_layer_before_the_logits_has_its_units() -> None:
    network = Classifier(fc_units=7).build(SHAPE, CLASSES)
    last = [layer for layer in network.head.modules() if isinstance(layer, nn.Linear)][-1]
    assert (last.in_features, last.out_features) == (7, 10)


def test_an_output_that_is_an_image_is_an_error() -> None:
    with pytest.raises(ValueError, match="outputs one value per class, not a 12x12 image"):
        Classifier().build(SHAPE, SHAPE)
