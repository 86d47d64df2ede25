"""Processor time of one layer after an upsampling, forward and backward on one thread.

    python -m benchmarks.upsampling            # results/upsampling.csv

Compared are the separate layers, the transposed convolution and the four phases. The rule in
cae/trial/networks/upsampling.py is derived from the results.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import interleaved, repeated, save, show
from cae.trial.networks.upsampling import faster_form, phases, transposed

KERNELS = (3, 5, 7)
SIZES = (7, 8, 14, 16)
BATCHES = (32, 128)
CHANNELS = [
    (16, 1),
    (32, 1),
    (64, 1),
    (12, 3),
    (32, 3),
    (64, 3),
    (16, 4),
    (32, 4),
    (16, 8),
    (32, 8),
    (8, 8),
    (16, 12),
    (12, 16),
    (16, 16),
    (32, 16),
    (16, 32),
    (32, 32),
    (64, 32),
    (32, 64),
    (64, 64),
    (128, 64),
]
"""Channels of the input and of the output."""
MAX_OPERATIONS = 4e10
"""Layers with more floating-point operations are left out."""
ROUNDS = 5
SECONDS_PER_ROUND = 0.03

Form = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def separate(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Upsampling and convolution, one after the other."""
    large = F.interpolate(images, scale_factor=2)
    return F.conv2d(large, weight, bias, padding=weight.shape[2] // 2)


FORMS: dict[str, Form] = {"plain": separate, "transposed": transposed, "phases": phases}
"""The forms by their name in the CSV file."""


class Layer(NamedTuple):
    """A layer that is measured."""

    kernel: int
    size: int
    """Height and width of the small image, in pixels."""
    inputs: int
    outputs: int
    batch: int

    @property
    def operations(self) -> int:
        """Floating-point operations of the separate layers, forward and backward, about."""
        weights = self.inputs * self.outputs * self.kernel**2
        return 36 * weights * self.size**2 * self.batch


def measure(layer: Layer) -> dict[str, float]:
    """Return the milliseconds of the processor for each form: medians of interleaved rounds."""
    images = random_channels_last(layer.batch, layer.inputs, layer.size, layer.size)
    weight = random_channels_last(layer.outputs, layer.inputs, layer.kernel, layer.kernel)
    bias = torch.randn(layer.outputs)
    upstream = random_channels_last(layer.batch, layer.outputs, 2 * layer.size, 2 * layer.size)
    variables = (images.requires_grad_(), weight.requires_grad_(), bias.requires_grad_())

    def step_of(form: Form) -> Callable[[], float]:
        def step() -> object:
            output = torch.relu(form(images, weight, bias))
            return torch.autograd.grad(output, variables, upstream)

        return repeated(step, SECONDS_PER_ROUND, time.process_time)

    seconds = interleaved({name: step_of(form) for name, form in FORMS.items()}, ROUNDS)
    return {name: 1000 * statistics.median(times) for name, times in seconds.items()}


def random_channels_last(*shape: int) -> Tensor:
    return torch.randn(*shape).contiguous(memory_format=torch.channels_last)


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for kernel, size, (inputs, outputs), batch in itertools.product(
        KERNELS, SIZES, CHANNELS, BATCHES
    ):
        layer = Layer(kernel, size, inputs, outputs, batch)
        if layer.operations > MAX_OPERATIONS:
            continue
        milliseconds = measure(layer)
        chosen = faster_form(outputs)
        row: dict[str, Any] = layer._asdict()
        for name, value in milliseconds.items():
            row[f"{name}_ms"] = value
        row["chosen"] = str(chosen)
        row["speedup"] = milliseconds["plain"] / milliseconds[chosen]
        row["best"] = milliseconds["plain"] / min(milliseconds.values())
        rows.append(row)
    show("processor time of a layer, forward and backward", rows)
    note = (
        "processor time of one thread; speedup: of the form that the rule chooses over the plain "
        "one; best: of the fastest form"
    )
    print(save("upsampling", rows, note))


if __name__ == "__main__":
    main()
