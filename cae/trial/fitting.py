"""Whether the parts of a trial fit together: errors that a plan reports before anything runs."""

from __future__ import annotations

import math
from typing import Any

import torch

from cae.trial.augmentation import NoAugmentation
from cae.trial.metrics import SSIM_WINDOW
from cae.trial.tasks import Task
from cae.trial.tasks.base import Shape


def validate_learning_rates(trial: Any) -> None:
    """Raise ValueError if the schedule would not start, or does not fit the learning rate."""
    trial.schedule.validate_lr(trial.optimizer.lr)
    if trial.warmup_epochs and trial.warmup_epochs >= trial.epochs:
        raise ValueError(
            f"warmup_epochs = {trial.warmup_epochs}: should be below epochs = {trial.epochs}: "
            "the schedule starts after the warm-up"
        )


def validate_augmentation(trial: Any) -> None:
    """Raise ValueError if the augmentation does not fit the task or the images."""
    task = trial.task
    if isinstance(trial.augmentation, NoAugmentation):
        return
    trial.augmentation.validate_images(trial.dataset.image_shape)
    if task.corrupts and not task.redraws:
        remedy = "choose another task, or no augmentation"
        if "redraw_noise" in type(task).model_fields:
            remedy = "choose task.redraw_noise = True"
        raise ValueError(
            f"augmentation = {trial.augmentation.name!r}: task = {task.name!r} draws its inputs "
            f"once for all epochs, and augmented images differ in each epoch; {remedy}"
        )


def validate_loss_size(task: Task, image_shape: Shape) -> None:
    """Raise ValueError if the images are too small for the loss."""
    rows, columns = task.loss_size(image_shape)
    for term in task.losses():
        side = term.loss.smallest_side()
        if min(rows, columns) >= side:
            continue
        remedy = "choose another loss"
        if term.loss.name == "ms_ssim" and min(rows, columns) >= SSIM_WINDOW:
            scales = int(math.log2(min(rows, columns) / SSIM_WINDOW)) + 1
            remedy = f"choose ms_ssim(scales={scales})"
        raise ValueError(
            f"task.loss = {task.loss!r}: {term.text} needs images of at least {side} x {side} "
            f"pixels, and these have {rows} x {columns}; {remedy}"
        )


def validate_skips(trial: Any) -> None:
    """Raise ValueError if a network has skips and the inputs of the task are its targets."""
    if not trial.arch.has_skips:
        return
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, *trial.dataset.image_shape, generator=generator)
    labels = torch.zeros(len(images), dtype=torch.int64)
    inputs, targets = trial.task.pairs(images, labels, generator)
    if not torch.equal(inputs, targets):
        return
    setting = f"arch = {trial.arch.name!r} has skips"
    remedy = "choose another network, or"
    if "skips" in type(trial.arch).model_fields:
        setting = "arch.skips = True"
        remedy = "choose arch.skips = False or"
    raise ValueError(
        f"{setting}: the inputs of task = {trial.task.name!r} are its targets, which skips would "
        f"copy without the latent code; {remedy} a task with other inputs, such as 'denoise'"
    )
