"""Upsampling merged with the convolution after it: same results, same parameter names."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cae.trial.networks import ConvAutoencoder
from cae.trial.networks.upsampling import Form, UpsampledConv2d, fold, phases, transposed

Convolution = Callable[[Tensor, Tensor, Tensor | None], Tensor]

odd_sides = st.sampled_from([1, 3, 5, 7, 9])
sides = st.integers(1, 9)
channel_counts = st.integers(1, 7)


def unmerged(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Upsampling and convolution, one after the other."""
    padding = [side // 2 for side in weight.shape[2:]]
    large = F.interpolate(images, scale_factor=2, mode="nearest")
    return F.conv2d(large, weight, bias, padding=padding)


@pytest.mark.parametrize("merged", [transposed, phases])
@settings(deadline=None, max_examples=60)
@given(
    kernel=st.tuples(odd_sides, odd_sides),
    size=st.tuples(sides, sides),
    inputs=channel_counts,
    outputs=channel_counts,
    batch=st.integers(1, 3),
    layout=st.sampled_from([torch.channels_last, torch.contiguous_format]),
    seed=st.integers(0, 99),
)
def test_outputs_and_gradients_are_those_of_two_layers(
    merged: Convolution,
    kernel: tuple[int, int],
    size: tuple[int, int],
    inputs: int,
    outputs: int,
    batch: int,
    layout: torch.memory_format,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    images = torch.randn(batch, inputs, *size, dtype=torch.double)
    images = images.contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(outputs, inputs, *kernel, dtype=torch.double)
    weight = weight.contiguous(memory_format=layout).requires_grad_()
    bias = torch.randn(outputs, dtype=torch.double, requires_grad=True)

    expected = unmerged(images, weight, bias)
    output = merged(images, weight, bias)
    torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-9)

    upstream = torch.randn_like(expected)
    variables = (images, weight, bias)
    expected_gradients = torch.autograd.grad(expected, variables, upstream)
    gradients = torch.autograd.grad(output, variables, upstream)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-9, atol=1e-9)

    without_bias = merged(images, weight, None)
    expected = unmerged(images, weight, None)
    torch.testing.assert_close(without_bias, expected, rtol=1e-9, atol=1e-9)


@pytest.fixture
def network() -> nn.Module:
    architecture = ConvAutoencoder(
        encoder_filters=(6, 8),
        decoder_filters=(8, 6),
        pool_after=(1, 2),
        upsample_after=(0, 1),
        kernel_size=5,
        init="pytorch",
    )
    torch.manual_seed(0)
    return architecture.build((3, 16, 12), (3, 16, 12))


def test_the_layers_of_a_decoder_are_merged(network: nn.Module) -> None:
    forms = {
        name: layer.form
        for name, layer in network.named_modules()
        if isinstance(layer, UpsampledConv2d)
    }
    assert forms == {"decoder.1": Form.TRANSPOSED, "decoder.4": Form.TRANSPOSED}


def test_merged_layers_keep_the_parameters_and_their_names(network: nn.Module) -> None:
    """Checkpoints of the two forms can be exchanged."""
    decoder = network.get_submodule("decoder")
    shapes = {name: tuple(parameter.shape) for name, parameter in decoder.named_parameters()}
    assert shapes == {
        "1.weight": (8, 8, 5, 5),
        "1.bias": (8,),
        "4.weight": (6, 8, 5, 5),
        "4.bias": (6,),
        "6.weight": (3, 6, 5, 5),
        "6.bias": (3,),
    }
    unmerged_decoder = nn.Sequential(
        nn.Upsample(scale_factor=2),
        nn.Conv2d(8, 8, 5, padding=2),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(8, 6, 5, padding=2),
        nn.ReLU(),
        nn.Conv2d(6, 3, 5, padding=2),
        nn.Sigmoid(),
    )
    unmerged_decoder.load_state_dict(decoder.state_dict())
    decoder.load_state_dict(unmerged_decoder.state_dict())
    latent = torch.randn(2, 8, 4, 3)
    torch.testing.assert_close(decoder(latent), unmerged_decoder(latent))


UNMERGED: dict[str, list[nn.Module]] = {
    "layer between them": [
        nn.Upsample(scale_factor=2),
        nn.Dropout(0.1),
        nn.Conv2d(3, 3, 3, padding=1),
    ],
    "no padding": [nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 3)],
    "even kernel": [nn.Upsample(scale_factor=2), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 3, 2)],
    "no upsampling": [nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1)],
}


@pytest.mark.parametrize("reason", UNMERGED)
def test_other_layers_are_not_merged(reason: str) -> None:
    layers = UNMERGED[reason]
    sequence = nn.Sequential(*layers)
    fold(sequence)
    assert list(sequence) == layers


def test_another_factor_is_not_merged() -> None:
    architecture = ConvAutoencoder(
        encoder_filters=(4,), decoder_filters=(), pool_after=(1,), upsample_after=(0,)
    )
    network = architecture.build((1, 15, 15), (1, 15, 15))
    assert isinstance(next(network.decoder.children()), nn.Upsample)
    assert not any(isinstance(layer, UpsampledConv2d) for layer in network.modules())


def test_on_other_devices_than_a_cpu_the_layers_are_computed_separately() -> None:
    """The device `meta` stands for them: it computes shapes only."""
    convolution = nn.Conv2d(3, 5, 3, padding=1)
    layer = UpsampledConv2d.from_convolution(convolution, Form.TRANSPOSED).to("meta")
    assert layer(torch.empty(2, 3, 4, 6, device="meta")).shape == (2, 5, 8, 12)
