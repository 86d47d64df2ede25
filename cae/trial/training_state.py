"""A trial in training: its network, its optimizer, and what it is trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from cae.files import SyncSchedule
from cae.trial.augmentation import NoAugmentation
from cae.trial.batches import DeviceImages, DeviceSplit, Pairs, derive_seed, images_for
from cae.trial.checkpoint import Owner
from cae.trial.checkpoint_writer import CheckpointWriter
from cae.trial.config import Trial
from cae.trial.evaluation import evaluation_pairs
from cae.trial.networks.create import build_network, load_trained, to_device
from cae.trial.steps import Step, build_optimizer

DependencyFolders = Mapping[str, Path]
"""The folders of the trials that a trial depends on, by the task's parameter."""


@dataclass
class TrainingState:
    """A trial in training: its network, optimizer and metrics, and what it is trained with."""

    trial: Trial
    images: DeviceImages
    folder: Path
    owner: Owner
    files: SyncSchedule
    writer: CheckpointWriter
    network: nn.Module
    optimizer: torch.optim.Optimizer
    dependency_networks: Mapping[str, nn.Module]
    rows: list[dict[str, float]] = field(default_factory=list)
    """Metrics of the epochs so far."""
    step: Step | None = None
    """The step of the current stage."""
    replayed_steps: int = 0
    """Those of the last epoch."""
    plain_steps_reason: str = ""
    restart_reason: str = ""
    """Why the next epoch is trained again."""
    metric: str = "val_loss"
    """The metric by which the best epoch is chosen. One of the latent code is measured in an epoch
    only if it is this one."""
    is_large: bool = False
    """Whether its checkpoints may be postponed."""

    @property
    def device(self) -> torch.device:
        return self.images.train.labels.device

    @cached_property
    def val_pairs(self) -> Pairs:
        return evaluation_pairs(self.trial.task, self.images.val, "val")

    @cached_property
    def train_pairs(self) -> Pairs:
        """The training pairs, of epoch 0 until `Pairs.start_epoch` is called."""
        return training_pairs(self.trial, self.images.train)

    @property
    def is_drawn_once(self) -> bool:
        """Whether the task corrupts its inputs once for all epochs."""
        return self.trial.task.corrupts and not self.trial.task.redraws


def training_pairs(trial: Trial, images: DeviceSplit) -> Pairs:
    """The training pairs of a trial, of epoch 0.

    Inputs that are drawn in each epoch are drawn on the device, which is faster.
    """
    augmentation = None
    if not isinstance(trial.augmentation, NoAugmentation):
        augmentation = trial.augmentation
    return Pairs(
        trial.task,
        images,
        trial.seed,
        0,
        "train",
        draw_on_device=trial.task.redraws,
        augmentation=augmentation,
    )


def start_training(
    trial: Trial,
    images: DeviceImages,
    dependencies: DependencyFolders,
    folder: Path,
    owner: Owner,
    files: SyncSchedule,
    writer: CheckpointWriter,
) -> TrainingState:
    """A new network with its optimizer, and the networks of the dependencies."""
    images = images_for(trial.task, images)
    device = images.train.labels.device
    dependency_networks = {}
    for name, dependency in trial.dependencies().items():
        dependency_networks[name] = load_trained(dependency, dependencies[name], device)
    torch.manual_seed(derive_seed(trial.seed, 0, "weights"))
    network = to_device(build_network(trial), device, trial.precision)
    trial.task.start_from(network, dependency_networks)
    optimizer = build_optimizer(trial.optimizer, network)
    return TrainingState(
        trial, images, folder, owner, files, writer, network, optimizer, dependency_networks
    )
