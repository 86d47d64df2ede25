"""One layer after an upsampling, forward and backward on one thread: plain, as a transposed convolution, as four phases.

python -m benchmarks.upsampling            # results/upsampling.csv: what the rule in cae/trial/networks/upsampling.py is taken from
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import interleaved, repeated, save, show
from cae.trial.networks.upsampling import faster, phases, transposed

SIZES, BATCHES = (7, 8, 14, 16), (32, 128)
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
MOST_FLOPS = 4e10


def plain(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(
        F.interpolate(images, scale_factor=2), weight, bias, padding=weight.shape[2] // 2
    )


FORMS: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "plain": plain,
    "transposed": transposed,
    "phases": phases,
}


def measure(
    batch: int, inputs: int, outputs: int, size: int, kernel: int, rounds: int
) -> dict[str, float]:
    """Milliseconds of each form, of the processor: medians of interleaved rounds."""
    images = (
        torch.randn(batch, inputs, size, size)
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
    )
    weight = (
        torch.randn(outputs, inputs, kernel, kernel)
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
    )
    bias = torch.randn(outputs).requires_grad_()
    upstream = torch.randn(batch, outputs, 2 * size, 2 * size).contiguous(
        memory_format=torch.channels_last
    )

    def step(form: Callable[[Tensor, Tensor, Tensor | None], Tensor]) -> Callable[[], float]:
        return repeated(
            lambda: torch.autograd.grad(
                torch.relu(form(images, weight, bias)), (images, weight, bias), upstream
            ),
            0.03,
            time.process_time,
        )

    found = interleaved({name: step(form) for name, form in FORMS.items()}, rounds)
    return {name: 1000 * statistics.median(times) for name, times in found.items()}


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for kernel, size, (inputs, outputs), batch in itertools.product(
        (3, 5, 7), SIZES, CHANNELS, BATCHES
    ):
        if 36 * inputs * outputs * size**2 * kernel**2 * batch > MOST_FLOPS:
            continue
        ms = measure(batch, inputs, outputs, size, kernel, rounds=5)
        chosen = faster(outputs)
        row: dict[str, Any] = {
            "kernel": kernel,
            "size": size,
            "inputs": inputs,
            "outputs": outputs,
            "batch": batch,
        }
        row |= {f"{name}_ms": value for name, value in ms.items()}
        rows.append(
            row
            | {
                "chosen": chosen,
                "speedup": ms["plain"] / ms[chosen],
                "best": ms["plain"] / min(ms.values()),
            }
        )
    show("processor time of a layer, forward and backward", rows)
    print(
        save(
            "upsampling",
            rows,
            "processor time of one thread; speedup: of the form that the rule chooses over the plain one",
        )
    )


if __name__ == "__main__":
    main()
