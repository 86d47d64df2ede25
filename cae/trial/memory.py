"""How much memory of its device a trial needs, without training it.

One step and the evaluations are executed on fake tensors, which have shapes and no values, while
the live memory is counted: parameters, gradients, the optimizer's state, activations, images, the
networks of the dependencies and what the metrics need. Not counted: the scratch memory within
PyTorch's operations, which depends on the device, and that of CUDA itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from cae.trial import torch_compat
from cae.trial.batches import DeviceImages, DeviceSplit
from cae.trial.config import Trial
from cae.trial.datasets.pixel_values import BYTE_RANGE, ValueRange
from cae.trial.evaluation import conclude, evaluate, evaluation_pairs
from cae.trial.networks.create import build_network
from cae.trial.steps import Clipping, Step, build_optimizer
from cae.trial.training_state import training_pairs

STEPS = 2
"""The first one creates the state of the optimizer."""


@dataclass(frozen=True)
class MemoryPrediction:
    """Bytes that PyTorch allocates for a trial, at most."""

    peak: int
    """Of the whole trial."""
    training: int
    """Peak of the training steps."""
    evaluation: int
    """Peak of the validation after an epoch."""
    final_evaluation: int
    """Peak of the evaluation after the last epoch."""
    is_complete: bool
    """Whether that was executed to its end; otherwise up to the first table that needs values."""
    resident: int
    """What exists throughout: images, weights, gradients, the state of the optimizer."""
    images: int
    """Of the data set."""

    @property
    def with_graph(self) -> int:
        """Bytes if a CUDA graph keeps the memory of the training steps: evaluations cannot use it
        then."""
        evaluation = max(self.evaluation, self.final_evaluation)
        return self.training + evaluation - self.resident


def stages_of(trial: Trial) -> list[int]:
    """Return the stages of a trial's training, in their order."""
    epochs = range(1, trial.epochs + 1)
    stages = [trial.task.stage(epoch, trial.epochs) for epoch in epochs]
    return list(dict.fromkeys(stages))


def predict_memory(
    trial: Trial,
    images_per_split: Mapping[str, int],
    pixel_type: str = "uint8",
    value_range: ValueRange = BYTE_RANGE,
) -> MemoryPrediction:
    """Predict how much memory a trial needs on its device.

    Args:
        trial: The trial.
        images_per_split: Number of images of "train", "val" and "test" that are on the device.
        pixel_type: Their type, a name of numpy.
        value_range: The pixel values of black and white.

    Raises any exception if the trial's components cannot be executed without values.
    """
    with torch_compat.without_values() as memory:
        splits: list[DeviceSplit] = []
        for split in ("train", "val", "test"):
            count = images_per_split[split]
            shape = (count, *trial.dataset.image_shape)
            pixels = torch.zeros(shape, dtype=getattr(torch, pixel_type))
            labels = torch.zeros(count, dtype=torch.int64)
            splits.append(DeviceSplit(pixels, labels, value_range))
        train_split, val_split, test_split = splits
        classes = tuple(trial.dataset.class_names)
        images = DeviceImages(train_split, val_split, test_split, classes)
        image_bytes = memory.live
        network = build_network(trial)
        dependencies: dict[str, nn.Module] = {}
        for name, dependency in trial.dependencies().items():
            dependencies[name] = build_network(dependency).eval().requires_grad_(False)
        train_pairs = training_pairs(trial, images.train)
        val_pairs = evaluation_pairs(trial.task, images.val, "val")
        memory.restart_peak()
        training = 0
        resident = 0
        for stage in stages_of(trial):
            # Each stage starts with a new optimizer, and may train more layers than the one before.
            optimizer = build_optimizer(trial.optimizer, network)
            network.train()
            trial.task.prepare(network, stage)
            clipping = Clipping(trial.clip_norm, trial.clip_value)
            step = Step(network, optimizer, train_pairs, trial.precision, clipping)
            indices = torch.arange(min(trial.batch_size, images_per_split["train"]))
            for _ in range(STEPS):
                step(indices)
            training = max(training, memory.restart_peak())
            resident = max(resident, memory.live)
        evaluate(network, val_pairs)
        evaluation = memory.restart_peak()
        is_complete = True
        try:
            conclude(network, trial.task, images, dependencies)
        except Exception:  # tables and images of most tasks need values
            is_complete = False
        final_evaluation = memory.restart_peak()
    return MemoryPrediction(
        peak=max(training, evaluation, final_evaluation),
        training=training,
        evaluation=evaluation,
        final_evaluation=final_evaluation,
        is_complete=is_complete,
        resident=resident,
        images=image_bytes,
    )
