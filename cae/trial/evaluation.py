"""Evaluating a network on a split that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cae.trial import torch_compat
from cae.trial.batches import DeviceImages, DeviceSplit, Pairs
from cae.trial.chunks import chunks, mean_by_chunks
from cae.trial.tasks.base import Evaluation, Gallery, ImageMetrics, Table, Task

_known_reference_losses: dict[tuple[object, ...], dict[str, float]] = {}

SHARED_SEED = 0
"""Randomness in validation and test (noise) is the same for all trials, whatever their seeds."""


def evaluation_pairs(task: Task, held: DeviceSplit, split: str) -> Pairs:
    """The pairs of a split (`val` or `test`), the same in every epoch and every trial."""
    return Pairs(task, held, SHARED_SEED, 0, split)


@dataclass(frozen=True)
class _Batch:
    """What a network gives for a batch of a split."""

    counted: int
    """The number of images whose values are in the sums."""

    inputs: Tensor
    target: Tensor
    output: Tensor
    labels: Tensor
    loss_sum: Tensor
    """Sum of the images' losses, in double precision."""
    values: dict[str, Tensor]
    """Metrics of each image, by name."""
    is_measured: Tensor | None
    """Which images are in the means; None: all."""


def evaluate(network: nn.Module, pairs: Pairs, *, final: bool = False) -> dict[str, float]:
    """`loss` and the task's metrics, means over the split.

    The same weights give the same numbers on the same kind of device, in IEEE float32. `final` adds
    the metrics that are too expensive for every epoch.
    """
    with torch.inference_mode(), torch_compat.gpu_numerics():
        return _means(_evaluate_batches(network, pairs, final=final))


def _evaluate_batches(
    network: nn.Module, pairs: Pairs, *, final: bool, classes: tuple[str, ...] | None = None
) -> Iterator[_Batch]:
    """The batches of a split.

    With `classes`, the names of the classes by number, only the images that the network is trained
    for are in the sums; without them all are: training and validation have no others.
    """
    network.eval()
    task = pairs.task
    for inputs, target, labels in pairs.batches():
        output = network(inputs)
        terms = task.terms(network)
        values = terms | task.metrics(output, target)
        if final:
            values |= task.final_metrics(output, target)
        is_measured = None
        if classes is not None:
            is_measured = task.trained_for(labels, classes)
        loss_sum = _loss_sum(task, output, target, terms, is_measured)
        counted = len(target)
        if is_measured is not None:
            counted = int(is_measured.sum())
        yield _Batch(counted, inputs, target, output, labels, loss_sum, values, is_measured)


def _loss_sum(
    task: Task,
    output: Tensor,
    target: Tensor,
    terms: dict[str, Tensor],
    is_measured: Tensor | None,
) -> Tensor:
    """The sum of the losses of the measured images, with the terms of the network."""
    weighted = task.weigh_terms(terms)
    if is_measured is not None:
        output = output[is_measured]
        target = target[is_measured]
        weighted = {name: values[is_measured] for name, values in weighted.items()}
    if len(target) == 0:  # the mean over no image is not a number
        return torch.zeros((), dtype=torch.float64, device=target.device)
    loss = task.criterion(output, target).double() * len(target)
    return loss + sum(term.double().sum() for term in weighted.values())


def _means(batches: Iterable[_Batch]) -> dict[str, float]:
    """The means of the losses and metrics of all images. The sums stay on the device."""
    sums: dict[str, Tensor] = {}
    count = 0
    for batch in batches:
        count += batch.counted
        totals = {"loss": batch.loss_sum}
        for name, values in batch.values.items():
            measured = values
            if batch.is_measured is not None:
                measured = values[batch.is_measured]
            totals[name] = measured.double().sum()
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
        collected = _Collected(len(test.pixels))
        batches = _evaluate_batches(network, test, final=True, classes=images.classes)
        metrics = _means(collected.collect(batches))
        evaluation = collected.join(network, task, images, dependencies)
        metrics |= _reference_losses(task, images, evaluation)
        task_metrics, tables = task.conclude(evaluation)
        galleries = task.galleries(evaluation)
    return metrics | task_metrics, tables, galleries


