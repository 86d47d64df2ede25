"""What reports 001 to 004 need beyond the plain convolutional autoencoder: normalisation, dropout, dilation, transposed
convolutions, fully connected layers, classifiers, variational autoencoders."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from cae.trial.batches import Resident
from cae.trial.config import Trial, explain
from cae.trial.networks import (
    Architecture,
    Classifier,
    ConvAutoencoder,
    DenseAutoencoder,
    Shape,
    VariationalAutoencoder,
    sizes,
)
from cae.trial.training import train

COCO, MNIST, HALF = (3, 64, 64), (1, 28, 28), (1, 28, 14)
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
"""After the first convolution of each pair, and after the last before the output: 16 + 32 + 64 + 32 + 16 + 16 = 176 channels, each
with 4 numbers in Keras (scale, shift, running mean, running variance), of which 2 are trained. So the author's log: 107,875 in
all, 107,523 trained."""
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


def digits_002(layers: int, filters: int, kernel: int, **more: Any) -> ConvAutoencoder:
    widths = tuple(filters * 2**number for number in range(layers))
    return ConvAutoencoder(
        encoder_filters=widths,
        decoder_filters=widths[::-1],
        upsample_after=(layers - 1, layers),
        kernel_size=kernel,
        batch_norm="after_activation",
        **more,
    )


PUBLISHED: dict[str, tuple[Architecture, Shape, int, int]] = {
    "001 v1": (ConvAutoencoder(**V1), COCO, 84_035, 84_035),
    "001 v1.1": (ConvAutoencoder(**V1, batch_norm="before_activation"), COCO, 84_483, 84_931),
    "001 v1.2": (ConvAutoencoder(**V1_2), COCO, 84_035, 84_035),
    "001 v1.3": (ConvAutoencoder(**V1_2, batch_norm="before_activation"), COCO, 84_483, 84_931),
    "001 v1.4": (ConvAutoencoder(**V1, dilation=(4, 3, 2)), COCO, 84_035, 84_035),
    "001 v2.1": (V2_1, COCO, 107_523, 107_875),
    "001 dilation only": (
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
    "001 conv5 leaky relu": (
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
    "002 L4 k3 F16": (digits_002(4, 16, 3), MNIST, 342_721, 343_681),
    "002 L5 k3 F16": (digits_002(5, 16, 3), MNIST, 1_376_449, 1_378_433),
    "002 L6 k3 F16": (digits_002(6, 16, 3), MNIST, 5_508_289, 5_512_321),
    "002 L4 k2 F32": (digits_002(4, 32, 2), MNIST, 609_345, 611_265),
    "002 L4 k3 F32": (digits_002(4, 32, 3), MNIST, 1_367_425, 1_369_345),
    "002 L4 k4 F32": (digits_002(4, 32, 4), MNIST, 2_428_737, 2_430_657),
    "002 L4 k3 F64": (digits_002(4, 64, 3), MNIST, 5_462_785, 5_466_625),
    "002 L5 k3 F32": (digits_002(5, 32, 3), MNIST, 5_499_265, 5_503_233),
    "002 L6 k3 F32": (digits_002(6, 32, 3), MNIST, 22_020_481, 22_028_545),
    "002 L4 k3 F32 dropout": (
        digits_002(4, 32, 3, dropout=0.2, dropout_decoder=()),
        MNIST,
        1_367_425,
        1_369_345,
    ),
    "003": (HALVES, HALF, 723_713, 724_097),
    "004 VAE": (VariationalAutoencoder(), MNIST, 134_165, 134_165),
}
"""Network, its input, the parameters that are trained, and Keras's total, which is what reports 001 and 002 published."""


@pytest.mark.parametrize("report", PUBLISHED)
def test_the_networks_of_the_reports_have_their_parameters(report: str) -> None:
    arch, shape, trained, total = PUBLISHED[report]
    found = sizes(arch, shape, shape)
    assert (found["parameters"], found.get("total_parameters", found["parameters"])) == (
        trained,
        total,
    )


