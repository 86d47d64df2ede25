"""The base class of all architectures, and the size of a network."""

from __future__ import annotations

import contextlib
import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from cae.container_limits import memory_limit
from cae.trial.component import Component
from cae.trial.networks.geometry import Shape, format_size

BYTES_PER_PARAMETER = 8
"""Of a weight and its gradient, which every optimizer needs."""
MAX_REAL_PARAMETERS = 10_000_000
"""Networks with fewer parameters find their shapes by a forward pass with weights of zero; they
need less memory than PyTorch itself. Larger ones do so on the device `meta`: it needs no memory for
the weights, but a slow import of PyTorch's symbolic mathematics."""


class Architecture(Component):
    """A kind of component: a family of networks."""

    @abstractmethod
    def build(self, input_shape: Shape, output_shape: Shape) -> nn.Module:
        """Return a new network that maps B x `input_shape` to B x `output_shape`.

        Shapes are C x H x W. The weights are drawn from PyTorch's global random number generator.
        Raises ValueError if the shapes do not fit; the message names the layer and the parameters.
        """

    @property
    def output_range(self) -> tuple[float, float]:
        """The smallest and the largest value that the network's outputs can have."""
        return (float("-inf"), float("inf"))

    @property
    def has_skips(self) -> bool:
        """Whether the network passes images to its output without the latent code."""
        return False


class _OperationCounter:
    """Counts the floating-point operations of the convolutional and linear layers of a network.

    The counter of PyTorch does the same, but takes 2 s to import.
    """

    def __init__(self) -> None:
        self.operations = 0

    def attach(self, network: nn.Module) -> None:
        """Count each forward pass from now on."""
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                layer.register_forward_hook(self._count)

    def _count(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # Each value of the output, or of the input of a transposed convolution, is multiplied with
        # one slice of the weights.
        counted = output
        if isinstance(layer, nn.ConvTranspose2d):
            counted = inputs[0]
        values = math.prod(counted.shape[1:])
        if len(counted) > 0:  # a network of the user's may have more items than images
            values *= len(counted)
        weights_per_value = math.prod(cast(Tensor, layer.weight).shape[1:])
        self.operations += 2 * values * weights_per_value


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
    counter = _OperationCounter()
    with torch.device("meta"):
        network = architecture.build(input_shape, output_shape).eval()
        counter.attach(network)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    device = "meta"
    count = 1
    if parameters < MAX_REAL_PARAMETERS:
        device = "cpu"
        _fill_with_zeros(network)
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
    with _one_thread(), torch.inference_mode():
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
    running = sum(buffer.numel() for buffer in network.buffers() if buffer.is_floating_point())
    if running:
        result["total_parameters"] = parameters + running
    if isinstance(encoder, nn.Module):
        if not latent_shapes:  # the network does not call its encoder as a module
            with _one_thread(), torch.inference_mode():
                encoder(image)
        latent_shape = latent_shapes[0]
        result["latent_shape"] = list(latent_shape)
        result["latent_values"] = latent_shape.numel()
    return result


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread: on a busy machine, threads wait for each other much longer than they
    compute one image."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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


def _fill_with_zeros(network: nn.Module) -> None:
    """Replace all tensors of a network on the meta device by zeros on the CPU.

    A forward pass on the meta device gives the same shapes, but PyTorch then imports its symbolic
    mathematics (1 s).
    """
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(torch.zeros(parameter.shape), requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.zeros(buffer.shape, dtype=buffer.dtype))
