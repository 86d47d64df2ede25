"""Training steps without the training loop."""

from __future__ import annotations

from torch import Tensor, nn

from cae.trial.optimizers import Adam
from cae.trial.steps import build_optimizer
from cae.trial.tasks.base import Task

STEPS = 15


def losses_of(task: Task, network: nn.Module, inputs: Tensor, targets: Tensor) -> list[float]:
    """Train on one batch; return the loss before each step."""
    optimizer = build_optimizer(Adam(lr=1e-2), network)
    losses = []
    for _ in range(STEPS):
        loss = task.criterion(network(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
