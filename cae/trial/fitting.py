"""Whether the parts of a trial fit together: errors that a plan reports before anything runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
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


def validate_pairs(trial: Any) -> None:
    """Call `pairs` of a task of the user's with two random images.

    Raises ValueError if it fails, if its inputs have another shape than `input_shape` returns, or
    if it draws random numbers without `corrupts`, or from another generator than its argument.
    """
    task = trial.task
    if task.is_builtin():
        return
    images = torch.rand(2, *trial.dataset.image_shape, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(len(images), dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    start = generator.get_state()
    try:
        inputs, targets = task.pairs(images, labels, generator)
        end = generator.get_state()
        again, targets_again = task.pairs(images, labels, generator.manual_seed(0))
    except Exception as error:
        raise ValueError(
            f"task = {task.name!r}: its method pairs fails for images of "
            f"{_times(trial.dataset.image_shape)}: {type(error).__name__}: {error}"
        ) from error
    expected = task.input_shape(trial.dataset.image_shape)
    if tuple(inputs.shape[1:]) != tuple(expected):
        raise ValueError(
            f"task = {task.name!r}: its method pairs returns inputs of {_times(inputs.shape[1:])}, "
            f"and input_shape returns {_times(expected)}: define input_shape"
        )
    if not torch.equal(inputs, again) or not torch.equal(targets, targets_again):
        raise ValueError(
            f"task = {task.name!r}: its method pairs returns other values when it is called with "
            "the same images and the same generator: draw all random numbers with "
            "generator=generator"
        )
    if not task.corrupts and not torch.equal(start, end):
        raise ValueError(
            f"task = {task.name!r}: its method pairs draws random numbers: write corrupts = True "
            f"in class {type(task).__name__}, so that validation and test have the same inputs in "
            "all trials and on all devices"
        )


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


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