def test_the_halves_of_report_003_shrink_to_4x2_and_a_code_of_64() -> None:
    network = HALVES.build(HALF, HALF)
    seen = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.ZeroPad2d | nn.Unflatten):
            layer.register_forward_hook(lambda *said: seen.append(tuple(said[2].shape[2:])))
    network(torch.rand(2, *HALF))
    whole = [size for before, size in zip([None, *seen], seen, strict=False) if size != before]
    assert [size for size in whole if size in [(14, 7), (7, 4), (4, 2), (28, 14)]] == [
        (14, 7),
        (7, 4),
        (4, 2),
        (7, 4),
        (14, 7),
        (28, 14),
    ]
    assert sizes(HALVES, HALF, HALF)["latent_shape"] == [64]
    norms = [layer.num_features for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms == [32, 64, 64, 32]


def test_dropout_of_report_001_is_after_each_pool_between_the_two_widest_and_after_each_growth() -> (
    None
):
    network = ConvAutoencoder(**V1_2).build(COCO, COCO)
    kinds = [
        type(layer).__name__
        for half in (network.encoder, network.decoder)
        for layer in half.children()
    ]
    places = [kinds[at - 2 : at] for at, kind in enumerate(kinds) if kind == "Dropout"]
    pooled, grown = ["MaxPool2d", "ReLU"], ["ReLU", "Upsample"]
    assert places == [pooled, pooled, ["Conv2d", "ReLU"], grown, grown]


@pytest.mark.parametrize(
    ("placed", "expected"),
    [
        ("none", ["Conv2d", "MaxPool2d", "ReLU"]),
        ("before_activation", ["Conv2d", "BatchNorm2d", "MaxPool2d", "ReLU"]),
        ("after_activation", ["Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d"]),
    ],
)
def test_normalisation_stands_before_or_after_the_activation(
    placed: Any, expected: list[str]
) -> None:
    arch = ConvAutoencoder(
        encoder_filters=(2,),
        decoder_filters=(2,),
        pool_after=(1,),
        upsample_after=(0,),
        batch_norm=placed,
    )
    network = arch.build((1, 8, 8), (1, 8, 8))
    assert [type(layer).__name__ for layer in network.encoder.children()] == expected
    assert [type(layer).__name__ for layer in network.decoder.children()][1:] == [
        "UpsampledConv2d",
        *(kind for kind in expected[1:] if kind != "MaxPool2d"),
        "Conv2d",
        "Sigmoid",
    ]


@settings(deadline=None, max_examples=40)
@given(
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    pool=st.integers(2, 3),
    seed=st.integers(0, 99),
    ties=st.booleans(),
)
def test_pooling_before_relu_gives_exactly_the_outputs_and_gradients_of_pooling_after_it(
    size: tuple[int, int], pool: int, seed: int, ties: bool
) -> None:
    pool = min(pool, *size)
    torch.manual_seed(seed)
    arch = ConvAutoencoder(
        encoder_filters=(3,),
        decoder_filters=(2,),
        pool_after=(1,),
        upsample_after=(0,),
        pool_size=pool,
    )
    convolution, *rest = arch.build((1, *size), (1, *size)).encoder.children()
    before, after = (
        nn.Sequential(convolution, *rest),
        nn.Sequential(convolution, nn.ReLU(), nn.MaxPool2d(pool)),
    )
    assert [type(layer) for layer in rest] == [nn.MaxPool2d, nn.ReLU]
    images = torch.randn(2, 1, *size)
    images = images.round() if ties else images
    outputs = [network(images) for network in (before, after)]
    assert torch.equal(*outputs)
    upstream = torch.randn_like(outputs[0])
    gradients = [
        torch.autograd.grad(output, list(convolution.parameters()), upstream) for output in outputs
    ]
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


@pytest.mark.parametrize(("pooling", "activation"), [("average", "relu"), ("max", "leaky_relu")])
def test_pooling_that_would_give_other_values_stays_after_the_activation(
    pooling: Any, activation: Any
) -> None:
    arch = ConvAutoencoder(pooling=pooling, activation=activation)
    kinds = [type(layer) for layer in arch.build((1, 8, 8), (1, 8, 8)).encoder.children()]
    assert kinds.index(nn.AvgPool2d if pooling == "average" else nn.MaxPool2d) == 2


def test_the_settings_of_the_normalisation_reach_the_layer() -> None:
    network = ConvAutoencoder(batch_norm="before_activation").build((1, 8, 8), (1, 8, 8))
    norm = next(layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))
    assert (norm.momentum, norm.eps) == (0.01, 1e-3)  # Keras's defaults, in PyTorch's words


