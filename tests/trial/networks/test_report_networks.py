"""The networks of the published reports have the sizes that the reports give."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from cae.trial.networks import (
    Architecture,
    Classifier,
    ConvAutoencoder,
    DenseAutoencoder,
    Shape,
    VariationalAutoencoder,
    sizes,
)

CIFAR: Shape = (3, 32, 32)
COCO: Shape = (3, 64, 64)
MNIST: Shape = (1, 28, 28)
HALF_MNIST: Shape = (1, 28, 14)
V1: dict[str, Any] = {
    "encoder_filters": (16, 32, 64),
    "decoder_filters": (64, 32, 16),
    "upsample_after": (1, 2),
}
V2: dict[str, Any] = {
    "encoder_filters": (16, 16, 32, 32, 64, 64),
    "decoder_filters": (32, 32, 16, 16),
    "pool_after": (2, 4),
    "upsample_after": (0, 2),
}
V1_2: dict[str, Any] = V1 | {"dropout": 0.25, "dropout_decoder": (1, 2)}
V2_1 = ConvAutoencoder(
    **V2, batch_norm="after_activation", batch_norm_encoder=(1, 3, 5), batch_norm_decoder=(1, 3, 4)
)
"""Normalized are the first convolution of each pair and the last one before the output, together
16 + 32 + 64 + 32 + 16 + 16 = 176 channels. Each has 4 numbers in Keras (scale, shift, running mean,
running variance), of which 2 are trained. The author's log: 107,875 parameters, 107,523 trained."""
HALVES = ConvAutoencoder(
    encoder_filters=(32, 64, 128),
    decoder_filters=(64, 32),
    pool_after=(1, 2, 3),
    upsample_after=(0, 1, 2),
    pooling="stride",
    upsampling="transposed",
    kernel_size=(4, 2),
    hidden_units=(256, 64),
    activation="leaky_relu",
    batch_norm="before_activation",
    batch_norm_encoder=(1, 2),
    batch_norm_momentum=0.1,
    batch_norm_epsilon=1e-5,
    init="pytorch",
)


class WithLatent(NamedTuple):
    """A network of a report that gives the size of its latent code."""

    architecture: ConvAutoencoder
    shape: Shape
    parameters: int
    latent_values: int


WITH_LATENT = {
    "000 baseline": WithLatent(ConvAutoencoder(), CIFAR, 4_911, 1_024),
    "000 best": WithLatent(
        ConvAutoencoder(encoder_filters=(32, 32, 32), decoder_filters=(64,), kernel_size=7),
        CIFAR,
        214_979,
        2_048,
    ),
    "004 denoiser": WithLatent(
        ConvAutoencoder(encoder_filters=(16, 16), decoder_filters=(16, 16), upsample_after=(1, 2)),
        MNIST,
        7_265,
        784,
    ),
    "001 v1": WithLatent(ConvAutoencoder(**V1), COCO, 84_035, 16_384),
    "001 v2": WithLatent(ConvAutoencoder(**V2), COCO, 107_171, 16_384),
}


@pytest.mark.parametrize("report", WITH_LATENT)
def test_a_network_has_the_published_parameters_and_latent_values(report: str) -> None:
    expected = WITH_LATENT[report]
    result = sizes(expected.architecture, expected.shape, expected.shape)
    assert result["parameters"] == expected.parameters
    assert result["latent_values"] == expected.latent_values


def network_002(layers: int, filters: int, kernel: int, **settings: Any) -> ConvAutoencoder:
    """A network of report 002, whose layers double their channels."""
    widths = tuple(filters * 2**number for number in range(layers))
    return ConvAutoencoder(
        encoder_filters=widths,
        decoder_filters=widths[::-1],
        upsample_after=(layers - 1, layers),
        kernel_size=kernel,
        batch_norm="after_activation",
        **settings,
    )


class WithTotal(NamedTuple):
    """A network of a report that gives Keras's total of parameters (001, 002), or has the same."""

    architecture: Architecture
    shape: Shape
    parameters: int
    total_parameters: int


WITH_TOTAL = {
    "001 v1": WithTotal(ConvAutoencoder(**V1), COCO, 84_035, 84_035),
    "001 v1.1": WithTotal(
        ConvAutoencoder(**V1, batch_norm="before_activation"), COCO, 84_483, 84_931
    ),
    "001 v1.2": WithTotal(ConvAutoencoder(**V1_2), COCO, 84_035, 84_035),
    "001 v1.3": WithTotal(
        ConvAutoencoder(**V1_2, batch_norm="before_activation"), COCO, 84_483, 84_931
    ),
    "001 v1.4": WithTotal(ConvAutoencoder(**V1, dilation=(4, 3, 2)), COCO, 84_035, 84_035),
    "001 v2.1": WithTotal(V2_1, COCO, 107_523, 107_875),
    "001 dilation only": WithTotal(
        ConvAutoencoder(
            encoder_filters=(16, 32, 32, 16),
            decoder_filters=(),
            pool_after=(),
            upsample_after=(),
            dilation=3,
        ),
        COCO,
        19_395,
        19_395,
    ),
    "001 conv5 leaky relu": WithTotal(
        ConvAutoencoder(
            encoder_filters=(32, 16, 16),
            decoder_filters=(32,),
            activation="leaky_relu",
            negative_slope=0.2,
            batch_norm="before_activation",
        ),
        COCO,
        13_539,
        13_731,
    ),
    "002 L4 k3 F16": WithTotal(network_002(4, 16, 3), MNIST, 342_721, 343_681),
    "002 L5 k3 F16": WithTotal(network_002(5, 16, 3), MNIST, 1_376_449, 1_378_433),
    "002 L6 k3 F16": WithTotal(network_002(6, 16, 3), MNIST, 5_508_289, 5_512_321),
    "002 L4 k2 F32": WithTotal(network_002(4, 32, 2), MNIST, 609_345, 611_265),
    "002 L4 k3 F32": WithTotal(network_002(4, 32, 3), MNIST, 1_367_425, 1_369_345),
    "002 L4 k4 F32": WithTotal(network_002(4, 32, 4), MNIST, 2_428_737, 2_430_657),
    "002 L4 k3 F64": WithTotal(network_002(4, 64, 3), MNIST, 5_462_785, 5_466_625),
    "002 L5 k3 F32": WithTotal(network_002(5, 32, 3), MNIST, 5_499_265, 5_503_233),
    "002 L6 k3 F32": WithTotal(network_002(6, 32, 3), MNIST, 22_020_481, 22_028_545),
    "002 L4 k3 F32 dropout": WithTotal(
        network_002(4, 32, 3, dropout=0.2, dropout_decoder=()), MNIST, 1_367_425, 1_369_345
    ),
    "003 halves": WithTotal(HALVES, HALF_MNIST, 723_713, 724_097),
    "004 VAE": WithTotal(VariationalAutoencoder(), MNIST, 134_165, 134_165),
}


