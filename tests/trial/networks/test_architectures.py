"""Networks: the reports' own sizes, the input's size back from every combination that fits, words for those that do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from cae.trial.networks import Architecture, ConvAutoencoder, Shape, sizes

BUILT_IN = {name: part for name, part in Architecture.registry.items() if part.is_builtin()}
"""The table that the tests loop over: a new network that architectures.py imports is tested with no further line here, unless it
gives something else than images."""
OUTPUTS: dict[str, Shape] = {"classifier": (10, 1, 1)}

REPORTS: dict[str, tuple[ConvAutoencoder, Shape, int, int]] = {
    "cifar baseline": (ConvAutoencoder(), (3, 32, 32), 4_911, 1_024),
    "cifar best": (
        ConvAutoencoder(encoder_filters=(32, 32, 32), decoder_filters=(64,), kernel_size=7),
        (3, 32, 32),
        214_979,
        2_048,
    ),
    "mnist denoiser": (
        ConvAutoencoder(encoder_filters=(16, 16), decoder_filters=(16, 16), upsample_after=(1, 2)),
        (1, 28, 28),
        7_265,
        784,
    ),
    "inpainting v1": (
        ConvAutoencoder(
            encoder_filters=(16, 32, 64), decoder_filters=(64, 32, 16), upsample_after=(1, 2)
        ),
        (3, 64, 64),
        84_035,
        16_384,
    ),
    "inpainting v2": (
        ConvAutoencoder(
            encoder_filters=(16, 16, 32, 32, 64, 64),
            decoder_filters=(32, 32, 16, 16),
            pool_after=(2, 4),
            upsample_after=(0, 2),
        ),
        (3, 64, 64),
        107_171,
        16_384,
    ),
}
"""Each report's network, its input, its parameters, and the values of its latent."""

DIM = {"arch.kernel_size", "arch.pool_size", "arch.padding", "arch.stride", "arch.upsample_after"}


@st.composite
def networks(draw: st.DrawFn) -> ConvAutoencoder:
    filters = st.lists(st.integers(1, 3), max_size=3).map(tuple)
    encoder, decoder = draw(filters.filter(bool)), draw(filters)
    pools = draw(st.integers(0, min(len(encoder), len(decoder) + 1)))
    return ConvAutoencoder(
        encoder_filters=encoder,
        decoder_filters=decoder,
        pool_after=tuple(sorted(draw(st.permutations(range(1, len(encoder) + 1)))[:pools])),
        upsample_after=tuple(sorted(draw(st.permutations(range(len(decoder) + 1)))[:pools])),
        kernel_size=draw(st.integers(1, 7)),
        stride=draw(st.integers(1, 3)),
        padding=draw(st.sampled_from(["same", "valid"])),
        pooling=draw(st.sampled_from(["max", "average", "stride"])),
        pool_size=draw(st.integers(1, 3)),
        activation=draw(st.sampled_from(["relu", "leaky_relu"])),
        output_activation=draw(st.sampled_from(["sigmoid", "tanh", "linear"])),
    )


shapes = st.tuples(st.integers(1, 3), st.integers(1, 24), st.integers(1, 24))


def fits(arch: ConvAutoencoder, side: int) -> bool:
    """What the documentation promises, as arithmetic on one side of the image, written apart from the code that it judges."""
    kernel = arch.kernel_size
    assert isinstance(kernel, int)
    start, valid = side, arch.padding == "valid"
    for number in range(1, len(arch.encoder_filters) + 1):
        shrinks = number in arch.pool_after
        stride = arch.stride * (arch.pool_size if shrinks and arch.pooling == "stride" else 1)
        if valid and side < kernel:
            return False
        side = (side - kernel) // stride + 1 if valid else math.ceil(side / stride)
        if shrinks and arch.pooling != "stride":
            if side < arch.pool_size:
                return False
            side //= arch.pool_size
    before_growing = (
        arch.upsample_after[0] if arch.upsample_after else len(arch.decoder_filters) + 1
    )
    left = side - (kernel - 1) * before_growing if valid else side
    return left >= 1 and (bool(arch.upsample_after) or left == start)


