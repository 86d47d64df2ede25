"""The base class of all architectures, and the size of a network."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from cae.container_limits import memory_limit
from cae.trial.component import Component
from cae.trial.networks import measuring
from cae.trial.networks.geometry import Shape, format_size
from cae.trial.networks.measuring import (
    OperationCounter,
    PartSizes,
    count_parameters,
    count_running,
    fill_with_zeros,
    one_thread,
)

BYTES_PER_PARAMETER = 8
"""Of a weight and its gradient, which every optimizer needs."""


class Architecture(Component):
    """A kind of component: a family of networks."""

    @abstractmethod
    def build(self, input_shape: Shape, output_shape: Shape) -> nn.Module:
        """Return a new network that maps B x `input_shape` to B x `output_shape`.

        Shapes are C x H x W. The weights are drawn from PyTorch's global random number generator.
        Raises ValueError if the shapes do not fit; the message names the layer and the parameters.
        """

    def part_sizes(
        self,
        input_shape: Shape,
        output_shape: Shape,
    ) -> tuple[PartSizes, PartSizes] | None:
        """Return the sizes of the encoder and of the decoder, each measured once for all networks
        that share it; None for a network that is measured as a whole.

        A network with these parts has no other layers.
        """
        return None

    @property
    def output_range(self) -> tuple[float, float]:
        """The smallest and the largest value that the network's outputs can have."""
        return (float("-inf"), float("inf"))

    @property
    def has_skips(self) -> bool:
        """Whether the network passes images to its output without the latent code."""
        return False


def sizes(architecture: Architecture, input_shape: Shape, output_shape: Shape) -> dict[str, Any]:
    """Return the size of a network, without drawing its weights.

    - `parameters`: number of trained parameters.
    - `megaflops`: millions of floating-point operations of the forward pass of one image through
      the convolutional and linear layers; a multiplication with its addition counts as two.
    - `total_parameters`, with batch normalization only: parameters plus running means and
      variances. This is the "Total params" of Keras, four numbers per normalized channel instead of
      two.
    - `latent_shape` and `latent_values`, if the network has an encoder: shape and number of values
      of the latent code.

    Raises ValueError if the shapes do not fit, the shape of the output included, or if the weights
    do not fit into the memory.
    """
    parts = architecture.part_sizes(input_shape, output_shape)
    if parts is not None:
        return _sizes_of_parts(*parts)
    counter = OperationCounter()
    with torch.device("meta"):
        network = architecture.build(input_shape, output_shape).eval()
        counter.attach(network)
    parameters = count_parameters(network)
    device = "meta"
    count = 1
    if parameters < measuring.MAX_REAL_PARAMETERS:
        device = "cpu"
        fill_with_zeros(network)
        if architecture.is_builtin():
            count = 0  # an empty batch gives the shapes of all layers without computing them
    else:
        _check_memory(architecture, parameters)
    image = torch.zeros(count, *input_shape, device=device)
    encoder = getattr(network, "encoder", None)
    latent_shapes: list[torch.Size] = []

    def note_latent_shape(layer: nn.Module, inputs: object, code: Tensor) -> None:
        del layer, inputs
        latent_shapes.append(code.shape[1:])

    if isinstance(encoder, nn.Module):
        encoder.register_forward_hook(note_latent_shape)
    with one_thread(), torch.inference_mode():
        output = network(image)
    operations = counter.operations
    _check_output(architecture, output, count, output_shape)
    if not architecture.is_builtin():  # whether each image of a batch has an output of its own
        with torch.inference_mode():
            outputs = network(image.expand(2, -1, -1, -1))
        _check_output(architecture, outputs, 2, output_shape)
    result: dict[str, Any] = {
        "parameters": parameters,
        "megaflops": round(operations / 1e6, 3),
    }
    running = count_running(network)
    if running:
        result["total_parameters"] = parameters + running
    if isinstance(encoder, nn.Module):
        if not latent_shapes:  # the network does not call its encoder as a module
            with one_thread(), torch.inference_mode():
                encoder(image)
        latent_shape = latent_shapes[0]
        result["latent_shape"] = list(latent_shape)
        result["latent_values"] = latent_shape.numel()
    return result


def _sizes_of_parts(encoder: PartSizes, decoder: PartSizes) -> dict[str, Any]:
    """The result of `sizes` for a network of two parts."""
    parameters = encoder.parameters + decoder.parameters
    result: dict[str, Any] = {
        "parameters": parameters,
        "megaflops": round((encoder.operations + decoder.operations) / 1e6, 3),
    }
    running = encoder.running + decoder.running
    if running:
        result["total_parameters"] = parameters + running
    result["latent_shape"] = list(encoder.output_shape)
    result["latent_values"] = math.prod(encoder.output_shape)
    return result


def _check_memory(architecture: Architecture, parameters: int) -> None:
    """Raise ValueError if weights and gradients do not fit into the memory of this machine, or of
    its container."""
    memory = memory_limit()
    needed = parameters * BYTES_PER_PARAMETER
    if needed > memory:
        raise ValueError(
            f"arch = {architecture.name!r}: its {parameters:,} parameters need "
            f"{needed / 1e9:,.1f} GB for weights and gradients, and this machine or its "
            f"container has {memory / 1e9:,.1f} GB of memory; choose smaller layers"
        )


def _check_output(
    architecture: Architecture, output: object, count: int, output_shape: Shape
) -> None:
    """Raise ValueError unless the output for `count` images is a tensor count x `output_shape`."""
    if not isinstance(output, Tensor):
        raise ValueError(
            f"arch = {architecture.name!r}: its network returns {type(output).__name__}: should "
            f"return one tensor, images x {format_size(output_shape)}"
        )
    built_shape = tuple(output.shape[1:])
    if built_shape != tuple(output_shape):
        raise ValueError(
            f"arch = {architecture.name!r}: its output is {format_size(built_shape)}, "
            f"but the target is {format_size(output_shape)}"
        )
    if len(output) != count:
        raise ValueError(
            f"arch = {architecture.name!r}: its network returns {len(output)} outputs for "
            f"{count} images: should return one per image"
        )
