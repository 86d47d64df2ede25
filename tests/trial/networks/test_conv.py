"""Convolutional autoencoders: every combination of parameters fits, or is an error that says
why."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from cae.trial.batches import DeviceImages
from cae.trial.config import Trial
from cae.trial.messages import explain
from cae.trial.networks import (
    Architecture,
    Autoencoder,
    Classifier,
    ConvAutoencoder,
    DenseAutoencoder,
    Shape,
    VariationalAutoencoder,
    sizes,
)
from cae.trial.training import train
from tests.trial.networks.strategies import networks, plain_networks

NAMED_IN_ERRORS = (
    "arch.kernel_size = ",
    "arch.pool_size = ",
    "arch.padding = ",
    "arch.upsampling = 'pixel_shuffle'",
)
"""Parameters of which an error about a size names at least one."""

shapes = st.tuples(st.integers(1, 3), st.integers(1, 24), st.integers(1, 24))


def is_documented_to_fit(architecture: ConvAutoencoder, pixels: int) -> bool:
    """Whether the documentation says that an image side fits; independent of the code it tests."""
    kernel = architecture.kernel_size
    assert isinstance(kernel, int)
    is_valid = architecture.padding == "valid"
    side = pixels
    for number in range(1, len(architecture.encoder_filters) + 1):
        is_reduced = number in architecture.pool_after
        stride = architecture.stride
        if is_reduced and architecture.pooling == "stride":
            stride *= architecture.pool_size
        if is_valid:
            if side < kernel:
                return False
            side = (side - kernel) // stride + 1
        else:
            side = math.ceil(side / stride)
        if is_reduced and architecture.pooling != "stride":
            if side < architecture.pool_size:
                return False
            side //= architecture.pool_size
    first_convolutions = len(architecture.decoder_filters) + 1
    if architecture.upsample_after:
        first_convolutions = architecture.upsample_after[0]
    if is_valid:
        side -= (kernel - 1) * first_convolutions
    if architecture.upsample_after:
        return side >= 1
    return side == pixels


def fill_positive(network: nn.Module) -> None:
    """Set positive weights and biases of 0, so that no value cancels another and no unit is
    dead."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1:
                parameter.fill_(1 / parameter[0].numel())
            else:
                parameter.fill_(float(name.endswith("weight")))  # of a normalization


def build_positive(
    architecture: ConvAutoencoder, input_shape: Shape, output_shape: Shape
) -> Autoencoder | None:
    """The network with positive weights; None if it is an error that names a parameter."""
    try:
        network = architecture.build(input_shape, output_shape)
    except ValueError as error:
        if not any(name in str(error) for name in NAMED_IN_ERRORS):
            raise
        return None
    fill_positive(network)
    return network


def first_layer_learns(network: nn.Module) -> bool:
    gradient = next(network.parameters()).grad
    return gradient is not None and bool(gradient.abs().sum() > 0)


@settings(deadline=None, max_examples=150)
@given(plain_networks(), shapes, st.integers(1, 3))
def test_the_output_has_the_inputs_size_or_the_size_is_an_error(
    architecture: ConvAutoencoder, shape: Shape, channels: int
) -> None:
    target = (channels, *shape[1:])
    if not all(is_documented_to_fit(architecture, side) for side in shape[1:]):
        with pytest.raises(ValueError, match=r"layer|encoder") as caught:
            architecture.build(shape, target)
        assert any(name in str(caught.value) for name in (*NAMED_IN_ERRORS, "arch.upsample_after"))
        return
    network = architecture.build(shape, target)
    assert network(torch.rand(2, *shape)).shape == (2, *target)
    latent_shape = network.encoder(torch.rand(1, *shape)).shape[1:]
    result = sizes(architecture, shape, target)
    assert result.pop("megaflops") >= 0
    assert result == {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "latent_shape": list(latent_shape),
        "latent_values": latent_shape.numel(),
    }


