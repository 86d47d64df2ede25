"""What a network is worth on a split it was not trained on."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cae.trial.batches import Held, Pairs, Resident
from cae.trial.tasks.base import Evaluation, Gallery, Table, Task

SHARED_SEED = 0
"""What is random in validation and test (noise) is the same for all trials, whatever their seeds: they compare."""


def pairs_of(task: Task, held: Held, split: str) -> Pairs:
    """The pairs of an evaluation split (`val` or `test`), the same in every epoch and every trial."""
    return Pairs(task, held, SHARED_SEED, 0, split)


def measure(network: nn.Module, pairs: Pairs, *, final: bool = False) -> dict[str, float]:
    """`loss` and the task's metrics, means over the split; `final` adds those that are too dear for every epoch.

    The same numbers, for the same weights on the same kind of device, whenever it is called.
    """
    network.eval()
    task, device, count = pairs.task, pairs.pixels.device, len(pairs.pixels)
    sums: dict[str, Tensor] = defaultdict(
        lambda: torch.zeros((), dtype=torch.float64, device=device)
    )
    with torch.inference_mode():
        for given, target, _ in pairs.whole():
            output = network(given)
            terms = task.terms(network)
            sums["loss"] += task.criterion(output, target).double() * len(target) + sum(
                term.double().sum() for term in terms.values()
            )
            measured = (
                terms
                | task.metrics(output, target)
                | (task.final_metrics(output, target) if final else {})
            )
            for name, values in measured.items():
                sums[name] += values.double().sum()
    return {name: value.item() / count for name, value in sums.items()}


def conclude(
    network: nn.Module, task: Task, images: Resident, dependencies: Mapping[str, nn.Module]
) -> tuple[dict[str, float], dict[str, Table], dict[str, Gallery]]:
    """All that is measured once, on the test split, with the best weights: the metrics by name, without `test_`, the tables and
    the galleries.

    `baseline_NAME` is the loss of a rule that learns next to nothing, `floor` that of a perfect answer where it is not 0.
    """
    test = pairs_of(task, images.test, "test")
    metrics = measure(network, test, final=True)
    with torch.inference_mode():
        parts = [
            (given.cpu(), target.cpu(), network(given).cpu(), labels.cpu())
            for given, target, labels in test.whole()
        ]
        given, target, output, labels = (torch.cat(part) for part in zip(*parts, strict=True))
        train = pairs_of(task, images.train, "train")
        rules = task.baselines(train, given)
        metrics |= {
            f"baseline_{name}": task.criterion(answer.cpu(), target).item()
            for name, answer in rules.items()
        }
        if floor := task.floor(target):
            metrics["floor"] = floor
        seen = Evaluation(
            network, given, target, output, labels, images.classes, train, dependencies
        )
        more, tables = task.conclude(seen)
        galleries = task.galleries(seen)
    return metrics | more, tables, galleries


def best_of(rows: list[dict[str, float]], metric: str, mode: str) -> int:
    """The epoch, from 1, of the best finite value; 0 where there is none."""
    sign = 1 if mode == "min" else -1
    values = [
        (sign * row[metric], epoch)
        for epoch, row in enumerate(rows, 1)
        if math.isfinite(row[metric])
    ]
    return min(values)[1] if values else 0


def finite(row: dict[str, float]) -> bool:
    return math.isfinite(row["train_loss"]) and math.isfinite(row["val_loss"])
