"""Residual blocks, skips, normalizations, activations, bottleneck and pixel shuffle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from typing_extensions import override

from cae.trial.config import Trial
from cae.trial.messages import ConfigError
from cae.trial.model import load_model, save_model
from cae.trial.networks import (
    Architecture,
    Classifier,
    ConvAutoencoder,
    Shape,
    VariationalAutoencoder,
    sizes,
)
from cae.trial.networks.blocks import ResidualBlock, SkipAutoencoder
from cae.trial.networks.create import build_network
from cae.trial.networks.layers import activation

SHAPE: Shape = (2, 12, 8)
TWO_STAGES: dict[str, Any] = {
    "encoder_filters": (4, 6, 8),
    "pool_after": (1, 2),
    "decoder_filters": (6, 4),
    "upsample_after": (0, 1),
}


def build(**settings: Any) -> nn.Module:
    torch.manual_seed(0)
    return ConvAutoencoder(**(TWO_STAGES | settings)).build(SHAPE, SHAPE)


def images(count: int = 3, shape: Shape = SHAPE) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1))


def convolve(layer: nn.Module, values: Tensor) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    return F.conv2d(values, layer.weight, layer.bias, padding=1)


def test_a_residual_block_adds_two_convolutions_to_its_input() -> None:
    network = build(residual_blocks=1, activation="elu")
    block = next(part for part in network.modules() if isinstance(part, ResidualBlock))
    values = torch.rand(2, 4, 12, 8)
    first, between, second = block.layers
    assert isinstance(between, nn.ELU)
    expected = F.elu(values + convolve(second, F.elu(convolve(first, values))))
    torch.testing.assert_close(block(values), expected)


def test_a_network_with_skips_is_a_u_net() -> None:
    """Written out with PyTorch's functions from the same weights."""
    network = build(skips=True)
    assert isinstance(network, SkipAutoencoder)
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    first, second, third, up_first, up_second, last = convolutions
    inputs = images()
    large = F.relu(convolve(first, inputs))
    medium = F.relu(convolve(second, F.max_pool2d(large, 2)))
    small = F.relu(convolve(third, F.max_pool2d(medium, 2)))
    joined = torch.cat([F.interpolate(small, scale_factor=2), medium], 1)
    joined = torch.cat(
        [F.interpolate(F.relu(convolve(up_first, joined)), scale_factor=2), large], 1
    )
    expected = convolve(last, F.relu(convolve(up_second, joined))).sigmoid()
    torch.testing.assert_close(network(inputs), expected)
    torch.testing.assert_close(network.encoder(inputs), small)


@pytest.mark.parametrize(("norm", "groups"), [("group", 2), ("layer", 1)], ids=["group", "layer"])
def test_a_norm_is_of_each_image_alone(norm: str, groups: int) -> None:
    settings: dict[str, Any] = {"batch_norm": "before_activation", "norm": norm}
    if norm == "group":
        settings["norm_groups"] = groups
    network = build(**settings)
    layer = next(part for part in network.modules() if isinstance(part, nn.GroupNorm))
    values = torch.rand(3, 4, 5, 5)
    grouped = values.reshape(3, groups, -1).double()
    centered = grouped - grouped.mean(2, keepdim=True)
    variance = centered.square().mean(2, keepdim=True)
    expected = (centered / (variance + 1e-3).sqrt()).reshape(values.shape).float()
    torch.testing.assert_close(layer(values), expected)
    network.train()
    inputs = images()
    torch.testing.assert_close(network(inputs)[:1], network(inputs[:1]))


def test_pixel_shuffle_makes_pixels_from_channels() -> None:
    network = build(
        upsampling="pixel_shuffle",
        encoder_filters=(4,),
        pool_after=(1,),
        decoder_filters=(),
        upsample_after=(0,),
    )
    first, last = (part for part in network.modules() if isinstance(part, nn.Conv2d))
    assert last.out_channels == 2 * 4
    inputs = images()
    small = F.max_pool2d(F.relu(convolve(first, inputs)), 2)
    channels = convolve(last, small)  # B x (2 x 2 x 2) x 6 x 4
    expected = channels.reshape(3, 2, 2, 2, 6, 4).permute(0, 1, 4, 2, 5, 3).reshape(3, *SHAPE)
    torch.testing.assert_close(network(inputs), expected.sigmoid())


