"""Convolutional autoencoders."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from pydantic import NonNegativeInt, PositiveInt, model_validator
from torch import nn
from typing_extensions import override

from cae.trial.networks.blocks import SkipAutoencoder, SkipEnd
from cae.trial.networks.conv_encoder import ConvEncoder, Encoder, Stage
from cae.trial.networks.geometry import (
    Shape,
    Size,
    format_size,
    pair_of,
    split_padding,
    symmetric_padding,
)
from cae.trial.networks.layers import (
    OUTPUT_ACTIVATIONS,
    Autoencoder,
    LayerStack,
    initialize,
    zero_padding,
)
from cae.trial.networks.measuring import PartSizes, measure_part
from cae.trial.networks.parameter_types import (
    Layers,
    LayersAndInput,
    MirroredUnits,
    is_selected,
    validate_layer_numbers,
)
from cae.trial.networks.upsampling import fold

MEASURED_PARTS = 10_000
"""Encoders, and decoders, of which the sizes are kept: about 2 KB each."""


@dataclass(frozen=True)
class Upsampling:
    """An upsampling of the decoder, which reverses a stage of the encoder."""

    size: Size
    """Size of the image after it."""
    stride: int
    """Factor by which the stage of the encoder divided the size."""
    skip_channels: int
    """Channels of the output of the stage, before its pooling."""


class ConvAutoencoder(ConvEncoder):
    """Convolutions with pooling, then convolutions with upsampling and an output convolution.

    Fully connected layers surround the latent code if there are `hidden_units`. Each upsampling
    restores the size before the matching stage of the encoder, so that the output has the input's
    size with any kernel, stride, padding and pooling; where convolutions without padding follow, it
    adds the pixels that they remove. With the defaults: conv, pool, conv, pool, conv (the latent
    code) | up, conv, up, conv.
    """

    decoder_filters: tuple[PositiveInt, ...] = (12,)
    """Output channels of each decoder convolution before the output convolution, whose channels are
    the target's."""
    upsample_after: tuple[NonNegativeInt, ...] = (0, 1)
    """Decoder convolutions, counted from 1, after which the image is upsampled; 0: before the first
    one. Increasing, as many as `pool_after`."""
    upsampling: Literal["nearest", "transposed", "pixel_shuffle"] = "nearest"
    """How the image is upsampled. `nearest`: pixels are repeated before the next convolution.
    `transposed`: the next convolution is a transposed one with the stride of the matching encoder
    stage, cropped to the size. `pixel_shuffle`: the next convolution outputs stride x stride times
    the channels, which become pixels (Shi et al. 2016); the size has to be a multiple."""
    skips: bool = False
    """Whether the decoder gets the output of each encoder stage before its pooling, beside the
    upsampled image (U-Net, Ronneberger et al. 2015). Needs upsampling `nearest`, pooling by `max`
    or `average`, padding `same` and stride 1. The latent size that a plan shows is that of the
    encoder's last output alone. Refused for tasks whose input is the target."""
    decoder_hidden_units: MirroredUnits = "mirrored"
    """Units of the fully connected layers between the latent code and the layer whose output is the
    image for the decoder's convolutions. `mirrored`: the `hidden_units` before the latent code, in
    reverse order."""
    batch_norm_decoder: Layers = "all"
    """Decoder convolutions, counted from 1, with batch normalization; increasing. The output
    convolution never has it."""
    dropout_decoder: LayersAndInput = "all"
    """Decoder convolutions, counted from 1, followed by dropout (after their upsampling);
    increasing. 0: before the first one, which `all` does not include."""
    output_activation: Literal["sigmoid", "tanh", "linear"] = "sigmoid"
    """Activation of the output layer, which determines the range of the output: `sigmoid` [0, 1],
    `tanh` [-1, 1], `linear` unbounded."""

    later_parameters: ClassVar[frozenset[str]] = ConvEncoder.later_parameters | {"skips"}

    @model_validator(mode="after")
    def _validate_decoder_layers(self) -> Self:
        count = len(self.decoder_filters)
        validate_layer_numbers("upsample_after", self.upsample_after, count)
        validate_layer_numbers("batch_norm_decoder", self.batch_norm_decoder, count)
        validate_layer_numbers("dropout_decoder", self.dropout_decoder, count)
        if len(self.pool_after) != len(self.upsample_after):
            raise ValueError(
                f"arch.upsample_after = {list(self.upsample_after)}: should have as many layers as "
                f"arch.pool_after = {list(self.pool_after)}"
            )
        if self.upsampling == "pixel_shuffle" and self.padding == "valid":
            raise ValueError(
                "arch.upsampling = 'pixel_shuffle': needs arch.padding = 'same', not 'valid'"
            )
        if self.skips:
            self._validate_skips()
        return self

    def _validate_skips(self) -> None:
        """Raise ValueError if the outputs of the encoder's stages do not fit the decoder's."""
        needed: dict[str, tuple[object, ...]] = {
            "upsampling": ("nearest",),
            "pooling": ("max", "average"),
            "padding": ("same",),
            "stride": (1,),
        }
        for name, values in needed.items():
            value = getattr(self, name)
            if value not in values:
                choices = " or ".join(map(repr, values))
                raise ValueError(f"arch.skips = True: needs arch.{name} = {choices}, not {value!r}")

    @property
    @override
    def has_skips(self) -> bool:
        return self.skips and bool(self.pool_after)

    @override
    def inactive_parameters(self) -> dict[str, str]:
        inactive = super().inactive_parameters()
        if not self.upsample_after:
            inactive["upsampling"] = "arch.upsample_after selects no layer"
            inactive["skips"] = "arch.upsample_after selects no layer"
        if not self._latent_units:
            inactive["decoder_hidden_units"] = "arch.hidden_units is empty"
        return inactive

    @property
    @override
    def output_range(self) -> tuple[float, float]:
        return OUTPUT_ACTIVATIONS[self.output_activation].range

    @override
    def build(self, input_shape: Shape, output_shape: Shape) -> Autoencoder:
        self._validate_sizes(input_shape, output_shape)
        encoder = self._build_encoder(input_shape)
        decoder = self._build_decoder(encoder, output_shape)
        if self.has_skips:
            return SkipAutoencoder(encoder.layers, decoder)
        return Autoencoder(encoder.layers, decoder)

    @override
    def part_sizes(
        self, input_shape: Shape, output_shape: Shape
    ) -> tuple[PartSizes, PartSizes] | None:
        if type(self) is not ConvAutoencoder or self.has_skips:  # skips connect the parts
            return None
        self._validate_sizes(input_shape, output_shape)
        measured = _measured_encoder(self._encoder_alone(), input_shape)
        if measured is None:
            return None
        encoder, end = measured
        decoder = _measured_decoder(self._decoder_alone(), end, encoder.output_shape, output_shape)
        if decoder is None or decoder.output_shape != tuple(output_shape):
            return None
        return encoder, decoder

    def _encoder_alone(self) -> ConvAutoencoder:
        """The same for all networks with this encoder: without the decoder's parameters."""
        own = set(ConvAutoencoder.model_fields) - set(ConvEncoder.model_fields)
        return self.model_copy(update=dict.fromkeys(own))

    def _decoder_alone(self) -> ConvAutoencoder:
        """The same for all networks that build a decoder alike for equal outputs of encoders."""
        return self.model_copy(update={"encoder_filters": None})

    def _validate_sizes(self, input_shape: Shape, output_shape: Shape) -> None:
        if output_shape[1:] != input_shape[1:]:
            input_size = format_size(input_shape[1:])
            raise ValueError(
                f"arch = {self.name!r}: cannot map {input_size} images to "
                f"{format_size(output_shape[1:])}, because its output has the size of its input; "
                "choose arch = 'dense_autoencoder'"
            )

    @property
    def _latent_units(self) -> int:
        """Values of a latent code that is flat; 0 if it is an image."""
        if self.hidden_units:
            return self.hidden_units[-1]
        return 0

    def _mirrored_units(self) -> tuple[int, ...]:
        """Units of the decoder's fully connected layers, if they mirror the encoder's."""
        return self.hidden_units[-2::-1]

    def _build_decoder(self, encoder: Encoder, output_shape: Shape) -> nn.Sequential:
        """Build the layers from the latent code to an output of C' x H x W."""
        stack = LayerStack(encoder.channels, encoder.size)
        if self._latent_units:
            self._add_decoder_hidden_layers(stack)
        upsamplings = self._upsamplings(encoder)
        for number, filters in enumerate(self.decoder_filters, 1):
            self._add_decoder_layer(stack, f"decoder layer {number}", number, filters, upsamplings)
            is_normalized = is_selected(self.batch_norm_decoder, number)
            self._add_activation(stack, f"decoder layer {number}", is_normalized)
            self._add_residual_blocks(stack, f"decoder layer {number}", is_normalized)
        last_number = len(self.decoder_filters) + 1
        self._add_decoder_layer(
            stack, "the output layer", last_number, output_shape[0], upsamplings
        )
        stack.add(OUTPUT_ACTIVATIONS[self.output_activation].layer())
        if stack.size != tuple(output_shape[1:]):
            raise ValueError(
                f"arch.upsample_after = {list(self.upsample_after)}: the output would be "
                f"{format_size(stack.size)} instead of {format_size(output_shape[1:])}, because no "
                "layer after the encoder upsamples the image again "
                f"(arch.padding = {self.padding!r}, arch.stride = {self.stride}); "
                "choose arch.padding = 'same' and arch.stride = 1"
            )
        return stack.layers

    def _add_decoder_hidden_layers(self, stack: LayerStack) -> None:
        """Add the fully connected layers from a flat latent code to an image."""
        units = self.decoder_hidden_units
        if isinstance(units, str):
            units = self._mirrored_units()
        height, width = stack.size
        inputs = self._latent_units
        for outputs in (*units, stack.channels * height * width):
            stack.add(initialize(nn.Linear(inputs, outputs), self.init))
            stack.add(self._activation())
            inputs = outputs
        stack.add(nn.Unflatten(1, (stack.channels, height, width)))

    def _upsamplings(self, encoder: Encoder) -> dict[int, Upsampling]:
        """The upsamplings, by the number of the decoder convolution that each follows."""
        *stages, last_stage = encoder.stages
        # The last stage ends without downsampling: the first upsampling reverses its strides too.
        last_stride = last_stage.stride
        removed = (0, 0)
        if self.padding == "valid":
            kernel = pair_of(self.kernel_size)
            removed = (kernel[0] - 1, kernel[1] - 1)
        next_positions = (*self.upsample_after[1:], len(self.decoder_filters) + 1)
        upsamplings = {}
        for position, next_position in zip(self.upsample_after, next_positions, strict=False):
            stage = stages.pop()
            # Each convolution up to the next upsampling removes pixels, but not a transposed one.
            convolutions = next_position - position
            if self.upsampling == "transposed":
                convolutions -= 1
            height = stage.size[0] + removed[0] * convolutions
            width = stage.size[1] + removed[1] * convolutions
            stride = stage.stride * last_stride
            upsamplings[position] = Upsampling((height, width), stride, stage.channels)
            last_stride = 1
        return upsamplings

    def _add_decoder_layer(
        self,
        stack: LayerStack,
        name: str,
        number: int,
        filters: int,
        upsamplings: dict[int, Upsampling],
    ) -> None:
        """Add a convolution, and before it the upsampling and the dropout, if there are any.

        `name`: of the layer in error messages; `number`: of the convolution, from 1.
        """
        upsampling = upsamplings.get(number - 1)
        doubled_size = (2 * stack.size[0], 2 * stack.size[1])
        if upsampling and self.upsampling == "nearest":
            stack.add(nn.Upsample(size=upsampling.size))
            stack.size = upsampling.size
            if self.has_skips:
                stack.add(SkipEnd())
                stack.channels += upsampling.skip_channels
        if self.dropout and is_selected(self.dropout_decoder, number - 1):
            stack.add(nn.Dropout(self.dropout))
        if upsampling and self.upsampling == "transposed":
            self._add_transposed_convolution(stack, name, filters, upsampling)
            return
        if upsampling and self.upsampling == "pixel_shuffle":
            self._add_pixel_shuffle(stack, name, filters, upsampling)
            return
        is_doubled = stack.size == doubled_size
        self._add_convolution(stack, name, filters, stride=1)
        if is_doubled:
            fold(stack.layers)

    def _add_pixel_shuffle(
        self, stack: LayerStack, name: str, filters: int, upsampling: Upsampling
    ) -> None:
        """Add a convolution whose channels become pixels.

        Raises ValueError if the size of `upsampling` is not the multiple of the stack's.
        """
        factor = upsampling.stride
        size = (stack.size[0] * factor, stack.size[1] * factor)
        if size != upsampling.size:
            raise ValueError(
                f"arch.upsampling = 'pixel_shuffle': {format_size(upsampling.size)} is not "
                f"{factor} times {format_size(stack.size)} at {name}; choose images whose height "
                "and width all stages divide without a remainder, or arch.upsampling = 'nearest'"
            )
        self._add_convolution(stack, name, filters * factor**2, stride=1)
        stack.add(nn.PixelShuffle(factor))
        stack.channels = filters
        stack.size = size

    def _add_transposed_convolution(
        self, stack: LayerStack, name: str, filters: int, upsampling: Upsampling
    ) -> None:
        """Add a transposed convolution whose output is cropped to the size of `upsampling`.

        Raises ValueError if the kernel does not reach some pixel of the output, which would be the
        bias for every image.
        """
        kernel = pair_of(self.kernel_size)
        stride = upsampling.stride
        excess = []
        has_gaps = False
        for pixels, weights, wanted in zip(stack.size, kernel, upsampling.size, strict=True):
            excess.append((pixels - 1) * stride + weights - wanted)
            has_gaps = has_gaps or (stride > weights and pixels > 1)
        if has_gaps or min(excess) < 0:
            raise ValueError(
                f"arch.kernel_size = {self.kernel_size}: a {format_size(kernel)} transposed "
                f"convolution with stride {stride} from {format_size(stack.size)} does not reach "
                f"every pixel of {format_size(upsampling.size)} at {name} "
                f"(arch.padding = {self.padding!r}, arch.pool_size = {self.pool_size}, "
                f"arch.stride = {self.stride}); "
                "choose a larger kernel or arch.upsampling = 'nearest'"
            )
        top, bottom = split_padding(excess[0])
        left, right = split_padding(excess[1])
        padding = symmetric_padding((top, bottom), (left, right))  # of the layer: it crops by them
        layer = nn.ConvTranspose2d(stack.channels, filters, kernel, stride, padding or (0, 0))
        stack.add(initialize(layer, self.init))
        if padding is None:
            stack.add(zero_padding((-top, -bottom), (-left, -right)))
        stack.channels = filters
        stack.size = upsampling.size


