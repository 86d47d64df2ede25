"""Random networks for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cae.trial.networks import ConvAutoencoder, VariationalAutoencoder

MAX_LAYERS = 3


@st.composite
def layer_numbers(draw: st.DrawFn, first: int, last: int, count: int) -> tuple[int, ...]:
    """`count` layer numbers from `first` to `last`, increasing."""
    numbers = draw(st.permutations(range(first, last + 1)))
    return tuple(sorted(numbers[:count]))


@st.composite
def selections(draw: st.DrawFn, first: int, last: int) -> Any:
    """The value of a parameter that selects layers: `all`, or some of the numbers."""
    if draw(st.booleans()):
        return "all"
    return draw(layer_numbers(first, last, draw(st.integers(0, max(last, 0)))))


@st.composite
def plain_settings(draw: st.DrawFn) -> dict[str, Any]:
    """Parameters of a ConvAutoencoder that existed before its options."""
    filters = st.lists(st.integers(1, 3), max_size=MAX_LAYERS).map(tuple)
    encoder = draw(filters.filter(bool))
    decoder = draw(filters)
    pools = draw(st.integers(0, min(len(encoder), len(decoder) + 1)))
    return {
        "encoder_filters": encoder,
        "decoder_filters": decoder,
        "pool_after": draw(layer_numbers(1, len(encoder), pools)),
        "upsample_after": draw(layer_numbers(0, len(decoder), pools)),
        "kernel_size": draw(st.integers(1, 7)),
        "stride": draw(st.integers(1, 3)),
        "padding": draw(st.sampled_from(["same", "valid"])),
        "pooling": draw(st.sampled_from(["max", "average", "stride"])),
        "pool_size": draw(st.integers(1, 3)),
        "activation": draw(st.sampled_from(["relu", "leaky_relu"])),
        "output_activation": draw(st.sampled_from(["sigmoid", "tanh", "linear"])),
    }


@st.composite
def plain_networks(draw: st.DrawFn) -> ConvAutoencoder:
    """Autoencoders without dilation, transposed convolutions and fully connected layers."""
    return ConvAutoencoder(**draw(plain_settings()))


@st.composite
def networks(draw: st.DrawFn) -> ConvAutoencoder:
    """Autoencoders and variational autoencoders with all options; their output is linear."""
    plain = draw(plain_settings())
    encoder = len(plain["encoder_filters"])
    decoder = len(plain["decoder_filters"])
    units = st.lists(st.integers(1, 4), max_size=2).map(tuple)
    sides = st.integers(1, 5)
    dilations = st.integers(1, 3)
    options = {
        "kernel_size": draw(sides | st.tuples(sides, sides)),
        "dilation": draw(dilations | st.tuples(*[dilations] * encoder)),
        "stride": draw(st.integers(1, 2)),
        "padding": draw(st.sampled_from(["same", "same", "valid"])),
        "upsampling": draw(st.sampled_from(["nearest", "transposed", "pixel_shuffle"])),
        "residual_blocks": draw(st.sampled_from([0, 0, 1])),
        "bottleneck_channels": draw(st.sampled_from([None, None, 2])),
        "hidden_units": draw(units),
        "decoder_hidden_units": draw(st.just("mirrored") | units),
        "batch_norm": draw(st.sampled_from(["none", "before_activation", "after_activation"])),
        "batch_norm_encoder": draw(selections(1, encoder)),
        "batch_norm_decoder": draw(selections(1, decoder)),
        "dropout": draw(st.sampled_from([0.0, 0.5])),
        "dropout_encoder": draw(selections(1, encoder)),
        "dropout_decoder": draw(selections(0, decoder)),
        "activation": "relu",
        "output_activation": "linear",
    }
    if options["upsampling"] == "pixel_shuffle":
        options["padding"] = "same"
    architecture = draw(st.sampled_from([ConvAutoencoder, VariationalAutoencoder]))
    return architecture(**plain | options)
