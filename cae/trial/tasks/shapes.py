"""Checks of what the functions of a task return, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from cae.trial.losses import Loss
from cae.trial.tasks.base import Task

COUNT = 2
"""Images in the batch that the functions are tried with."""


def result_errors(task: Task, output_shape: Sequence[int]) -> list[str]:
    """Return what is wrong with the loss and the metrics of a user's task, tried with a gray batch.

    A loss is a scalar with a gradient; a metric is a value per image. A scalar metric would be
    divided by the number of images, a loss per image would end the trial.
    """
    target = torch.full((COUNT, *output_shape), 0.5)
    output = target.clone().requires_grad_()
    errors: list[str] = []
    for term in task.losses():
        if not term.loss.is_builtin():
            check = _loss_check(term.loss, output, target)
            errors += _call_loss(term.loss.name, check)
    if task.is_builtin() or errors:
        return errors
    errors = _call(task, "criterion", lambda: _loss_errors(task.criterion(output, target)))
    for name in ("metrics", "final_metrics"):
        errors += _call(task, name, _metric_check(getattr(task, name), target))
    return errors


def _call(task: Task, name: str, find_errors: Callable[[], list[str]]) -> list[str]:
    try:
        return [f"task = {task.name!r}: {error}" for error in find_errors()]
    except Exception as error:  # of the user's code
        text = " ".join(str(error).split())[:200]
        return [f"task = {task.name!r}: {name} raised {type(error).__name__}: {text}"]


def _call_loss(name: str, find_errors: Callable[[], list[str]]) -> list[str]:
    try:
        return [f"task.loss = {name!r}: {error}" for error in find_errors()]
    except Exception as error:  # of the user's code
        text = " ".join(str(error).split())[:200]
        return [f"task.loss = {name!r} raised {type(error).__name__}: {text}"]


def _loss_check(loss: Loss, output: Tensor, target: Tensor) -> Callable[[], list[str]]:
    return lambda: _loss_errors(loss(output, target), "it")


def _metric_check(
    function: Callable[[Tensor, Tensor], Any], target: Tensor
) -> Callable[[], list[str]]:
    return lambda: _metric_errors(function(target, target))


def _loss_errors(loss: Any, function: str = "its criterion") -> list[str]:
    rule = "should be a scalar tensor, the mean over the images"
    if not isinstance(loss, Tensor):
        return [f"{function} returns {type(loss).__name__}: {rule}"]
    if loss.shape != ():
        hint = ""
        if loss.shape == (COUNT,):
            hint = "; use .mean()"
        return [
            f"{function} returns the shape {tuple(loss.shape)} for {COUNT} images: {rule}{hint}"
        ]
    if not loss.requires_grad:
        return [f"{function} has no gradient: should be computed from the output without detach"]
    return []


def _metric_errors(metrics: Any) -> list[str]:
    if not isinstance(metrics, dict):
        return [f"its metrics are {type(metrics).__name__}: should be a dictionary of tensors"]
    errors: list[str] = []
    for name, values in metrics.items():
        found = f"is {type(values).__name__}"
        if isinstance(values, Tensor):
            if tuple(values.shape) == (COUNT,):
                continue
            found = f"has the shape {tuple(values.shape)}"
        errors.append(
            f"its metric {name!r} {found} for {COUNT} images: should be a value per image, "
            f"({COUNT},)"
        )
    return errors
