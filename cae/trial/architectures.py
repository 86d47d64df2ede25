"""Networks: one class per family, whose fields are its parameters and whose `build` makes the torch module.

Shapes are C x H x W without the batch. A network maps B x C x H x W, pixels in [0, 1], to B x C' x H x W.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self, cast

import torch
from annotated_types import Len
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from cae.trial.part import Part

Shape = tuple[int, int, int]
Size = tuple[int, int]

OUTPUT_ACTIVATIONS: dict[str, tuple[type[nn.Module], tuple[float, float]]] = {
    "sigmoid": (nn.Sigmoid, (0.0, 1.0)),
    "tanh": (nn.Tanh, (-1.0, 1.0)),
    "linear": (nn.Identity, (float("-inf"), float("inf"))),
}


class Architecture(Part):
    """A family of networks."""

    def build(self, input_shape: Shape, output_shape: Shape) -> nn.Module:
        """The network, its weights drawn from torch's global generator. Raises ValueError where the shapes do not fit,
        naming the layer and the parameters."""
        raise NotImplementedError

    @property
    def output_range(self) -> tuple[float, float]:
        """Between which values the network's outputs lie."""
        return (float("-inf"), float("inf"))


class Autoencoder(nn.Module):
    """An encoder, whose output is the code (the latent), and a decoder."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, images: Tensor) -> Tensor:
        reconstruction: Tensor = self.decoder(self.encoder(images))
        return reconstruction


class ConvAutoencoder(Architecture):
    """Convolutions with pooling, then convolutions with nearest-neighbour upsampling, then one output convolution.

    Each upsampling returns to the size at which the matching stage of the encoder began, so whatever kernel, stride,
    padding and pooling took away, the output has the input's size; where convolutions without padding follow, it goes
    beyond that size by what they will take. With the default: conv, pool, conv, pool, conv (the code) | up, conv, up, conv.
    """

    encoder_filters: Annotated[tuple[PositiveInt, ...], Len(1)] = (8, 12, 16)
    """Output channels of each encoder convolution; the last one's output is the code."""
    decoder_filters: tuple[PositiveInt, ...] = (12,)
    """Output channels of each decoder convolution before the output convolution, whose channels are the target's."""
    pool_after: tuple[PositiveInt, ...] = (1, 2)
    """Encoder convolutions, counted from 1, after which the image shrinks by `pool_size`."""
    upsample_after: tuple[NonNegativeInt, ...] = (0, 1)
    """Decoder convolutions after which the image grows again; 0: before the first. As many as `pool_after`."""
    kernel_size: PositiveInt = 3
    """Pixels a side, of every convolution."""
    stride: PositiveInt = 1
    """Of the encoder's convolutions. Those of the decoder step by 1: the upsampling before them undoes this too."""
    padding: Literal["same", "valid"] = "same"
    """`same`: zeros, so that a convolution gives ceil(size / stride), an odd one at the end (as Keras). `valid`: none."""
    pooling: Literal["max", "average", "stride"] = "max"
    """How the image shrinks; `stride`: the convolution itself takes steps of `pool_size`."""
    pool_size: PositiveInt = 2
    activation: Literal["relu", "leaky_relu"] = "relu"
    negative_slope: PositiveFloat = 0.01
    """Of leaky_relu."""
    output_activation: Literal["sigmoid", "tanh", "linear"] = "sigmoid"
    init: Literal["glorot_uniform", "pytorch"] = "glorot_uniform"
    """Of the weights: `glorot_uniform` with zero biases is Keras's default, `pytorch` is PyTorch's."""

    @model_validator(mode="after")
    def _positions(self) -> Self:
        for key, positions, last in (
            ("pool_after", self.pool_after, len(self.encoder_filters)),
            ("upsample_after", self.upsample_after, len(self.decoder_filters)),
        ):
            if list(positions) != sorted(set(positions)) or any(position > last for position in positions):
                raise ValueError(f"arch.{key} = {list(positions)}: should be layers in rising order, none beyond {last}")
        if len(self.pool_after) != len(self.upsample_after):
            raise ValueError(
                f"arch.upsample_after = {list(self.upsample_after)}: should be as many as arch.pool_after = {list(self.pool_after)}"
            )
        return self

    def ignored(self) -> dict[str, str]:
        idle = {}
        if self.activation != "leaky_relu":
            idle["negative_slope"] = f"arch.activation is {self.activation!r}, and only 'leaky_relu' has a slope"
        if not self.pool_after:
            idle |= dict.fromkeys(("pooling", "pool_size"), "arch.pool_after names no layer to pool after")
        return idle

    @property
    def output_range(self) -> tuple[float, float]:
        return OUTPUT_ACTIVATIONS[self.output_activation][1]

    def build(self, input_shape: Shape, output_shape: Shape) -> Autoencoder:
        channels, *size = input_shape
        if list(output_shape[1:]) != size:
            raise ValueError(f"conv_autoencoder keeps the size of its input: it cannot map {_x(size)} to {_x(output_shape[1:])}")
        encoder = nn.Sequential()
        starts = [size]  # at which size each stage of the encoder begins
        for number, filters in enumerate(self.encoder_filters, 1):
            shrinks = number in self.pool_after
            stride = self.stride * (self.pool_size if shrinks and self.pooling == "stride" else 1)
            size = self._conv(encoder, f"encoder layer {number}", channels, filters, size, stride)
            encoder.append(self._activation())
            if shrinks and self.pooling != "stride":
                if min(size) < self.pool_size:
                    raise ValueError(f"arch.pool_size = {self.pool_size} does not fit the {_x(size)} image after encoder layer {number}")
                encoder.append((nn.MaxPool2d if self.pooling == "max" else nn.AvgPool2d)(self.pool_size))
                size = [side // self.pool_size for side in size]
            if shrinks:
                starts.append(size)
            channels = filters
        decoder = nn.Sequential()
        lost = 0 if self.padding == "same" else self.kernel_size - 1  # pixels a side that each decoder convolution takes
        ends = (*self.upsample_after[1:], len(self.decoder_filters) + 1)
        grow = {after: end - after for after, end in zip(self.upsample_after, ends, strict=False)}
        for number, filters in enumerate((*self.decoder_filters, output_shape[0]), 1):
            if number - 1 in grow:
                starts.pop()
                size = [side + lost * grow[number - 1] for side in starts[-1]]
                decoder.append(nn.Upsample(size=tuple(size)))
            last = number > len(self.decoder_filters)
            size = self._conv(decoder, "the output layer" if last else f"decoder layer {number}", channels, filters, size, 1)
            decoder.append(OUTPUT_ACTIVATIONS[self.output_activation][0]() if last else self._activation())
            channels = filters
        if size != list(output_shape[1:]):
            raise ValueError(
                f"the output would be {_x(size)}, not {_x(output_shape[1:])}: nothing after the encoder grows the image again "
                f"(arch.padding = {self.padding!r}, arch.stride = {self.stride}, arch.upsample_after = {list(self.upsample_after)})"
            )
        return Autoencoder(encoder, decoder)

    def _conv(self, layers: nn.Sequential, where: str, channels: int, filters: int, size: list[int], stride: int) -> list[int]:
        """Appends one convolution; returns the size of its output."""
        kernel = self.kernel_size
        pads = [_same_padding(side, kernel, stride) if self.padding == "same" else (0, 0) for side in size]
        if any(side + sum(pad) < kernel for side, pad in zip(size, pads, strict=True)):
            raise ValueError(
                f"a {kernel}x{kernel} kernel without padding does not fit the {_x(size)} image at {where} "
                f"(arch.kernel_size = {kernel}, arch.padding = {self.padding!r}, arch.stride = {self.stride})"
            )
        symmetric = all(before == after for before, after in pads)
        if not symmetric:
            (top, bottom), (left, right) = pads
            layers.append(nn.ZeroPad2d((left, right, top, bottom)))
        conv = nn.Conv2d(channels, filters, kernel, stride, padding=(pads[0][0], pads[1][0]) if symmetric else 0)
        if self.init == "glorot_uniform" and not conv.weight.is_meta:
            nn.init.xavier_uniform_(conv.weight)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]  # it has one
        layers.append(conv)
        return [(side + sum(pad) - kernel) // stride + 1 for side, pad in zip(size, pads, strict=True)]

    def _activation(self) -> nn.Module:
        return nn.ReLU(inplace=True) if self.activation == "relu" else nn.LeakyReLU(self.negative_slope, inplace=True)


def _same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, for ceil(side / stride) outputs; the odd one goes to the end, as in Keras."""
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


def _x(size: Iterable[int]) -> str:
    return "x".join(map(str, size))


def sizes(architecture: Architecture, input_shape: Shape, output_shape: Shape) -> dict[str, Any]:
    """What a network costs, without its weights being made: `parameters` (count), `megaflops` (of one image forward through
    its convolution and linear layers; a product and its sum count two), and, where it has an encoder, `latent_shape`
    (C, H, W) and `latent_values`.

    Raises ValueError where the shapes do not fit, the shape of the output among them.
    """
    flops = 0

    def count(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal flops  # counted here: torch's own counter takes 2 s to import, and a plan is to be quick
        applied = given[0].numel() if isinstance(layer, nn.ConvTranspose2d) else output.numel()
        flops += 2 * applied * cast(Tensor, layer.weight)[0].numel()

    with torch.device("meta"):
        network = architecture.build(input_shape, output_shape).eval()
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                layer.register_forward_hook(count)
        image = torch.empty(1, *input_shape)
        given = tuple(network(image).shape[1:])
    if given != tuple(output_shape):
        raise ValueError(f"{architecture.name} gives {_x(given)} for a target of {_x(output_shape)}")
    found: dict[str, Any] = {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "megaflops": round(flops / 1e6, 3),
    }
    if isinstance(encoder := getattr(network, "encoder", None), nn.Module):
        latent = encoder(image).shape[1:]
        found |= {"latent_shape": list(latent), "latent_values": latent.numel()}
    return found
