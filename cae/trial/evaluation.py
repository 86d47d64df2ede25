"""Evaluating a network on a split that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cae.trial import torch_compat
from cae.trial.batches import DeviceImages, DeviceSplit, Pairs
from cae.trial.tasks.base import Evaluation, Gallery, ImageMetrics, Table, Task

_known_reference_losses: dict[tuple[str, str, type[Task], str], dict[str, float]] = {}

SHARED_SEED = 0
"""Randomness in validation and test (noise) is the same for all trials, whatever their seeds."""


def evaluation_pairs(task: Task, held: DeviceSplit, split: str) -> Pairs:
    """The pairs of a split (`val` or `test`), the same in every epoch and every trial."""
    return Pairs(task, held, SHARED_SEED, 0, split)


@dataclass(frozen=True)
class _Batch:
    """What a network gives for a batch of a split."""

    inputs: Tensor
    target: Tensor
    output: Tensor
    labels: Tensor
    loss_sum: Tensor
    """Sum of the images' losses, in double precision."""
    values: dict[str, Tensor]
    """Metrics of each image, by name."""


def evaluate(network: nn.Module, pairs: Pairs, *, final: bool = False) -> dict[str, float]:
    """`loss` and the task's metrics, means over the split.

    The same weights give the same numbers on the same kind of device, in IEEE float32. `final` adds
    the metrics that are too expensive for every epoch.
    """
    with torch.inference_mode(), torch_compat.gpu_numerics():
        return _means(_evaluate_batches(network, pairs, final=final))


def _evaluate_batches(network: nn.Module, pairs: Pairs, *, final: bool) -> Iterator[_Batch]:
    network.eval()
    task = pairs.task
    for inputs, target, labels in pairs.batches():
        output = network(inputs)
        terms = task.terms(network)
        loss = task.criterion(output, target).double() * len(target)
        loss_sum = loss + sum(term.double().sum() for term in terms.values())
        values = terms | task.metrics(output, target)
        if final:
            values |= task.final_metrics(output, target)
        yield _Batch(inputs, target, output, labels, loss_sum, values)


def _means(batches: Iterable[_Batch]) -> dict[str, float]:
    """The means of the losses and metrics of all images. The sums stay on the device."""
    sums: dict[str, Tensor] = {}
    count = 0
    for batch in batches:
        count += len(batch.target)
        totals = {"loss": batch.loss_sum}
        for name, values in batch.values.items():
            totals[name] = values.double().sum()
        for name, total in totals.items():
            sums[name] = sums.get(name, torch.zeros_like(total)) + total
    return {name: total.item() / count for name, total in sums.items()}


def conclude(
    network: nn.Module, task: Task, images: DeviceImages, dependencies: Mapping[str, nn.Module]
) -> tuple[dict[str, float], dict[str, Table], dict[str, Gallery]]:
    """The final evaluation on the test split: metrics without `test_`, tables and galleries by
    name.

    `baseline_NAME` is the loss of a baseline, `floor` that of a perfect answer if it is not 0.
    """
    test = evaluation_pairs(task, images.test, "test")
    with torch.inference_mode(), torch_compat.gpu_numerics():
        batches = list(_evaluate_batches(network, test, final=True))
        metrics = _means(batches)
        evaluation = _join(network, task, images, batches, dependencies)
        metrics |= _reference_losses(task, images, evaluation)
        task_metrics, tables = task.conclude(evaluation)
        galleries = task.galleries(evaluation)
    return metrics | task_metrics, tables, galleries


def _join(
    network: nn.Module,
    task: Task,
    images: DeviceImages,
    batches: Sequence[_Batch],
    dependencies: Mapping[str, nn.Module],
) -> Evaluation:
    """The evaluation of the whole split from that of its batches."""
    values: dict[str, Tensor] = {}
    for name in batches[0].values:
        values[name] = torch.cat([batch.values[name] for batch in batches])
    target = torch.cat([batch.target for batch in batches])
    output = torch.cat([batch.output for batch in batches])
    return Evaluation(
        network=network,
        inputs=torch.cat([batch.inputs for batch in batches]),
        target=target,
        output=output,
        labels=torch.cat([batch.labels for batch in batches]),
        classes=images.classes,
        train=Pairs(task, images.train, SHARED_SEED, 0, "train", draw_on_first_use=True),
        dependencies=dependencies,
        image_metrics=ImageMetrics(task, output, target, values),
    )


def _reference_losses(task: Task, images: DeviceImages, evaluation: Evaluation) -> dict[str, float]:
    """`baseline_NAME`, the loss of each of the task's baselines, and `floor`.

    They depend on the images and the task only: this process computes them once.
    """
    # The addresses, because `_replace` keeps the fingerprint of images whose splits it changes.
    addresses = [split.pixels.data_ptr() for split in (images.train, images.test)]
    key = (images.fingerprint, str(addresses), type(task), _parameters(task))
    losses = _known_reference_losses.get(key)
    if losses is None or not images.fingerprint:
        losses = {}
        for name, answer in task.baselines(evaluation.train, evaluation.inputs).items():
            target = evaluation.target
            losses[f"baseline_{name}"] = task.criterion(answer.to(target.device), target).item()
        floor = task.floor(evaluation.target)
        if floor:
            losses["floor"] = floor
        _known_reference_losses[key] = losses
    return losses


def _parameters(task: Task) -> str:
    """The parameters of a task, except the trials that it depends on."""
    parameters = task.parameters()
    for name in task.dependency_names:
        parameters.pop(name, None)
    return repr(sorted(parameters.items()))


def best_of(rows: list[dict[str, float]], metric: str, mode: str) -> int:
    """The epoch, from 1, of the best finite value, the earliest of equal ones; 0 if there is
    none."""
    best_epoch = 0
    for epoch in range(1, len(rows) + 1):
        best_epoch = better_epoch(rows, best_epoch, epoch, metric, mode)
    return best_epoch


def better_epoch(
    rows: list[dict[str, float]], best_epoch: int, epoch: int, metric: str, mode: str
) -> int:
    """`epoch` if its value is finite and better than that of `best_epoch`; `best_epoch` otherwise.

    Epochs are counted from 1; a best epoch of 0 means that there is none yet.
    """
    value = rows[epoch - 1][metric]
    if not math.isfinite(value):
        return best_epoch
    if best_epoch == 0:
        return epoch
    best_value = rows[best_epoch - 1][metric]
    if mode == "min":
        is_better = value < best_value
    else:
        is_better = value > best_value
    if is_better:
        return epoch
    return best_epoch


def has_finite_losses(row: dict[str, float]) -> bool:
    """Whether both losses of an epoch are finite."""
    return math.isfinite(row["train_loss"]) and math.isfinite(row["val_loss"])
