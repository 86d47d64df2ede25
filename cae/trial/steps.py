"""One step of training: forward pass, loss, backward pass, update of the weights."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn

from cae.trial import torch_compat
from cae.trial.batches import Pairs
from cae.trial.optimizers import Optimizer
from cae.trial.tasks.base import Task


def build_optimizer(settings: Optimizer, network: nn.Module) -> torch.optim.Optimizer:
    """Return a new optimizer of the network's parameters."""
    torch_compat.skip_compiler_import()
    return settings.build(network.parameters())


def training_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: Task,
    inputs: Tensor,
    targets: Tensor,
    precision: contextlib.AbstractContextManager[object],
) -> Tensor:
    """Update the weights with one batch; return its loss (a scalar on the device, without a graph).

    `inputs`, `targets`: B x C x H x W; `precision`: the context of the forward pass, such as
    torch.autocast. Losses are computed in float32. Reading the result waits for the device.
    """
    with precision:
        outputs = network(inputs)
    loss = task.criterion(outputs.float(), targets)
    for term in task.terms(network).values():
        loss = loss + term.float().mean()
    optimizer.zero_grad()
    loss.backward()
    torch_compat.optimizer_step(optimizer)
    return loss.detach()


def train_on_all(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    pairs: Pairs,
    order: Tensor,
    batch_size: int,
    precision: contextlib.AbstractContextManager[object],
) -> float:
    """Train one epoch; return the mean loss of the images, each as it was when its batch was used.

    `order`: the indices of the images, N on the device; the last batch may be smaller than
    `batch_size`.
    """
    total = torch.zeros((), device=order.device)  # stays on the device: steps do not wait for it
    for indices in order.split(batch_size):
        inputs, targets = pairs.at(indices)
        loss = training_step(network, optimizer, pairs.task, inputs, targets, precision)
        total += loss * len(indices)
    return total.item() / len(order)