@pytest.mark.parametrize(("name", "function"), [("gelu", F.gelu), ("silu", F.silu), ("elu", F.elu)])
def test_activations_are_those_of_torch(name: str, function: Any) -> None:
    values = torch.linspace(-3, 3, 20)
    assert torch.equal(activation(name, 0.01)(values), function(values))


def test_the_bottleneck_is_the_latent_code() -> None:
    result = sizes(ConvAutoencoder(**TWO_STAGES, bottleneck_channels=3), SHAPE, SHAPE)
    assert (result["latent_shape"], result["latent_values"]) == ([3, 3, 2], 18)
    plain = sizes(ConvAutoencoder(**TWO_STAGES), SHAPE, SHAPE)
    # 8 to 3 channels, and 5 input channels fewer of the first decoder convolution.
    assert result["parameters"] == plain["parameters"] + (8 * 3 + 3) - 5 * 9 * 6
    dense = sizes(
        ConvAutoencoder(**TWO_STAGES, bottleneck_channels=3, hidden_units=(5,)), SHAPE, SHAPE
    )
    assert dense["latent_shape"] == [5]


OPTIONS: list[dict[str, Any]] = [
    {"skips": True},
    {"residual_blocks": 2},
    {
        "skips": True,
        "residual_blocks": 1,
        "batch_norm": "after_activation",
        "norm": "group",
        "norm_groups": 2,
        "activation": "silu",
        "bottleneck_channels": 2,
        "dropout": 0.1,
    },
    {"upsampling": "pixel_shuffle", "activation": "gelu", "hidden_units": (5,)},
    {"residual_blocks": 1, "kernel_size": (2, 3), "padding": "valid"},
]


@pytest.mark.parametrize("settings", OPTIONS, ids=str)
def test_sizes_are_those_that_torch_counts(settings: dict[str, Any]) -> None:
    shape: Shape = (2, 24, 24)
    architecture = ConvAutoencoder(**(TWO_STAGES | settings))
    network = architecture.build(shape, shape).eval()
    result = sizes(architecture, shape, shape)
    assert result["parameters"] == sum(part.numel() for part in network.parameters())
    # PyTorch does not know the merged upsampling: it counts the convolution of the large image.
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network.to("meta")(torch.empty(1, *shape, device="meta"))
    assert result["megaflops"] == round(counter.get_total_flops() / 1e6, 3)


@pytest.mark.parametrize("settings", OPTIONS, ids=str)
def test_every_weight_has_a_gradient(settings: dict[str, Any]) -> None:
    shape: Shape = (2, 24, 24)
    network = ConvAutoencoder(**(TWO_STAGES | settings)).build(shape, shape)
    network(images(4, shape)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_defaults_are_left_out_of_configurations() -> None:
    added = {"residual_blocks", "bottleneck_channels", "norm", "norm_groups", "skips"}
    for architecture in (ConvAutoencoder(), VariationalAutoencoder(), Classifier()):
        assert not added & set(architecture.parameters())
    assert ConvAutoencoder(skips=True).parameters()["skips"] is True


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"skips": True, "padding": "valid"}, "arch.skips = True: needs arch.padding = 'same'"),
        ({"skips": True, "stride": 2}, "arch.skips = True: needs arch.stride = 1, not 2"),
        (
            {"skips": True, "upsampling": "transposed"},
            "arch.skips = True: needs arch.upsampling = 'nearest', not 'transposed'",
        ),
        (
            {"skips": True, "pooling": "stride"},
            "arch.skips = True: needs arch.pooling = 'max' or 'average', not 'stride'",
        ),
        (
            {"upsampling": "pixel_shuffle", "padding": "valid"},
            "arch.upsampling = 'pixel_shuffle': needs arch.padding = 'same', not 'valid'",
        ),
    ],
)
def test_parameters_that_do_not_fit_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ConvAutoencoder(**settings)
    assert message in str(caught.value)


def test_a_variational_autoencoder_has_no_skips() -> None:
    with pytest.raises(ValidationError, match="decodes drawn latent codes"):
        VariationalAutoencoder(skips=True)


@pytest.mark.parametrize(
    ("architecture", "shape", "message"),
    [
        (
            ConvAutoencoder(batch_norm="before_activation", norm="group", norm_groups=5),
            (1, 8, 8),
            "arch.norm_groups = 5: does not divide the 8 channels of encoder layer 1; "
            "choose one of 1, 2, 4, 8",
        ),
        (
            ConvAutoencoder(
                encoder_filters=(4, 4),
                pool_after=(1,),
                upsample_after=(0,),
                batch_norm="before_activation",
                norm="group",
            ),
            (1, 2, 2),
            "arch.norm_groups = 4: a group of encoder layer 2 would have a single value "
            "(4 channels of 1x1), which normalization replaces by 0; choose fewer groups",
        ),
        (
            ConvAutoencoder(upsampling="pixel_shuffle"),
            (1, 14, 14),
            "arch.upsampling = 'pixel_shuffle': 7x7 is not 2 times 3x3 at decoder layer 1; choose "
            "images whose height and width all stages divide without a remainder, or "
            "arch.upsampling = 'nearest'",
        ),
    ],
)
def test_images_that_do_not_fit_are_errors(
    architecture: Architecture, shape: Shape, message: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        architecture.build(shape, shape)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("settings", "inactive"),
    [
        ({}, {"norm", "norm_groups"}),
        ({"batch_norm": "before_activation"}, {"norm_groups"}),
        ({"batch_norm": "before_activation", "norm": "group"}, {"batch_norm_momentum"}),
        ({"pool_after": (), "upsample_after": ()}, {"skips"}),
    ],
)
def test_parameters_without_an_effect_are_named(
    settings: dict[str, Any], inactive: set[str]
) -> None:
    assert inactive <= set(ConvAutoencoder(**settings).inactive_parameters())


def test_skips_are_refused_where_the_input_is_the_target(trial: Trial) -> None:
    with pytest.raises(ConfigError) as caught:
        trial.override({"arch.skips": True}).sizes()
    assert caught.value.messages == [
        "arch.skips = True: the inputs of task = 'reconstruct' are its targets, which skips would "
        "copy without the latent code; choose arch.skips = False or a task with other inputs, "
        "such as 'denoise'"
    ]
    for task in ("denoise", "inpaint", "complete"):
        trial.override({"task": task, "arch.skips": True}).sizes()


def test_skips_of_an_own_network_are_refused_too(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Architecture, "registry", dict(Architecture.registry))

    class OwnSkips(Architecture):
        @property
        @override
        def has_skips(self) -> bool:
            return True

        @override
        def build(self, input_shape: Shape, output_shape: Shape) -> nn.Module:
            return nn.Conv2d(input_shape[0], output_shape[0], 3, padding=1)

    with pytest.raises(ConfigError, match="arch = 'own_skips' has skips: the inputs of task"):
        trial.override({"arch": "own_skips"}).sizes()
    denoise = {"task": "denoise", "task.loss": "mse"}
    trial.override({"arch": "own_skips", **denoise}).sizes()


@pytest.mark.parametrize("settings", OPTIONS, ids=str)
def test_an_exported_network_is_loaded_with_the_same_outputs(
    trial: Trial, tmp_path: Path, settings: dict[str, Any]
) -> None:
    arch = {f"arch.{name}": value for name, value in (TWO_STAGES | settings).items()}
    changed = trial.override({"task": "denoise", "dataset.size": 24, **arch})
    network = build_network(changed).eval()
    save_model(tmp_path / "model", network.state_dict(), changed, {})
    model = load_model(tmp_path / "model")
    assert model.trial == changed
    inputs = images(2, (1, 24, 24))
    assert torch.equal(model.network(inputs), network(inputs))
