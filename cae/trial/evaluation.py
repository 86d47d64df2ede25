"""Evaluating a network on a split that it was not trained on."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cae.trial import torch_compat
from cae.trial.batches import DeviceImages, DeviceSplit, Pairs
from cae.trial.tasks.base import Evaluation, Gallery, Table, Task

SHARED_SEED = 0
"""Randomness in validation and test (noise) is the same for all trials, whatever their seeds."""


def evaluation_pairs(task: Task, held: DeviceSplit, split: str) -> Pairs:
    """The pairs of a split (`val` or `test`), the same in every epoch and every trial."""
    return Pairs(task, held, SHARED_SEED, 0, split)


def evaluate(network: nn.Module, pairs: Pairs, *, final: bool = False) -> dict[str, float]:
    """`loss` and the task's metrics, means over the split.

    The same weights give the same numbers on the same kind of device, in IEEE float32. `final` adds
    the metrics that are too expensive for every epoch.
    """
    with torch_compat.gpu_numerics():
        return _evaluate(network, pairs, final=final)


def _evaluate(network: nn.Module, pairs: Pairs, *, final: bool) -> dict[str, float]:
    network.eval()
    task = pairs.task
    device = pairs.pixels.device
    count = len(pairs.pixels)
    sums: dict[str, Tensor] = defaultdict(
        lambda: torch.zeros((), dtype=torch.float64, device=device)
    )
    with torch.inference_mode():
        for inputs, target, _ in pairs.batches():
            output = network(inputs)
            terms = task.terms(network)
            loss = task.criterion(output, target).double() * len(target)
            sums["loss"] += loss + sum(term.double().sum() for term in terms.values())
            metrics = terms | task.metrics(output, target)
            if final:
                metrics |= task.final_metrics(output, target)
            for name, values in metrics.items():
                sums[name] += values.double().sum()
    return {name: total.item() / count for name, total in sums.items()}


def conclude(
    network: nn.Module, task: Task, images: DeviceImages, dependencies: Mapping[str, nn.Module]
) -> tuple[dict[str, float], dict[str, Table], dict[str, Gallery]]:
    """The final evaluation on the test split: metrics without `test_`, tables and galleries by
    name.

    `baseline_NAME` is the loss of a baseline, `floor` that of a perfect answer if it is not 0.
    """
    test = evaluation_pairs(task, images.test, "test")
    metrics = evaluate(network, test, final=True)
    with torch.inference_mode(), torch_compat.gpu_numerics():
        evaluation = _collect_outputs(network, task, images, test, dependencies)
        for name, answer in task.baselines(evaluation.train, evaluation.inputs).items():
            loss = task.criterion(answer.cpu(), evaluation.target)
            metrics[f"baseline_{name}"] = loss.item()
        floor = task.floor(evaluation.target)
        if floor:
            metrics["floor"] = floor
        task_metrics, tables = task.conclude(evaluation)
        galleries = task.galleries(evaluation)
    return metrics | task_metrics, tables, galleries


def _collect_outputs(
    network: nn.Module,
    task: Task,
    images: DeviceImages,
    test: Pairs,
    dependencies: Mapping[str, nn.Module],
) -> Evaluation:
    """Inputs, targets, outputs and labels of the whole test split, on the CPU."""
    inputs: list[Tensor] = []
    targets: list[Tensor] = []
    outputs: list[Tensor] = []
    labels: list[Tensor] = []
    for batch_inputs, batch_targets, batch_labels in test.batches():
        inputs.append(batch_inputs.cpu())
        targets.append(batch_targets.cpu())
        outputs.append(network(batch_inputs).cpu())
        labels.append(batch_labels.cpu())
    return Evaluation(
        network=network,
        inputs=torch.cat(inputs),
        target=torch.cat(targets),
        output=torch.cat(outputs),
        labels=torch.cat(labels),
        classes=images.classes,
        train=evaluation_pairs(task, images.train, "train"),
        dependencies=dependencies,
    )


def best_of(rows: list[dict[str, float]], metric: str, mode: str) -> int:
    """The epoch, from 1, of the best finite value, the earliest of equal ones; 0 if there is
    none."""
    sign = 1
    if mode != "min":
        sign = -1
    values: list[tuple[float, int]] = []
    for epoch, row in enumerate(rows, 1):
        if math.isfinite(row[metric]):
            values.append((sign * row[metric], epoch))
    if not values:
        return 0
    return min(values)[1]


def has_finite_losses(row: dict[str, float]) -> bool:
    """Whether both losses of an epoch are finite."""
    return math.isfinite(row["train_loss"]) and math.isfinite(row["val_loss"])