@pytest.mark.parametrize("report", WITH_TOTAL)
def test_a_network_has_the_published_totals(report: str) -> None:
    expected = WITH_TOTAL[report]
    result = sizes(expected.architecture, expected.shape, expected.shape)
    assert result["parameters"] == expected.parameters
    assert result.get("total_parameters", result["parameters"]) == expected.total_parameters


def test_the_network_of_report_003_has_the_published_image_sizes() -> None:
    network = HALVES.build(HALF_MNIST, HALF_MNIST)
    seen: list[tuple[int, ...]] = []

    def record(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        size = tuple(output.shape[2:])
        if not seen or seen[-1] != size:
            seen.append(size)

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.ZeroPad2d | nn.Unflatten):
            layer.register_forward_hook(record)
    network(torch.rand(2, *HALF_MNIST))
    published = [(14, 7), (7, 4), (4, 2), (7, 4), (14, 7), (28, 14)]
    assert [size for size in seen if size in published] == published
    assert sizes(HALVES, HALF_MNIST, HALF_MNIST)["latent_shape"] == [64]


def test_the_network_of_report_003_normalizes_the_published_channels() -> None:
    network = HALVES.build(HALF_MNIST, HALF_MNIST)
    channels = [
        layer.num_features for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)
    ]
    assert channels == [32, 64, 64, 32]


def test_the_network_of_report_003_that_could_not_be_trained_is_an_error() -> None:
    architecture = ConvAutoencoder(
        encoder_filters=(2, 2, 2),
        decoder_filters=(2, 2),
        pool_after=(1, 2, 3),
        upsample_after=(0, 1, 2),
        upsampling="transposed",
        kernel_size=(4, 2),
    )
    message = (
        r"a 4x2 transposed convolution with stride 2 from 3x1 does not reach every pixel of 7x3 "
        r"at decoder layer 1"
    )
    with pytest.raises(ValueError, match=message):
        architecture.build(HALF_MNIST, HALF_MNIST)


def test_dropout_of_report_001_has_the_published_positions() -> None:
    """After each pooling, between the two widest convolutions, and after each upsampling."""
    network = ConvAutoencoder(**V1_2).build(COCO, COCO)
    names = []
    for half in (network.encoder, network.decoder):
        names += [type(layer).__name__ for layer in half.children()]
    before_dropout = [
        names[position - 2 : position] for position, name in enumerate(names) if name == "Dropout"
    ]
    pooled = ["MaxPool2d", "ReLU"]
    enlarged = ["ReLU", "Upsample"]
    assert before_dropout == [pooled, pooled, ["Conv2d", "ReLU"], enlarged, enlarged]


def test_the_dense_baseline_of_report_001_has_its_size() -> None:
    """It outputs the 32 x 32 pixels of the hole only."""
    architecture = DenseAutoencoder(hidden_units=(6144, 3072), decoder_hidden_units=())
    weights = 12288 * 6144 + 6144 * 3072 + 3072 * 3072
    assert sizes(architecture, COCO, CIFAR) == {
        "parameters": weights + 6144 + 3072 + 3072,
        "megaflops": round(2 * weights / 1e6, 3),
        "latent_shape": [3072],
        "latent_values": 3072,
    }


def test_the_classifier_of_report_002_has_its_size() -> None:
    architecture = Classifier(
        encoder_filters=(32, 64, 128, 256), batch_norm="after_activation", fc_units=32
    )
    convolutions = 320 + 18_496 + 73_856 + 295_168
    normalization = 2 * (32 + 64 + 128 + 256)
    head = (12544 * 32 + 32) + (32 * 10 + 10)
    parameters = sizes(architecture, MNIST, (10, 1, 1))["parameters"]
    assert parameters == convolutions + normalization + head


def test_the_variational_autoencoder_has_the_sizes_of_the_keras_example() -> None:
    network = VariationalAutoencoder().build(MNIST, MNIST)
    encoder = sum(parameter.numel() for parameter in network.encoder.parameters())
    decoder = sum(parameter.numel() for parameter in network.decoder.parameters())
    assert (encoder, decoder) == (69_076, 65_089)
