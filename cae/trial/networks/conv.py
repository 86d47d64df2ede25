"""Convolutional networks: the encoder that they share, and the autoencoder."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, Self

from annotated_types import Gt, Le, Len
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import nn

from cae.trial.networks import layers as of
from cae.trial.networks.base import Architecture
from cae.trial.networks.layers import (
    OUTPUT_ACTIVATIONS,
    Autoencoder,
    Init,
    Kernel,
    Layers,
    Mirrored,
    PerLayer,
    Positions,
    Rate,
    Shape,
)
from cae.trial.networks.upsampling import fold


class Encoded(NamedTuple):
    """An encoder, and what a decoder has to know of it."""

    layers: nn.Sequential
    channels: int
    """Of the last convolution, whatever fully connected layers follow it."""
    sizes: list[list[int]]
    """Height and width of the image at which each stage begins, and at the end; a stage ends where the image shrinks."""
    strides: list[int]
    """By what each stage divides them, and the convolutions after the last stage."""


class _ConvEncoder(Architecture):
    """Convolutions with pooling, then fully connected layers, if any."""

    encoder_filters: Annotated[tuple[PositiveInt, ...], Len(1)] = (8, 12, 16)
    """Output channels of each encoder convolution; the last one's output is the code, unless `hidden_units` follow."""
    pool_after: tuple[PositiveInt, ...] = (1, 2)
    """Encoder convolutions, counted from 1, after which the image shrinks by `pool_size`."""
    kernel_size: Kernel = 3
    """Pixels a side, or (height, width), of every convolution."""
    dilation: PerLayer = 1
    """Of the encoder's convolutions, or of each one: the distance of the pixels that a kernel reads. The decoder's have none."""
    stride: PositiveInt = 1
    """Of the encoder's convolutions."""
    padding: Literal["same", "valid"] = "same"
    """`same`: zeros, so that a convolution gives ceil(size / stride), an odd one at the end (as Keras). `valid`: none."""
    pooling: Literal["max", "average", "stride"] = "max"
    """How the image shrinks; `stride`: the convolution itself takes steps of `pool_size`."""
    pool_size: PositiveInt = 2
    hidden_units: tuple[PositiveInt, ...] = ()
    """Widths of fully connected layers after the convolutions, an activation between two. The last one's output is the code."""
    activation: Literal["relu", "leaky_relu"] = "relu"
    negative_slope: PositiveFloat = 0.01
    """Of leaky_relu."""
    batch_norm: Literal["none", "before_activation", "after_activation"] = "none"
    """Batch normalisation of a convolution's output, before or after the activation, but before pooling and upsampling."""
    batch_norm_encoder: Layers = "all"
    """Encoder convolutions, counted from 1, that are normalised."""
    batch_norm_momentum: Annotated[float, Gt(0), Le(1)] = 0.01
    """Weight of a new batch in the running mean and variance. As PyTorch has it: Keras's default 0.99 is 0.01 here."""
    batch_norm_epsilon: PositiveFloat = 1e-3
    """Added to the variance. Keras's default; PyTorch's is 1e-5, with a momentum of 0.1."""
    dropout: Rate = 0.0
    """Share of the values that training sets to 0, at each place that `dropout_encoder` names."""
    dropout_encoder: Layers = "all"
    """Encoder convolutions, counted from 1, after which there is dropout: after the pooling, where there is some."""
    init: Init = "glorot_uniform"
    """Of the weights: `glorot_uniform` with zero biases is Keras's default, `pytorch` is PyTorch's."""

    @model_validator(mode="after")
    def _encoder_positions(self) -> Self:
        last = len(self.encoder_filters)
        for key in ("pool_after", "batch_norm_encoder", "dropout_encoder"):
            of.check_positions(key, getattr(self, key), last)
        if isinstance(self.dilation, tuple) and len(self.dilation) != last:
            raise ValueError(
                f"arch.dilation = {list(self.dilation)}: should be one, or as many as arch.encoder_filters has, {last}"
            )
        return self

    def inactive_parameters(self) -> dict[str, str]:
        idle = {}
        if self.activation != "leaky_relu":
            idle["negative_slope"] = (
                f"arch.activation is {self.activation!r}, and only 'leaky_relu' has a slope"
            )
        if not self.pool_after:
            idle |= dict.fromkeys(
                ("pooling", "pool_size"), "arch.pool_after names no layer to pool after"
            )
        for switch, off in (
            ("batch_norm", self.batch_norm == "none"),
            ("dropout", not self.dropout),
        ):
            settings = [name for name in type(self).model_fields if name.startswith(f"{switch}_")]
            if off:
                idle |= dict.fromkeys(settings, f"arch.{switch} is {getattr(self, switch)!r}")
            elif not any(
                getattr(self, name) for name in settings if name.endswith(("_encoder", "_decoder"))
            ):
                idle[switch] = f"arch.{switch}_encoder and the like name no layer"
        return idle

    def _encoder(self, input_shape: Shape) -> Encoded:
        channels, *size = input_shape
        layers = nn.Sequential()
        starts, strides = [size], [1]
        for number, filters in enumerate(self.encoder_filters, 1):
            shrinks = number in self.pool_after
            stride = self.stride * (self.pool_size if shrinks and self.pooling == "stride" else 1)
            dilation = (
                self.dilation if isinstance(self.dilation, int) else self.dilation[number - 1]
            )
            size = self._conv(
                layers, f"encoder layer {number}", channels, filters, size, stride, dilation
            )
            strides[-1] *= stride
            self._activate(layers, filters, normalised=of.chosen(self.batch_norm_encoder, number))
            if shrinks and self.pooling != "stride":
                if min(size) < self.pool_size:
                    raise ValueError(
                        f"arch.pool_size = {self.pool_size} does not fit the {of.x(size)} image after encoder layer {number}"
                    )
                self._pool(layers)
                size = [side // self.pool_size for side in size]
                strides[-1] *= self.pool_size
            if shrinks:
                starts.append(size)
                strides.append(1)
            if self.dropout and of.chosen(self.dropout_encoder, number):
                layers.append(nn.Dropout(self.dropout))
            channels = filters
        if self.hidden_units:
            layers.append(nn.Flatten())
            width = channels * size[0] * size[1]
            for number, units in enumerate(self.hidden_units, 1):
                layers.append(of.initialised(nn.Linear(width, units), self.init))
                if number < len(self.hidden_units):
                    layers.append(self._activation())
                width = units
        return Encoded(layers, channels, [*starts, size], strides)

    def _pool(self, layers: nn.Sequential) -> None:
        """Appends the pooling. The greatest of some pixels, and its gradient, are exactly the same before and after a ReLU, which then
        has a quarter of the pixels."""
        if self.pooling == "average":
            layers.append(nn.AvgPool2d(self.pool_size))
        else:
            layers.insert(
                len(layers) - isinstance(layers[-1], nn.ReLU), nn.MaxPool2d(self.pool_size)
            )

    @property
    def _kernel(self) -> tuple[int, int]:
        return (
            self.kernel_size
            if isinstance(self.kernel_size, tuple)
            else (self.kernel_size, self.kernel_size)
        )

    def _conv(
        self,
        layers: nn.Sequential,
        where: str,
        channels: int,
        filters: int,
        size: list[int],
        stride: int,
        dilation: int = 1,
    ) -> list[int]:
        """Appends one convolution; returns the size of its output."""
        kernel, extents = self._kernel, [(side - 1) * dilation + 1 for side in self._kernel]
        same = self.padding == "same"
        pads = [
            of.same_padding(side, extent, stride) if same else (0, 0)
            for side, extent in zip(size, extents, strict=True)
        ]
        given = (
            f"(arch.kernel_size = {self.kernel_size}, {f'arch.dilation = {dilation}, ' if dilation > 1 else ''}"
            f"arch.padding = {self.padding!r}, arch.stride = {self.stride})"
        )
        if any(
            side + sum(pad) < extent for side, pad, extent in zip(size, pads, extents, strict=True)
        ):
            raise ValueError(
                f"a {of.x(extents)} kernel without padding does not fit the {of.x(size)} image at {where} {given}"
            )
        output = [
            (side + sum(pad) - extent) // stride + 1
            for side, pad, extent in zip(size, pads, extents, strict=True)
        ]
        for side, steps, taps, (before, _) in zip(size, output, kernel, pads, strict=True):
            read = [
                [step * stride - before + tap * dilation for tap in range(taps)]
                for step in range(steps)
            ]
            if not all(any(0 <= pixel < side for pixel in pixels) for pixels in read):
                raise ValueError(
                    f"a {of.x(kernel)} kernel steps over the whole {of.x(size)} image at {where} {given}"
                )
        symmetric = all(before == after for before, after in pads)
        if not symmetric:
            layers.append(of.pad(pads))
        padding = (pads[0][0], pads[1][0]) if symmetric else 0
        layers.append(
            of.initialised(
                nn.Conv2d(channels, filters, kernel, stride, padding, dilation), self.init
            )
        )
        return output

    def _activate(self, layers: nn.Sequential, channels: int, *, normalised: bool) -> None:
        both: list[nn.Module] = [self._activation()]
        if normalised and self.batch_norm != "none":
            norm = nn.BatchNorm2d(channels, self.batch_norm_epsilon, self.batch_norm_momentum)
            both.insert(0 if self.batch_norm == "before_activation" else 1, norm)
        layers.extend(both)

    def _activation(self) -> nn.Module:
        return of.activation(self.activation, self.negative_slope)


class ConvAutoencoder(_ConvEncoder):
    """Convolutions with pooling, then convolutions with upsampling, then one output convolution; fully connected layers around
    the code, if `hidden_units` are given.

    Each upsampling returns to the size at which the matching stage of the encoder began, so whatever kernel, stride,
    padding and pooling took away, the output has the input's size; where convolutions without padding follow, it goes
    beyond that size by what they will take. With the default: conv, pool, conv, pool, conv (the code) | up, conv, up, conv.
    """

    decoder_filters: tuple[PositiveInt, ...] = (12,)
    """Output channels of each decoder convolution before the output convolution, whose channels are the target's."""
    upsample_after: tuple[NonNegativeInt, ...] = (0, 1)
    """Decoder convolutions after which the image grows again; 0: before the first. As many as `pool_after`."""
    upsampling: Literal["nearest", "transposed"] = "nearest"
    """How the image grows: `nearest` repeats pixels before the next convolution; `transposed`: the next convolution is a
    transposed one, in steps as large as the encoder's, cropped to the size (as a convolution with `same` padding, backwards)."""
    decoder_hidden_units: Mirrored = "mirrored"
    """Widths of the fully connected layers between the code and the one that gives the flat image to the decoder's convolutions;
    `mirrored`: those of `hidden_units` before the code."""
    batch_norm_decoder: Layers = "all"
    """Decoder convolutions, counted from 1, that are normalised. The output convolution never is."""
    dropout_decoder: Positions = "all"
    """Decoder convolutions, counted from 1, after which there is dropout: after the upsampling, where there is some. 0: before
    the first convolution. Not among `all`: 0."""
    output_activation: Literal["sigmoid", "tanh", "linear"] = "sigmoid"

    @model_validator(mode="after")
    def _decoder_positions(self) -> Self:
        for key in ("upsample_after", "batch_norm_decoder", "dropout_decoder"):
            of.check_positions(key, getattr(self, key), len(self.decoder_filters))
        if len(self.pool_after) != len(self.upsample_after):
            raise ValueError(
                f"arch.upsample_after = {list(self.upsample_after)}: should be as many as arch.pool_after = {list(self.pool_after)}"
            )
        return self

    def inactive_parameters(self) -> dict[str, str]:
        idle = super().inactive_parameters()
        if not self.upsample_after:
            idle["upsampling"] = "arch.upsample_after names no layer to grow after"
        if not self._code:
            idle["decoder_hidden_units"] = "arch.hidden_units is empty"
        return idle

    @property
    def output_range(self) -> tuple[float, float]:
        return OUTPUT_ACTIVATIONS[self.output_activation][1]

    def build(self, input_shape: Shape, output_shape: Shape) -> Autoencoder:
        self._check_size(input_shape, output_shape)
        encoded = self._encoder(input_shape)
        return Autoencoder(encoded.layers, self._decoder(encoded, output_shape))

    def _check_size(self, input_shape: Shape, output_shape: Shape) -> None:
        if output_shape[1:] != input_shape[1:]:
            size, wanted = of.x(input_shape[1:]), of.x(output_shape[1:])
            raise ValueError(
                f"{self.name} keeps the size of its input: it cannot map {size} to {wanted}"
            )

    @property
    def _code(self) -> int:
        """Values of a code that is flat; 0: it is an image."""
        return self.hidden_units[-1] if self.hidden_units else 0

    def _mirrored(self) -> tuple[int, ...]:
        return self.hidden_units[-2::-1]

    def _decoder(self, encoded: Encoded, output_shape: Shape) -> nn.Sequential:
        layers, channels = nn.Sequential(), encoded.channels
        *starts, size = encoded.sizes
        if width := self._code:
            units = (
                self._mirrored()
                if isinstance(self.decoder_hidden_units, str)
                else self.decoder_hidden_units
            )
            for outputs in (*units, channels * size[0] * size[1]):
                layers.extend(
                    [of.initialised(nn.Linear(width, outputs), self.init), self._activation()]
                )
                width = outputs
            layers.append(nn.Unflatten(1, (channels, *size)))
        *strides, last_stride = encoded.strides
        if strides:
            strides[-1] *= (
                last_stride  # of convolutions after the last stage: the first growth undoes them too
            )
        lost = [
            0 if self.padding == "same" else side - 1 for side in self._kernel
        ]  # pixels a side that each convolution takes
        ends = (*self.upsample_after[1:], len(self.decoder_filters) + 1)
        grow = {after: end - after for after, end in zip(self.upsample_after, ends, strict=False)}
        transposed = self.upsampling == "transposed"
        for number, filters in enumerate((*self.decoder_filters, output_shape[0]), 1):
            last = number > len(self.decoder_filters)
            where = "the output layer" if last else f"decoder layer {number}"
            grows = number - 1 in grow
            if grows:
                starts.pop()
                taking = (
                    grow[number - 1] - transposed
                )  # convolutions before the next growth that make the image smaller
                target = [side + less * taking for side, less in zip(starts[-1], lost, strict=True)]
            doubles = grows and not transposed and target == [2 * side for side in size]
            if grows and not transposed:
                layers.append(nn.Upsample(size=tuple(target)))
                size = target
            if self.dropout and of.chosen(self.dropout_decoder, number - 1):
                layers.append(nn.Dropout(self.dropout))
            if grows and transposed:
                size = self._transposed(
                    layers, where, channels, filters, size, target, strides.pop()
                )
            else:
                size = self._conv(layers, where, channels, filters, size, 1)
            if doubles:
                fold(layers)
            if last:
                layers.append(OUTPUT_ACTIVATIONS[self.output_activation][0]())
            else:
                self._activate(
                    layers, filters, normalised=of.chosen(self.batch_norm_decoder, number)
                )
            channels = filters
        if size != list(output_shape[1:]):
            raise ValueError(
                f"the output would be {of.x(size)}, not {of.x(output_shape[1:])}: nothing after the encoder grows the image again "
                f"(arch.padding = {self.padding!r}, arch.stride = {self.stride}, arch.upsample_after = {list(self.upsample_after)})"
            )
        return layers

    def _transposed(
        self,
        layers: nn.Sequential,
        where: str,
        channels: int,
        filters: int,
        size: list[int],
        target: list[int],
        stride: int,
    ) -> list[int]:
        """Appends one transposed convolution, its output cropped to `target`. Raises ValueError where no kernel reaches some
        pixel of it: that pixel would show the bias and could never be learnt, whatever the image."""
        kernel = self._kernel
        beyond = [
            (side - 1) * stride + extent - wanted
            for side, extent, wanted in zip(size, kernel, target, strict=True)
        ]
        if min(beyond) < 0 or any(
            stride > extent and side > 1 for side, extent in zip(size, kernel, strict=True)
        ):
            raise ValueError(
                f"a {of.x(kernel)} transposed convolution that steps by {stride} from {of.x(size)} does not reach every pixel of "
                f"{of.x(target)} at {where} (arch.kernel_size = {self.kernel_size}, arch.padding = {self.padding!r}, "
                f"arch.pool_size = {self.pool_size}, arch.stride = {self.stride}, arch.upsampling = 'transposed')"
            )
        crops = [of.spread(total) for total in beyond]
        symmetric = all(before == after for before, after in crops)
        padding = (crops[0][0], crops[1][0]) if symmetric else 0
        layers.append(
            of.initialised(
                nn.ConvTranspose2d(channels, filters, kernel, stride, padding), self.init
            )
        )
        if not symmetric:
            layers.append(of.pad([(-before, -after) for before, after in crops]))
        return target