@settings(deadline=None, max_examples=80)
@given(plain_networks().filter(lambda network: network.output_activation == "linear"), shapes)
def test_every_output_pixel_depends_on_weights_and_the_first_layer_learns(
    architecture: ConvAutoencoder, shape: Shape
) -> None:
    if not all(is_documented_to_fit(architecture, side) for side in shape[1:]):
        return
    network = architecture.build(shape, shape)
    fill_positive(network)
    output = network(torch.ones(1, *shape))
    assert output.min() > 0
    output.sum().backward()
    assert first_layer_learns(network)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    networks(),
    st.tuples(st.integers(1, 2), st.integers(1, 18), st.integers(1, 18)),
    st.integers(1, 2),
)
def test_with_all_options_the_output_has_its_shape_and_the_first_layer_learns(
    architecture: ConvAutoencoder, shape: Shape, channels: int
) -> None:
    target = (channels, *shape[1:])
    network = build_positive(architecture, shape, target)
    if network is None:
        return
    network.eval()  # dropout may remove all values, and one pixel has no variance
    output = network(torch.ones(2, *shape))
    assert output.shape == (2, *target)
    output.sum().backward()
    assert first_layer_learns(network)
    result = sizes(architecture, shape, target)
    assert result["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    if isinstance(architecture, VariationalAutoencoder):
        assert result["latent_shape"] == [architecture.latent_dim]
    elif architecture.hidden_units:
        assert result["latent_shape"] == [architecture.hidden_units[-1]]


@settings(deadline=None, max_examples=60, derandomize=True)
@given(networks(), st.tuples(st.just(1), st.integers(1, 10), st.integers(1, 10)))
def test_every_output_pixel_depends_on_the_input_of_each_decoder_layer(
    architecture: ConvAutoencoder, shape: Shape
) -> None:
    network = build_positive(architecture, shape, shape)
    if network is None:
        return
    network.eval()
    values = network.encoder(torch.ones(1, *shape)).detach()
    assert isinstance(network.decoder, nn.Sequential)
    for number, layer in enumerate(network.decoder):
        inputs = values.clone().requires_grad_()
        remaining = network.decoder[number:]
        pixels = remaining(inputs.clone()).flatten()  # a clone: an activation may work in place
        identity = torch.eye(len(pixels))
        (gradients,) = torch.autograd.grad(pixels, inputs, identity, is_grads_batched=True)
        assert gradients.flatten(1).abs().sum(1).min() > 0, (number, layer)
        values = layer(values).detach()


@settings(deadline=None, max_examples=100)
@given(
    size=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 4),
)
def test_same_padding_is_that_of_tensorflow(
    size: tuple[int, int], kernel: int, stride: int
) -> None:
    """ceil(size / stride) outputs, and an odd zero at the end."""
    architecture = ConvAutoencoder(
        encoder_filters=(2,),
        decoder_filters=(),
        pool_after=(1,),
        upsample_after=(0,),
        pool_size=1,
        kernel_size=kernel,
        stride=stride,
    )
    encoder = architecture.build((1, *size), (1, *size)).encoder
    convolution = next(layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d))
    padding: list[int] = []
    for side in reversed(size):
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        padding += [total // 2, total - total // 2]
    image = torch.rand(1, 1, *size)
    padded = F.pad(image, padding)
    expected = F.conv2d(padded, convolution.weight, convolution.bias, stride).relu()
    assert expected.shape[2:] == tuple(math.ceil(side / stride) for side in size)
    torch.testing.assert_close(encoder(image), expected)


def convolutions_of(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def test_glorot_weights_are_uniform_with_the_bound_of_keras() -> None:
    torch.manual_seed(0)
    architecture = ConvAutoencoder(encoder_filters=(64, 96), pool_after=(), upsample_after=())
    network = architecture.build((3, 8, 8), (3, 8, 8))
    weight = convolutions_of(network)[1].weight
    bound = math.sqrt(6 / (9 * (64 + 96)))
    assert weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert weight.abs().max().item() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=bound / 100)
    biases = [value for name, value in network.named_parameters() if name.endswith("bias")]
    assert biases
    assert not any(bias.any() for bias in biases)


@pytest.mark.parametrize("init", ["glorot_uniform", "pytorch"])
def test_initial_weights_and_their_names_never_change(init: Any) -> None:
    """Checkpoints are loaded by these names, and a seed gives the same network in all versions."""
    torch.manual_seed(7)
    state = ConvAutoencoder(init=init).build((3, 32, 32), (2, 32, 32)).state_dict()
    torch.manual_seed(7)
    channels = {
        "encoder.0": (3, 8),
        "encoder.3": (8, 12),
        "encoder.6": (12, 16),
        "decoder.1": (16, 12),
        "decoder.4": (12, 2),
    }
    expected: dict[str, Tensor] = {}
    for name, (inputs, outputs) in channels.items():
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        assert convolution.bias is not None
        if init == "glorot_uniform":
            nn.init.xavier_uniform_(convolution.weight)
            nn.init.zeros_(convolution.bias)
        expected[f"{name}.weight"] = convolution.weight
        expected[f"{name}.bias"] = convolution.bias
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ("none", ["Conv2d", "MaxPool2d", "ReLU"]),
        ("before_activation", ["Conv2d", "BatchNorm2d", "MaxPool2d", "ReLU"]),
        ("after_activation", ["Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d"]),
    ],
)
def test_normalization_is_before_or_after_the_activation(
    position: Any, expected: list[str]
) -> None:
    architecture = ConvAutoencoder(
        encoder_filters=(2,),
        decoder_filters=(2,),
        pool_after=(1,),
        upsample_after=(0,),
        batch_norm=position,
    )
    network = architecture.build((1, 8, 8), (1, 8, 8))
    encoder = [type(layer).__name__ for layer in network.encoder.children()]
    decoder = [type(layer).__name__ for layer in network.decoder.children()]
    assert encoder == expected
    without_pooling = [name for name in expected[1:] if name != "MaxPool2d"]
    assert decoder[1:] == ["UpsampledConv2d", *without_pooling, "Conv2d", "Sigmoid"]