class _Collected:
    """What a network gives for a whole split, from its batches.

    At the end of a trial the whole split is in memory. Each tensor is allocated once: joining
    batches would need it twice.
    """

    def __init__(self, count: int) -> None:
        """`count`: the number of images."""
        self._count = count
        self._tensors: dict[str, Tensor] = {}
        self._values: dict[str, Tensor] = {}

    def collect(self, batches: Iterable[_Batch]) -> Iterator[_Batch]:
        """Yield the batches, and copy their tensors."""
        start = 0
        for batch in batches:
            self._store(self._tensors, "inputs", start, batch.inputs)
            self._store(self._tensors, "target", start, batch.target)
            self._store(self._tensors, "output", start, batch.output)
            self._store(self._tensors, "labels", start, batch.labels)
            for name, values in batch.values.items():
                self._store(self._values, name, start, values)
            start += len(batch.target)
            yield batch

    def _store(self, tensors: dict[str, Tensor], name: str, start: int, batch: Tensor) -> None:
        if name not in tensors:
            layout = torch.contiguous_format
            if batch.dim() == 4 and not batch.is_contiguous():
                layout = torch.channels_last
            tensors[name] = torch.empty(
                (self._count, *batch.shape[1:]),
                dtype=batch.dtype,
                device=batch.device,
                memory_format=layout,
            )
        tensors[name][start : start + len(batch)] = batch

    def join(
        self,
        network: nn.Module,
        task: Task,
        images: DeviceImages,
        dependencies: Mapping[str, nn.Module],
    ) -> Evaluation:
        """The evaluation of the whole split."""
        output = self._tensors["output"]
        target = self._tensors["target"]
        return Evaluation(
            network=network,
            classes=images.classes,
            train=Pairs(task, images.train, SHARED_SEED, 0, "train", draw_on_first_use=True),
            dependencies=dependencies,
            image_metrics=ImageMetrics(task, output, target, self._values),
            val=evaluation_pairs(task, images.val, "val"),
            **self._tensors,
        )


def _reference_losses(task: Task, images: DeviceImages, evaluation: Evaluation) -> dict[str, float]:
    """`baseline_NAME`, the loss of each of the task's baselines, and `floor`.

    They depend on the images and the task only: this process computes them once. The means are over
    the images that the network is trained for.
    """
    losses_of_task = tuple(type(term.loss) for term in task.losses())
    key = (*data_key(task, images), losses_of_task)
    losses = _known_reference_losses.get(key)
    if losses is None or not images.fingerprint:
        losses = {}
        measured_inputs = evaluation.inputs
        measured_target = evaluation.target
        is_measured = task.trained_for(evaluation.labels, evaluation.classes)
        if is_measured is not None:
            measured_inputs = measured_inputs[is_measured]
            measured_target = measured_target[is_measured]
        count = len(measured_target)
        for inputs, target in chunks(measured_inputs, measured_target):
            share = len(target) / count
            for name, answer in task.baselines(evaluation.train, inputs).items():
                loss = task.criterion(answer.to(target.device), target).item()
                known = losses.get(f"baseline_{name}", 0.0)
                losses[f"baseline_{name}"] = known + loss * share
        floor = mean_by_chunks(task.floor, measured_target)
        if floor:
            losses["floor"] = floor
        _known_reference_losses[key] = losses
    return losses


def data_key(task: Task, images: DeviceImages) -> tuple[object, ...]:
    """A key of what depends on the images and the task only, for caches of this process.

    Nothing may be cached if `images.fingerprint` is empty.
    """
    # The addresses, because `_replace` keeps the fingerprint of images whose splits it changes.
    addresses = [split.pixels.data_ptr() for split in (images.train, images.test)]
    return images.fingerprint, str(addresses), type(task), _parameters(task)


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
