"""What a network is worth on a split it was not trained on."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn

from cae.trial.batches import EVALUATION_BATCH, Pairs
from cae.trial.tasks import Task

SHARED_SEED = 0
"""What is random in validation and test (noise) is the same for all trials, whatever their seeds: they compare."""


def pairs_of(task: Task, pixels: Tensor, split: str) -> Pairs:
    """The pairs of an evaluation split (`val` or `test`), the same in every epoch and every trial."""
    return Pairs(task, pixels, SHARED_SEED, 0, split)


def measure(network: nn.Module, pairs: Pairs, *, final: bool = False) -> dict[str, float]:
    """`loss` and the task's metrics, means over the split; `final` adds those that are too dear for every epoch.

    The same numbers, for the same weights on the same kind of device, whenever it is called.
    """
    network.eval()
    pairs.rewind()
    task, device, count = pairs.task, pairs.pixels.device, len(pairs.pixels)
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), dtype=torch.float64, device=device))
    with torch.inference_mode():
        for chosen in torch.arange(count, device=device).split(EVALUATION_BATCH):
            given, target = pairs.batch(chosen)
            output = network(given)
            sums["loss"] += task.criterion(output, target).double() * len(chosen)
            measured = task.metrics(output, target) | (task.final_metrics(output, target) if final else {})
            for name, values in measured.items():
                sums[name] += values.double().sum()
    return {name: value.item() / count for name, value in sums.items()}