def test_the_defaults_of_normalization_are_those_of_keras() -> None:
    network = ConvAutoencoder(batch_norm="before_activation").build((1, 8, 8), (1, 8, 8))
    norm = next(layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))
    assert (norm.momentum, norm.eps) == (0.01, 1e-3)


@settings(deadline=None, max_examples=40)
@given(
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    pool=st.integers(2, 3),
    seed=st.integers(0, 99),
    ties=st.booleans(),
)
def test_pooling_before_relu_gives_exactly_the_result_of_pooling_after_it(
    size: tuple[int, int], pool: int, seed: int, ties: bool
) -> None:
    torch.manual_seed(seed)
    pool = min(pool, *size)
    architecture = ConvAutoencoder(
        encoder_filters=(3,),
        decoder_filters=(2,),
        pool_after=(1,),
        upsample_after=(0,),
        pool_size=pool,
    )
    encoder = architecture.build((1, *size), (1, *size)).encoder
    convolution, *others = encoder.children()
    assert [type(layer) for layer in others] == [nn.MaxPool2d, nn.ReLU]
    reference = nn.Sequential(convolution, nn.ReLU(), nn.MaxPool2d(pool))
    images = torch.randn(2, 1, *size)
    if ties:
        images = images.round()
    output = encoder(images)
    expected = reference(images)
    assert torch.equal(output, expected)
    upstream = torch.randn_like(output)
    parameters = list(convolution.parameters())
    gradients = torch.autograd.grad(output, parameters, upstream)
    expected_gradients = torch.autograd.grad(expected, parameters, upstream)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        assert torch.equal(gradient, expected_gradient)


@pytest.mark.parametrize(("pooling", "activation"), [("average", "relu"), ("max", "leaky_relu")])
def test_other_pooling_stays_after_the_activation(pooling: Any, activation: Any) -> None:
    architecture = ConvAutoencoder(pooling=pooling, activation=activation)
    encoder = architecture.build((1, 8, 8), (1, 8, 8)).encoder
    layer = list(encoder.children())[2]
    assert isinstance(layer, nn.AvgPool2d | nn.MaxPool2d)


def is_covered(pixels: int, kernel: int, pool: int, pooling: str) -> bool:
    """Whether a transposed convolution reaches every pixel of one side of its output."""
    reduced = math.ceil(pixels / pool)
    if pooling == "max":
        reduced = pixels // pool
    cropped = ((reduced - 1) * pool + kernel - pixels) // 2
    reached = set()
    for position in range(reduced):
        start = position * pool - cropped
        reached |= set(range(start, start + kernel))
    return set(range(pixels)) <= reached


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    st.tuples(st.integers(1, 15), st.integers(1, 15)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.integers(1, 4),
    st.sampled_from(["max", "stride"]),
)
def test_a_transposed_convolution_that_misses_a_pixel_is_an_error(
    size: tuple[int, int], kernel: tuple[int, int], pool: int, pooling: Any
) -> None:
    if pooling == "max" and min(size) < pool:
        return
    architecture = ConvAutoencoder(
        encoder_filters=(1,),
        decoder_filters=(),
        pool_after=(1,),
        upsample_after=(0,),
        upsampling="transposed",
        kernel_size=kernel,
        pool_size=pool,
        pooling=pooling,
    )
    sides = zip(size, kernel, strict=True)
    if all(is_covered(pixels, weights, pool, pooling) for pixels, weights in sides):
        architecture.build((1, *size), (1, *size))
        return
    with pytest.raises(ValueError, match=r"does not reach every pixel of .* at the output layer"):
        architecture.build((1, *size), (1, *size))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.tuples(st.integers(1, 15), st.integers(1, 15)), st.integers(2, 5), st.integers(1, 2))
def test_a_transposed_convolution_is_the_transpose_of_the_encoders(
    size: tuple[int, int], kernel: int, stride: int
) -> None:
    """With the same weights, <convolution(x), y> = <x, transposed(y)>."""
    architecture = ConvAutoencoder(
        encoder_filters=(1,),
        decoder_filters=(),
        pool_after=(1,),
        upsample_after=(0,),
        upsampling="transposed",
        kernel_size=kernel,
        pool_size=stride,
        pooling="stride",
    )
    network = architecture.build((1, *size), (1, *size)).double()
    assert isinstance(network.encoder, nn.Sequential)
    assert isinstance(network.decoder, nn.Sequential)
    convolve = network.encoder[:-1]
    transpose = network.decoder[:-1]
    (convolution,) = convolutions_of(convolve)
    (transposed,) = [
        layer for layer in transpose.modules() if isinstance(layer, nn.ConvTranspose2d)
    ]
    transposed.load_state_dict(convolution.state_dict())
    image = torch.rand(1, 1, *size, dtype=torch.float64)
    latent = convolve(image)
    other = torch.rand_like(latent)
    torch.testing.assert_close((latent * other).sum(), (image * transpose(other)).sum())


def test_a_dilated_kernel_that_reads_only_padding_is_an_error() -> None:
    architecture = ConvAutoencoder(
        encoder_filters=(2,),
        decoder_filters=(),
        pool_after=(),
        upsample_after=(),
        kernel_size=2,
        dilation=3,
    )
    message = r"reads only padding of the 1x1 image at encoder layer 1 \(arch\.dilation = 3"
    with pytest.raises(ValueError, match=message):
        architecture.build((1, 1, 1), (1, 1, 1))


def test_dilation_enlarges_the_receptive_field() -> None:
    architecture = ConvAutoencoder(
        encoder_filters=(1, 1, 1),
        decoder_filters=(),
        pool_after=(),
        upsample_after=(),
        dilation=(4, 3, 2),
    )
    network = build_positive(architecture, (1, 41, 41), (1, 41, 41))
    assert network is not None
    image = torch.ones(1, 1, 41, 41, requires_grad=True)
    latent: Tensor = network.encoder(image)
    latent[0, 0, 20, 20].backward()
    assert image.grad is not None
    read = image.grad[0, 0].nonzero()
    assert (read.max() - read.min()).item() == 2 * (4 + 3 + 2)


@pytest.mark.parametrize(
    ("invalid", "message"),
    [
        ({"kernel_size": 0}, "arch.kernel_size = 0: should be at least 1"),
        ({"kernel_size": (4, 0)}, "arch.kernel_size = (4, 0): should be at least 1"),
        (
            {"kernel_size": (4, 2, 1)},
            "arch.kernel_size = (4, 2, 1): should be an integer or a pair (height, width)",
        ),
        (
            {"kernel_size": "3"},
            "arch.kernel_size = '3': should be an integer or a pair (height, width)",
        ),
        (
            {"kernel_size": True},
            "arch.kernel_size = True: should be an integer or a pair (height, width)",
        ),
        ({"dilation": 0}, "arch.dilation = 0: should be at least 1"),
        (
            {"dilation": (1, 2)},
            "arch.dilation = [1, 2]: should be one integer, or 3, as many as arch.encoder_filters",
        ),
        (
            {"batch_norm_encoder": "most"},
            "arch.batch_norm_encoder = 'most': should be 'all' or a tuple of layer numbers, "
            "counted from 1",
        ),
        (
            {"batch_norm_encoder": (4,)},
            "arch.batch_norm_encoder = [4]: should be layer numbers in increasing order, at most 3",
        ),
        ({"batch_norm_decoder": (0,)}, "arch.batch_norm_decoder = (0,): should be at least 1"),
        ({"dropout_decoder": (-1,)}, "arch.dropout_decoder = (-1,): should be at least 0"),
        ({"dropout": 1.0}, "arch.dropout = 1.0: should be less than 1"),
        (
            {"decoder_hidden_units": 3},
            "arch.decoder_hidden_units = 3: should be 'mirrored' or a tuple with the units of "
            "each layer",
        ),
        (
            {"upsampling": "transpose"},
            "arch.upsampling = 'transpose': should be 'nearest', 'transposed' or 'pixel_shuffle'; "
            "did you mean 'transposed'?",
        ),
    ],
)
def test_an_invalid_value_is_one_error_with_the_rule(invalid: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ConvAutoencoder(**invalid)
    assert explain(caught.value, "arch.") == [message]


@pytest.mark.parametrize(
    ("invalid", "name"),
    [
        ({"pool_after": (2, 1)}, "arch.pool_after"),
        ({"pool_after": (1, 4)}, "arch.pool_after"),
        ({"pool_after": (1, 1)}, "arch.pool_after"),
        ({"upsample_after": (0, 2)}, "arch.upsample_after"),
        ({"pool_after": (1,)}, "arch.upsample_after"),
        ({"encoder_filters": ()}, "encoder_filters"),
        ({"kernel": 3}, "kernel"),
    ],
)
def test_parameters_that_fit_no_image_are_errors(invalid: dict[str, Any], name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        ConvAutoencoder(**invalid)


OPTION_SETTINGS = {
    "decoder_hidden_units",
    "batch_norm_encoder",
    "batch_norm_decoder",
    "batch_norm_momentum",
    "batch_norm_epsilon",
    "dropout_encoder",
    "dropout_decoder",
    "norm",
    "norm_groups",
}
"""Parameters of options that are off by default."""
ALL_OPTIONS: dict[str, Any] = {
    "activation": "leaky_relu",
    "batch_norm": "after_activation",
    "dropout": 0.5,
    "hidden_units": (4,),
}


def test_settings_of_options_that_are_off_are_inactive() -> None:
    inactive = ConvAutoencoder().inactive_parameters()
    assert set(inactive) == {"negative_slope"} | OPTION_SETTINGS
    assert inactive["dropout_encoder"] == "arch.dropout is 0.0"
    leaky = ConvAutoencoder(activation="leaky_relu")
    assert set(leaky.inactive_parameters()) == OPTION_SETTINGS


def test_settings_of_pooling_are_inactive_without_pooling() -> None:
    architecture = ConvAutoencoder(activation="leaky_relu", pool_after=(), upsample_after=())
    inactive = architecture.inactive_parameters()
    assert set(inactive) == {"pooling", "pool_size", "upsampling", "skips"} | OPTION_SETTINGS
    assert "pool_after" in inactive["pool_size"]


@pytest.mark.parametrize("component", [ConvAutoencoder, VariationalAutoencoder, Classifier])
def test_with_all_options_no_parameter_is_inactive(component: type[Architecture]) -> None:
    inactive = component(**ALL_OPTIONS).inactive_parameters()
    assert inactive == {"norm_groups": "arch.norm is 'batch'"}
    grouped = component(**ALL_OPTIONS | {"norm": "group"}).inactive_parameters()
    assert set(grouped) == {"batch_norm_momentum"}


def test_options_that_select_no_layer_are_inactive() -> None:
    no_layers: dict[str, Any] = {
        "dropout_encoder": (),
        "dropout_decoder": (),
        "batch_norm_encoder": (),
        "batch_norm_decoder": (),
    }
    architecture = ConvAutoencoder(**ALL_OPTIONS | no_layers)
    assert set(architecture.inactive_parameters()) == {"batch_norm", "dropout", "norm_groups"}


TRAINED: dict[str, Architecture] = {
    "normalized, transposed, fully connected": ConvAutoencoder(
        encoder_filters=(4, 6),
        decoder_filters=(4,),
        upsampling="transposed",
        pooling="stride",
        batch_norm="before_activation",
        hidden_units=(16, 8),
        dropout=0.1,
    ),
    "dense": DenseAutoencoder(hidden_units=(24, 8)),
    "variational": VariationalAutoencoder(encoder_filters=(4, 6), decoder_filters=(6, 4)),
}


@pytest.mark.parametrize("name", TRAINED)
def test_a_network_is_trained_and_resumed_with_the_same_numbers(
    name: str, trial: Trial, images: DeviceImages, tmp_path: Path
) -> None:
    config = trial.model_copy(update={"arch": TRAINED[name]})
    rows = [epoch.row for epoch in train(config, images, tmp_path / "uninterrupted")]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    interrupted = train(config, images, tmp_path / "resumed")
    next(interrupted)
    next(interrupted)
    interrupted.close()
    resumed = [epoch.row for epoch in train(config, images, tmp_path / "resumed")]
    for row in rows + resumed:
        del row["seconds"], row["images_per_second"]
    assert resumed == rows
