"""Measuring the size of a network, or of a part of one, without drawing its weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

MAX_REAL_PARAMETERS = 10_000_000
"""Networks with fewer parameters find their shapes by a forward pass with weights of zero; they
need less memory than PyTorch itself. Larger ones do so on the device `meta`: it needs no memory for
the weights, but a slow import of PyTorch's symbolic mathematics."""


class OperationCounter:
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


@dataclass(frozen=True)
class PartSizes:
    """The size of a part of a network."""

    parameters: int
    operations: int
    """Floating-point operations of the forward pass of one image."""
    running: int
    """Running means and variances of batch normalization."""
    output_shape: tuple[int, ...]
    """Without the batch."""


def measure_part(build: Callable[[], nn.Module], input_shape: tuple[int, ...]) -> PartSizes | None:
    """Return the size of a part of a built-in network; None if it is large (MAX_REAL_PARAMETERS).

    `build` returns the part. An empty batch gives the shapes of all layers without computing them.
    """
    with torch.device("meta"):
        part = build().eval()
    parameters = count_parameters(part)
    if parameters >= MAX_REAL_PARAMETERS:
        return None
    counter = OperationCounter()
    counter.attach(part)
    fill_with_zeros(part)
    with one_thread(), torch.inference_mode():
        output = part(torch.zeros(0, *input_shape))
    return PartSizes(parameters, counter.operations, count_running(part), tuple(output.shape[1:]))


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_running(network: nn.Module) -> int:
    """Return the number of running means and variances."""
    return sum(buffer.numel() for buffer in network.buffers() if buffer.is_floating_point())


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: on a busy machine, threads wait for each other much longer than they
    compute one image."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def fill_with_zeros(network: nn.Module) -> None:
    """Replace all tensors of a network on the meta device by zeros on the CPU.

    A forward pass on the meta device gives the same shapes, but PyTorch then imports its symbolic
    mathematics (1 s).
    """
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(torch.zeros(parameter.shape), requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.zeros(buffer.shape, dtype=buffer.dtype))
