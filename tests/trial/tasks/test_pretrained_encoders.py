"""A classifier that starts with a trained encoder: both have to compute the same."""

from __future__ import annotations

from typing import Any

import pytest

from cae import Adam, Classifier, Classify, ConvAutoencoder, Denoise, Digits, Trial
from cae.trial.messages import ConfigError

SETTINGS: dict[str, Any] = {"encoder_filters": (4, 4), "pool_after": (1,)}
NORM: dict[str, Any] = {"batch_norm": "before_activation"}


def pretrained(arch: Classifier, encoder: ConvAutoencoder) -> Trial:
    dataset = Digits(size=8)
    trained = Trial(dataset=dataset, task=Denoise(), arch=encoder, optimizer=Adam())
    return Trial(dataset=dataset, task=Classify(encoder=trained), arch=arch, optimizer=Adam())


def autoencoder(**parameters: Any) -> ConvAutoencoder:
    arguments: dict[str, Any] = {**SETTINGS, "decoder_filters": (4,), "upsample_after": (0,)}
    return ConvAutoencoder(**(arguments | parameters))


DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "activation": ({}, {"activation": "gelu"}, "its arch.activation is not 'relu'"),
    "pooling": ({"pooling": "average"}, {}, "its arch.pooling is not 'average'"),
    "norm": (
        NORM | {"norm": "layer"},
        NORM | {"norm": "group", "norm_groups": 2},
        "its arch.norm is not 'layer'",
    ),
    "groups": (
        NORM | {"norm": "group", "norm_groups": 4},
        NORM | {"norm": "group", "norm_groups": 2},
        "its arch.norm_groups is not 4",
    ),
    "no norm": ({}, NORM, "its arch.batch_norm is not 'none';"),
    "dropout": ({"dropout": 0.2}, {}, "its arch.dropout_encoder is not (1, 2)"),
    "skips": ({}, {"skips": True}, "its arch.skips is not False"),
    "filters": ({"encoder_filters": (4, 2)}, {}, "its arch.encoder_filters is not (4, 2)"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_an_encoder_that_computes_something_else_is_refused(name: str) -> None:
    """Not all of them change the shape of a weight."""
    own, trained, message = DIFFERENT[name]
    trial = pretrained(Classifier(**(SETTINGS | own)), autoencoder(**trained))
    with pytest.raises(ConfigError) as caught:
        trial.sizes()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("own", "trained"),
    [
        ({}, {}),
        ({"dropout": 0.2, "init": "pytorch"}, {"dropout": 0.5, "dropout_encoder": (1, 2)}),
        ({"kernel_size": 3, "dilation": (1, 1)}, {"kernel_size": (3, 3), "dilation": 1}),
        (NORM, NORM | {"batch_norm_encoder": (1, 2), "batch_norm_momentum": 0.1}),
        (NORM | {"batch_norm_encoder": ()}, NORM | {"batch_norm_encoder": (), "norm": "layer"}),
    ],
)
def test_an_encoder_that_computes_the_same_is_accepted(
    own: dict[str, Any], trained: dict[str, Any]
) -> None:
    trial = pretrained(Classifier(**(SETTINGS | own)), autoencoder(**trained))
    assert trial.sizes()["latent_shape"] == [4, 4, 4]