@dataclass(frozen=True)
class EncoderEnd:
    """What a decoder needs to reverse an encoder, if there are no skips (see Encoder)."""

    channels: int
    size: Size
    values: int
    stages: tuple[tuple[Size, int], ...]
    """Size and stride of each stage."""

    @classmethod
    def of(cls, encoder: Encoder) -> EncoderEnd:
        """Return that of an encoder."""
        stages = tuple((stage.size, stage.stride) for stage in encoder.stages)
        return cls(encoder.channels, encoder.size, encoder.values, stages)

    def encoder(self) -> Encoder:
        """Return an encoder without layers."""
        stages = [Stage(size, stride) for size, stride in self.stages]
        return Encoder(nn.Sequential(), self.channels, self.size, self.values, stages)


@functools.lru_cache(maxsize=MEASURED_PARTS)
def _measured_encoder(
    architecture: ConvAutoencoder, input_shape: Shape
) -> tuple[PartSizes, EncoderEnd] | None:
    """Measure an encoder; None if it is large."""
    built: list[Encoder] = []

    def build() -> nn.Module:
        built.append(architecture._build_encoder(input_shape))
        return built[0].layers

    measured = measure_part(build, input_shape)
    if measured is None:
        return None
    return measured, EncoderEnd.of(built[0])


@functools.lru_cache(maxsize=MEASURED_PARTS)
def _measured_decoder(
    architecture: ConvAutoencoder,
    end: EncoderEnd,
    latent_shape: tuple[int, ...],
    output_shape: Shape,
) -> PartSizes | None:
    """Measure a decoder; None if it is large."""
    return measure_part(
        lambda: architecture._build_decoder(end.encoder(), output_shape), latent_shape
    )