def positive(network: nn.Module) -> nn.Module:
    """The network with positive weights and no biases, so that nothing cancels and no unit is dead."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1 / parameter[0].numel() if parameter.dim() > 1 else 0.0)
    return network


@pytest.mark.parametrize("report", REPORTS)
def test_the_networks_of_the_reports_have_their_parameters_and_their_latents(report: str) -> None:
    arch, shape, parameters, latent = REPORTS[report]
    found = sizes(arch, shape, shape)
    assert (found["parameters"], found["latent_values"]) == (parameters, latent)


def test_megaflops_count_a_product_and_its_sum_as_two() -> None:
    arch = ConvAutoencoder(
        encoder_filters=(2,), decoder_filters=(), pool_after=(1,), upsample_after=(0,)
    )
    by_hand = 2 * (10 * 20 * 2) * (3 * 9) + 2 * (10 * 20 * 3) * (
        2 * 9
    )  # outputs x weights of each, before pooling, after growing
    assert sizes(arch, (3, 10, 20), (3, 10, 20))["megaflops"] == round(by_hand / 1e6, 3)


@settings(deadline=None, max_examples=150)
@given(networks(), shapes, st.integers(1, 3))
def test_what_fits_gives_back_the_inputs_size_and_what_does_not_is_told(
    arch: ConvAutoencoder, shape: Shape, channels: int
) -> None:
    target = (channels, *shape[1:])
    if not all(fits(arch, side) for side in shape[1:]):
        with pytest.raises(ValueError, match=r"layer|encoder") as told:
            arch.build(shape, target)
        assert any(parameter in str(told.value) for parameter in DIM)
        return
    network = arch.build(shape, target)
    assert network(torch.rand(2, *shape)).shape == (2, *target)
    latent = network.encoder(torch.rand(1, *shape)).shape[1:]
    counted = {
        "parameters": sum(p.numel() for p in network.parameters()),
        "latent_shape": list(latent),
        "latent_values": latent.numel(),
    }
    found = sizes(arch, shape, target)
    assert found == counted | {"megaflops": found["megaflops"]}


@settings(deadline=None, max_examples=80)
@given(networks().filter(lambda arch: arch.output_activation == "linear"), shapes)
def test_weights_reach_every_output_pixel_and_every_gradient_the_first_layer(
    arch: ConvAutoencoder, shape: Shape
) -> None:
    if not all(fits(arch, side) for side in shape[1:]):
        return
    network = positive(arch.build(shape, shape))
    output = network(torch.ones(1, *shape))
    assert output.min() > 0
    output.sum().backward()
    first = next(network.parameters()).grad
    assert first is not None
    assert first.abs().sum() > 0


@settings(deadline=None, max_examples=100)
@given(
    side=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 4),
)
def test_same_padding_gives_the_rounded_up_quotient_with_the_odd_zero_at_the_end(
    side: tuple[int, int], kernel: int, stride: int
) -> None:
    arch = ConvAutoencoder(
        encoder_filters=(2,),
        decoder_filters=(),
        pool_after=(1,),
        upsample_after=(0,),
        pool_size=1,
        kernel_size=kernel,
        stride=stride,
    )
    encoder = arch.build((1, *side), (1, *side)).encoder
    conv = next(layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d))
    totals = [
        max((math.ceil(length / stride) - 1) * stride + kernel - length, 0) for length in side
    ]  # TensorFlow's own formula
    pads = [pad for total in reversed(totals) for pad in (total // 2, total - total // 2)]
    image = torch.rand(1, 1, *side)
    expected = F.conv2d(F.pad(image, pads), conv.weight, conv.bias, stride).relu()
    assert expected.shape[2:] == tuple(math.ceil(length / stride) for length in side)
    torch.testing.assert_close(encoder(image), expected)


def test_glorot_weights_are_uniform_with_kerass_bound_and_biases_zero() -> None:
    torch.manual_seed(0)
    network = ConvAutoencoder(encoder_filters=(64, 96), pool_after=(), upsample_after=()).build(
        (3, 8, 8), (3, 8, 8)
    )
    conv = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][1]
    bound = math.sqrt(6 / (9 * (64 + 96)))
    assert conv.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert conv.weight.abs().max().item() <= bound
    assert conv.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert conv.weight.mean().item() == pytest.approx(0, abs=bound / 100)
    assert all(
        not parameter.any()
        for name, parameter in network.named_parameters()
        if name.endswith("bias")
    )


def test_pytorchs_own_initialisation_can_be_had() -> None:
    torch.manual_seed(0)
    network = ConvAutoencoder(init="pytorch").build((3, 8, 8), (3, 8, 8))
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 8, 3)
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    assert torch.equal(first.weight, conv.weight)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_registered_network_keeps_its_shapes_counts_its_parameters_and_learns_in_its_first_layer(
    name: str,
) -> None:
    arch: Architecture = BUILT_IN[name]()
    wanted = OUTPUTS.get(name, (1, 32, 32))
    network = arch.build((3, 32, 32), wanted)
    output = network(torch.rand(2, 3, 32, 32))
    assert output.shape == (2, *wanted)
    assert (
        arch.output_range[0] <= output.min().item() <= output.max().item() <= arch.output_range[1]
    )
    assert sizes(arch, (3, 32, 32), wanted)["parameters"] == sum(
        parameter.numel() for parameter in network.parameters()
    )
    output.square().sum().backward()
    first = next(network.parameters()).grad
    assert first is not None
    assert first.abs().sum() > 0


@pytest.mark.parametrize(
    ("output", "lowest", "highest"),
    [("sigmoid", 0, 1), ("tanh", -1, 1), ("linear", -math.inf, math.inf)],
)
def test_the_output_range_is_that_of_the_output_activation(
    output: Any, lowest: float, highest: float
) -> None:
    assert ConvAutoencoder(output_activation=output).output_range == (lowest, highest)


def test_an_idle_parameter_is_named_with_the_reason() -> None:
    unused = {
        "decoder_hidden_units",
        "batch_norm_encoder",
        "batch_norm_decoder",
        "batch_norm_momentum",
        "batch_norm_epsilon",
        "dropout_encoder",
        "dropout_decoder",
    }
    assert set(ConvAutoencoder().inactive_parameters()) == {"negative_slope"} | unused
    assert set(ConvAutoencoder(activation="leaky_relu").inactive_parameters()) == unused
    flat = ConvAutoencoder(activation="leaky_relu", pool_after=(), upsample_after=())
    assert set(flat.inactive_parameters()) == {"pooling", "pool_size", "upsampling"} | unused
    assert "pool_after" in flat.inactive_parameters()["pool_size"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"pool_after": (2, 1)}, "arch.pool_after"),
        ({"pool_after": (1, 4)}, "arch.pool_after"),
        ({"pool_after": (1, 1)}, "arch.pool_after"),
        ({"upsample_after": (0, 2)}, "arch.upsample_after"),
        ({"pool_after": (1,)}, "arch.upsample_after"),
        ({"encoder_filters": ()}, "encoder_filters"),
        ({"kernel_size": 0}, "kernel_size"),
        ({"kernel": 3}, "kernel"),
    ],
)
def test_parameters_that_no_image_could_suit_are_refused_when_the_network_is_declared(
    wrong: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        ConvAutoencoder(**wrong)


@pytest.mark.parametrize(
    "ask", [ConvAutoencoder().build, lambda *shapes: sizes(ConvAutoencoder(), *shapes)]
)
def test_another_size_of_output_is_refused(ask: Callable[[Shape, Shape], object]) -> None:
    with pytest.raises(ValueError, match="cannot map 8x8 to 8x9"):
        ask((1, 8, 8), (1, 8, 9))