@pytest.mark.parametrize("init", ["glorot_uniform", "pytorch"])
def test_a_network_without_the_new_options_draws_the_weights_that_it_always_drew_under_their_old_names(
    init: Any,
) -> None:
    torch.manual_seed(7)
    found = ConvAutoencoder(init=init).build((3, 32, 32), (2, 32, 32)).state_dict()
    torch.manual_seed(7)
    expected: dict[str, Tensor] = {}
    places = {
        "encoder.0": (3, 8),
        "encoder.3": (8, 12),
        "encoder.6": (12, 16),
        "decoder.1": (16, 12),
        "decoder.4": (12, 2),
    }
    for name, channels in places.items():
        conv = nn.Conv2d(*channels, 3, padding=1)
        if init == "glorot_uniform":
            nn.init.xavier_uniform_(conv.weight)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        expected |= {f"{name}.weight": conv.weight, f"{name}.bias": conv.bias}  # type: ignore[dict-item]
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@st.composite
def networks(draw: st.DrawFn) -> ConvAutoencoder:
    filters = st.lists(st.integers(1, 3), max_size=3).map(tuple)
    encoder, decoder = draw(filters.filter(bool)), draw(filters)
    pools = draw(st.integers(0, min(len(encoder), len(decoder) + 1)))

    def some(first: int, last: int) -> Any:
        return draw(
            st.just("all")
            | st.sets(st.integers(first, max(first, last))).map(
                lambda chosen: tuple(sorted(chosen & {*range(last + 1)}))
            )
        )

    mirrored: st.SearchStrategy[Any] = st.just("mirrored")
    kind = draw(st.sampled_from([ConvAutoencoder, VariationalAutoencoder]))
    return kind(
        encoder_filters=encoder,
        decoder_filters=decoder,
        pool_after=tuple(sorted(draw(st.permutations(range(1, len(encoder) + 1)))[:pools])),
        upsample_after=tuple(sorted(draw(st.permutations(range(len(decoder) + 1)))[:pools])),
        kernel_size=draw(st.integers(1, 5) | st.tuples(st.integers(1, 5), st.integers(1, 5))),
        dilation=draw(st.integers(1, 3) | st.tuples(*(st.integers(1, 3) for _ in encoder))),
        stride=draw(st.integers(1, 2)),
        padding=draw(st.sampled_from(["same", "same", "valid"])),
        pooling=draw(st.sampled_from(["max", "average", "stride"])),
        pool_size=draw(st.integers(1, 3)),
        upsampling=draw(st.sampled_from(["nearest", "transposed"])),
        hidden_units=draw(st.lists(st.integers(1, 4), max_size=2).map(tuple)),
        decoder_hidden_units=draw(
            st.one_of(mirrored, st.lists(st.integers(1, 4), max_size=2).map(tuple))
        ),
        batch_norm=draw(st.sampled_from(["none", "before_activation", "after_activation"])),
        batch_norm_encoder=some(1, len(encoder)),
        batch_norm_decoder=some(1, len(decoder)),
        dropout=draw(st.sampled_from([0.0, 0.5])),
        dropout_encoder=some(1, len(encoder)),
        dropout_decoder=some(0, len(decoder)),
        output_activation="linear",
    )


def built(arch: ConvAutoencoder, shape: Shape, target: Shape) -> nn.Module | None:
    """The network, weights positive and biases 0, so that nothing cancels and no unit is dead; None where it is refused in words."""
    try:
        network = arch.build(shape, target)
    except ValueError as error:
        if not any(
            f"arch.{name} = " in str(error) for name in ("kernel_size", "pool_size", "padding")
        ):
            raise
        return None
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(
                1 / parameter[0].numel() if parameter.dim() > 1 else float(name.endswith("weight"))
            )
    return network


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    networks(),
    st.tuples(st.integers(1, 2), st.integers(1, 18), st.integers(1, 18)),
    st.integers(1, 2),
)
def test_whatever_is_built_gives_the_shape_that_was_asked_for_and_learns_in_its_first_layer(
    arch: ConvAutoencoder, shape: Shape, channels: int
) -> None:
    target = (channels, *shape[1:])
    network = built(arch, shape, target)
    if network is None:
        return
    network.eval()  # dropout may take all, and a batch of one pixel has no variance
    output = network(torch.ones(2, *shape))
    assert output.shape == (2, *target)
    output.sum().backward()
    first = next(network.parameters()).grad
    assert first is not None
    assert first.abs().sum() > 0
    found = sizes(arch, shape, target)
    assert found["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    if isinstance(arch, VariationalAutoencoder) or arch.hidden_units:
        values = (
            arch.latent_dim if isinstance(arch, VariationalAutoencoder) else arch.hidden_units[-1]
        )
        assert (found["latent_shape"], found["latent_values"]) == ([values], values)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(networks(), st.tuples(st.just(1), st.integers(1, 10), st.integers(1, 10)))
def test_every_output_pixel_is_reached_from_the_input_of_each_layer_of_the_decoder(
    arch: ConvAutoencoder, shape: Shape
) -> None:
    network = built(arch, shape, shape)
    if network is None:
        return
    network.eval()
    assert isinstance(network.encoder, nn.Module)
    given_to = network.encoder(torch.ones(1, *shape)).detach()
    assert isinstance(network.decoder, nn.Sequential)
    for number in range(len(network.decoder)):
        entering = given_to.clone().requires_grad_()
        output = network.decoder[number:](
            entering.clone()
        )  # the clone: an activation may work in place
        pixels = output.flatten()
        slopes = torch.autograd.grad(
            pixels, entering, torch.eye(len(pixels)), is_grads_batched=True
        )[0]
        assert slopes.flatten(1).abs().sum(1).min() > 0, (number, network.decoder[number])
        given_to = network.decoder[number](given_to).detach()


sides = st.integers(1, 15)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    st.tuples(sides, sides),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.integers(1, 4),
    st.sampled_from(["max", "stride"]),
)
def test_a_transposed_convolution_is_refused_exactly_where_it_leaves_a_pixel_out(
    size: Any, kernel: Any, pool: int, pooling: Any
) -> None:
    if pooling == "max" and min(size) < pool:
        return
    arch = ConvAutoencoder(
        encoder_filters=(1,),
        decoder_filters=(),
        pool_after=(1,),
        upsample_after=(0,),
        upsampling="transposed",
        kernel_size=kernel,
        pool_size=pool,
        pooling=pooling,
    )
    covered = True
    for side, extent in zip(size, kernel, strict=True):
        small = side // pool if pooling == "max" else -(-side // pool)
        cut = ((small - 1) * pool + extent - side) // 2
        reached = {step * pool + tap - cut for step in range(small) for tap in range(extent)}
        covered &= set(range(side)) <= reached
    if not covered:
        with pytest.raises(
            ValueError,
            match=r"does not reach every pixel of .* at the output layer \(arch\.kernel_size = \(",
        ):
            arch.build((1, *size), (1, *size))
        return
    network = arch.build((1, *size), (1, *size))
    if (
        pooling == "stride"
    ):  # it is the convolution of the encoder, backwards: <conv(x), y> = <x, transposed(y)>
        encoder, decoder = network.encoder[:-1], network.decoder[:-1]  # type: ignore[index]
        convs = [
            layer
            for layer in network.modules()
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        ]
        convs[1].load_state_dict(convs[0].state_dict())
        image = torch.rand(1, 1, *size, dtype=torch.float64)
        code = encoder.double()(image)
        other = torch.rand_like(code)
        torch.testing.assert_close((code * other).sum(), (image * decoder.double()(other)).sum())


def test_the_network_of_report_003_that_could_not_learn_cannot_be_built() -> None:
    floors = ConvAutoencoder(
        encoder_filters=(2, 2, 2),
        decoder_filters=(2, 2),
        pool_after=(1, 2, 3),
        upsample_after=(0, 1, 2),
        upsampling="transposed",
        kernel_size=(4, 2),
    )
    with pytest.raises(
        ValueError,
        match=r"a 4x2 transposed convolution that steps by 2 from 3x1 does not reach every pixel of 7x3 at decoder layer 1",
    ):
        floors.build(HALF, HALF)


def test_a_dilated_kernel_that_reads_nothing_of_a_small_image_is_refused() -> None:
    arch = ConvAutoencoder(
        encoder_filters=(2,),
        decoder_filters=(),
        pool_after=(),
        upsample_after=(),
        kernel_size=2,
        dilation=3,
    )
    with pytest.raises(
        ValueError, match=r"steps over the whole 1x1 image at encoder layer 1 .*arch\.dilation = 3"
    ):
        arch.build((1, 1, 1), (1, 1, 1))


def test_dilation_widens_what_a_pixel_of_the_code_sees() -> None:
    arch = ConvAutoencoder(
        encoder_filters=(1, 1, 1),
        decoder_filters=(),
        pool_after=(),
        upsample_after=(),
        dilation=(4, 3, 2),
    )
    network = built(arch, (1, 41, 41), (1, 41, 41))
    assert network is not None
    image = torch.ones(1, 1, 41, 41, requires_grad=True)
    network.encoder(image)[0, 0, 20, 20].backward()  # type: ignore[operator]
    assert image.grad is not None
    seen = image.grad[0, 0].nonzero()
    assert (seen.max() - seen.min()).item() == 2 * (4 + 3 + 2)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"kernel_size": 0}, ["arch.kernel_size = 0: should be greater than 0"]),
        ({"kernel_size": (4, 0)}, ["arch.kernel_size = (4, 0): should be greater than 0"]),
        (
            {"kernel_size": (4, 2, 1)},
            ["arch.kernel_size = (4, 2, 1): should be an integer, or two: (height, width)"],
        ),
        (
            {"kernel_size": "3"},
            ["arch.kernel_size = '3': should be an integer, or two: (height, width)"],
        ),
        (
            {"kernel_size": True},
            ["arch.kernel_size = True: should be an integer, or two: (height, width)"],
        ),
        ({"dilation": 0}, ["arch.dilation = 0: should be greater than 0"]),
        (
            {"dilation": (1, 2)},
            ["arch.dilation = [1, 2]: should be one, or as many as arch.encoder_filters has, 3"],
        ),
        (
            {"batch_norm_encoder": "most"},
            [
                "arch.batch_norm_encoder = 'most': should be 'all', or the numbers of layers, counted from 1"
            ],
        ),
        (
            {"batch_norm_encoder": (4,)},
            ["arch.batch_norm_encoder = [4]: should be layers in rising order, none beyond 3"],
        ),
        (
            {"batch_norm_decoder": (0,)},
            ["arch.batch_norm_decoder = (0,): should be greater than 0"],
        ),
        (
            {"dropout_decoder": (-1,)},
            ["arch.dropout_decoder = (-1,): should be greater than or equal to 0"],
        ),
        ({"dropout": 1.0}, ["arch.dropout = 1.0: should be less than 1"]),
        (
            {"decoder_hidden_units": 3},
            ["arch.decoder_hidden_units = 3: should be 'mirrored', or units per layer"],
        ),
        (
            {"upsampling": "transpose"},
            [
                "arch.upsampling = 'transpose': should be 'nearest' or 'transposed'; did you mean 'transposed'?"
            ],
        ),
    ],
)
def test_one_mistake_is_told_once_and_clearly(wrong: dict[str, Any], told: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        ConvAutoencoder(**wrong)
    assert explain(caught.value, "arch.") == told


def test_what_one_option_makes_idle_is_named() -> None:
    busy: dict[str, Any] = {
        "activation": "leaky_relu",
        "batch_norm": "after_activation",
        "dropout": 0.5,
        "hidden_units": (4,),
    }
    assert ConvAutoencoder(**busy).inactive_parameters() == {}
    assert VariationalAutoencoder(**busy).inactive_parameters() == {}
    assert Classifier(**busy).inactive_parameters() == {}
    assert (
        "decoder_hidden_units" not in VariationalAutoencoder(hidden_units=()).inactive_parameters()
    )
    nowhere = ConvAutoencoder(
        **busy
        | {
            "dropout_encoder": (),
            "dropout_decoder": (),
            "batch_norm_encoder": (),
            "batch_norm_decoder": (),
        }
    )
    assert set(nowhere.inactive_parameters()) == {"batch_norm", "dropout"}
    assert ConvAutoencoder().inactive_parameters()["dropout_encoder"] == "arch.dropout is 0.0"
    assert set(DenseAutoencoder().inactive_parameters()) == {"negative_slope"}
    assert DenseAutoencoder(activation="leaky_relu").inactive_parameters() == {}


def test_the_fully_connected_baseline_of_report_001_answers_with_the_hole_alone() -> None:
    arch = DenseAutoencoder(hidden_units=(6144, 3072), decoder_hidden_units=())
    assert sizes(arch, COCO, (3, 32, 32)) == {
        "parameters": 12288 * 6144 + 6144 + 6144 * 3072 + 3072 + 3072 * 3072 + 3072,
        "megaflops": round(2 * (12288 * 6144 + 6144 * 3072 + 3072 * 3072) / 1e6, 3),
        "latent_shape": [3072],
        "latent_values": 3072,
    }


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "leaky_relu"])
def test_a_dense_autoencoder_mirrors_its_encoder_and_may_change_the_size(activation: Any) -> None:
    network = DenseAutoencoder(hidden_units=(9, 5, 3), activation=activation).build(
        (1, 4, 6), (2, 4, 3)
    )
    widths = [
        (layer.in_features, layer.out_features)
        for layer in network.modules()
        if isinstance(layer, nn.Linear)
    ]
    assert widths == [(24, 9), (9, 5), (5, 3), (3, 5), (5, 9), (9, 24)]
    output = network(torch.rand(5, 1, 4, 6))
    assert output.shape == (5, 2, 4, 3)
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "hidden_units": (6, 4),
            "batch_norm": "after_activation",
            "kernel_size": (4, 2),
            "dropout": 0.2,
        },
    ],
)
def test_a_classifier_takes_the_encoder_of_an_autoencoder_of_equal_parameters(
    more: dict[str, Any],
) -> None:
    shape, classes = (1, 12, 12), (10, 1, 1)
    classifier = Classifier(**more, fc_units=7).build(shape, classes).eval()
    autoencoder = ConvAutoencoder(**more).build(shape, shape).eval()
    classifier.encoder.load_state_dict(autoencoder.encoder.state_dict())
    images = torch.rand(3, *shape)
    assert torch.equal(classifier.encoder(images), autoencoder.encoder(images))
    logits = classifier(images)
    assert logits.shape == (3, *classes)
    torch.testing.assert_close(logits, classifier.head(autoencoder.encoder(images)))
    assert Classifier().output_range == (-torch.inf, torch.inf)
    assert {
        (layer.in_features, layer.out_features)
        for layer in classifier.head.modules()
        if isinstance(layer, nn.Linear)
    } > {(7, 10)}


def test_the_classifier_of_report_002_has_its_size_and_images_are_not_its_business() -> None:
    arch = Classifier(
        encoder_filters=(32, 64, 128, 256), batch_norm="after_activation", fc_units=32
    )
    assert sizes(arch, MNIST, (10, 1, 1))[
        "parameters"
    ] == 320 + 18_496 + 73_856 + 295_168 + 2 * 480 + (12544 * 32 + 32) + (32 * 10 + 10)
    with pytest.raises(ValueError, match="one value per class: it cannot give an image of 28x28"):
        arch.build(MNIST, MNIST)


def test_a_variational_autoencoder_has_the_layers_of_kerass_example() -> None:
    network = VariationalAutoencoder().build(MNIST, MNIST)
    halves = [
        sum(parameter.numel() for parameter in half.parameters())
        for half in (network.encoder, network.decoder)
    ]
    assert halves == [69_076, 65_089]
    assert sizes(VariationalAutoencoder(latent_dim=8), MNIST, MNIST)["latent_shape"] == [8]


def test_a_variational_autoencoder_draws_its_codes_in_training_and_takes_the_means_otherwise() -> (
    None
):
    torch.manual_seed(3)
    network = VariationalAutoencoder(encoder_filters=(2, 3), decoder_filters=(3, 2)).build(
        (1, 8, 8), (1, 8, 8)
    )
    images = torch.rand(4, 1, 8, 8)
    with pytest.raises(RuntimeError, match="no images"):
        network.kl()
    torch.manual_seed(5)
    first = network(images)
    assert not torch.equal(network(images), first)
    torch.manual_seed(5)
    assert torch.equal(network(images), first)
    mean, log_var = network.encode(images)
    prior, found = (
        torch.distributions.Normal(0.0, 1.0),
        torch.distributions.Normal(mean, (log_var / 2).exp()),
    )
    torch.testing.assert_close(network.kl(), torch.distributions.kl_divergence(found, prior).sum(1))
    (network(images).sum() + network.kl().sum()).backward()
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all()
        for parameter in network.parameters()
    )
    twin = copy.deepcopy(network).eval()
    assert torch.equal(twin(images), network.decode(mean))
    assert torch.equal(twin.encoder(images), mean)


TRAINED: dict[str, Architecture] = {
    "normalised, transposed, fully connected": ConvAutoencoder(
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


@pytest.mark.parametrize("which", TRAINED)
def test_each_kind_of_network_trains_and_goes_on_from_its_checkpoint_to_the_same_numbers(
    which: str, trial: Trial, images: Resident, tmp_path: Path
) -> None:
    config = trial.model_copy(update={"arch": TRAINED[which]})
    rows = [epoch.row for epoch in train(config, images, tmp_path / "whole")]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    part = train(
        config, images, tmp_path / "parted"
    )  # left in the midst, as a stopped process leaves it
    for _ in range(2):
        next(part)
    del part
    parted = [epoch.row for epoch in train(config, images, tmp_path / "parted")]
    timeless = [
        [{name: value for name, value in row.items() if "second" not in name} for row in both]
        for both in (rows, parted)
    ]
    assert timeless[0] == timeless[1]
