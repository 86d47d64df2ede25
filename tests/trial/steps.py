"""Training by hand, without a loop around it."""

from __future__ import annotations

from torch import Tensor, nn

from cae.trial.optimizers import Adam
from cae.trial.tasks.base import Task


def losses_of(task: Task, network: nn.Module, given: Tensor, target: Tensor) -> list[float]:
    """Those of 15 steps of training on one batch."""
    optimizer, losses = Adam(lr=1e-2).build(network.parameters()), []
    for _ in range(15):
        value = task.criterion(network(given), target)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses
