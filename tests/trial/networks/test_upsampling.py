"""An upsampling and the convolution after it in one: the same outputs and gradients, the same parameters under the same names."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cae.trial.networks import ConvAutoencoder
from cae.trial.networks.upsampling import UpsampledConv2d, fold, phases, transposed

ODD = st.sampled_from([1, 3, 5, 7, 9])
SIDE, CHANNELS = st.integers(1, 9), st.integers(1, 7)


def plain(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    padding = [side // 2 for side in weight.shape[2:]]
    return F.conv2d(
        F.interpolate(images, scale_factor=2, mode="nearest"), weight, bias, padding=padding
    )


@pytest.mark.parametrize("form", [transposed, phases])
@settings(deadline=None, max_examples=60)
@given(
    kernel=st.tuples(ODD, ODD),
    size=st.tuples(SIDE, SIDE),
    channels=st.tuples(CHANNELS, CHANNELS),
    batch=st.integers(1, 3),
    last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_outputs_and_gradients_are_those_of_upsampling_and_convolving(
    form: object,
    kernel: tuple[int, int],
    size: tuple[int, int],
    channels: tuple[int, int],
    batch: int,
    last: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    layout = torch.channels_last if last else torch.contiguous_format
    inputs, outputs = channels
    images = (
        torch.randn(batch, inputs, *size, dtype=torch.double)
        .contiguous(memory_format=layout)
        .requires_grad_()
    )
    weight = (
        torch.randn(outputs, inputs, *kernel, dtype=torch.double)
        .contiguous(memory_format=layout)
        .requires_grad_()
    )
    bias = torch.randn(outputs, dtype=torch.double, requires_grad=True)
    assert callable(form)
    expected, found = plain(images, weight, bias), form(images, weight, bias)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    upstream = torch.randn_like(expected)
    gradients = [
        torch.autograd.grad(output, (images, weight, bias), upstream)
        for output in (expected, found)
    ]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        form(images, weight, None), plain(images, weight, None), rtol=1e-9, atol=1e-9
    )


def test_a_decoder_is_folded_and_keeps_its_parameters_under_their_names() -> None:
    architecture = ConvAutoencoder(
        encoder_filters=(6, 8),
        decoder_filters=(8, 6),
        pool_after=(1, 2),
        upsample_after=(0, 1),
        kernel_size=5,
        init="pytorch",
    )
    torch.manual_seed(0)
    network = architecture.build((3, 16, 12), (3, 16, 12))
    forms = {
        name: layer.form
        for name, layer in network.named_modules()
        if isinstance(layer, UpsampledConv2d)
    }
    assert forms == {"decoder.1": "transposed", "decoder.4": "transposed"}
    shapes = {
        name: tuple(parameter.shape) for name, parameter in network.decoder.named_parameters()
    }
    assert shapes == {
        "1.weight": (8, 8, 5, 5),
        "1.bias": (8,),
        "4.weight": (6, 8, 5, 5),
        "4.bias": (6,),
        "6.weight": (3, 6, 5, 5),
        "6.bias": (3,),
    }
    unfolded = nn.Sequential(
        nn.Upsample(scale_factor=2),
        nn.Conv2d(8, 8, 5, padding=2),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(8, 6, 5, padding=2),
        nn.ReLU(),
        nn.Conv2d(6, 3, 5, padding=2),
        nn.Sigmoid(),
    )
    unfolded.load_state_dict(
        network.decoder.state_dict()
    )  # as a checkpoint of the plain form has them, and back
    network.decoder.load_state_dict(unfolded.state_dict())
    code = torch.randn(2, 8, 4, 3)
    torch.testing.assert_close(network.decoder(code), unfolded(code))


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        (
            [nn.Upsample(scale_factor=2), nn.Dropout(0.1), nn.Conv2d(3, 3, 3, padding=1)],
            "something stands between",
        ),
        (
            [nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 3)],
            "no padding: the output has another size",
        ),
        (
            [nn.Upsample(scale_factor=2), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 3, 2)],
            "an even kernel",
        ),
        ([nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1)], "nothing grows"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_another_function_stays_as_it_is(layers: list[nn.Module], why: str) -> None:  # noqa: ARG001
    sequence = nn.Sequential(*layers)
    fold(sequence)
    assert list(sequence) == layers


def test_growth_by_another_factor_stays_as_it_is() -> None:
    odd = ConvAutoencoder(
        encoder_filters=(4,), decoder_filters=(), pool_after=(1,), upsample_after=(0,)
    ).build((1, 15, 15), (1, 15, 15))
    assert isinstance(odd.decoder[0], nn.Upsample)  # type: ignore[index]
    assert not any(isinstance(layer, UpsampledConv2d) for layer in odd.modules())


def test_on_another_device_than_a_cpu_it_is_the_plain_form() -> None:
    """Nothing was measured there. The device of no values stands for it: the shapes alone tell that it goes through."""
    layer = UpsampledConv2d.of(nn.Conv2d(3, 5, 3, padding=1), "transposed").to("meta")
    assert layer(torch.empty(2, 3, 4, 6, device="meta")).shape == (2, 5, 8, 12)
