"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from cae.trial.component import Component

Fraction = Annotated[float, Ge(0), Lt(1)]
Parameters = Iterable[torch.nn.Parameter]


# torch imports its compiler (2 s, in every worker) when an optimizer is first built or stepped, only to switch it off there. No
# network here is compiled: these methods are told that they are switched off already, and `step` goes straight to the rule.
for _method in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
    _plain_method = inspect.unwrap(getattr(torch.optim.Optimizer, _method))
    setattr(_plain_method, "__dynamo_disable", _plain_method)


def step(optimizer: torch.optim.Optimizer) -> None:
    """One step of an optimizer: of one of torch's own, without what torch wraps around it for its profiler and compiler."""
    hooked = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    if hooked or not type(optimizer).__module__.startswith("torch.optim."):
        optimizer.step()
        return
    with torch.no_grad():
        inspect.unwrap(type(optimizer).step)(optimizer)


class Optimizer(Component):
    """How weights follow gradients."""

    lr: PositiveFloat = 1e-3
    """Learning rate, at the first epoch."""
    weight_decay: NonNegativeFloat = 0.0

    def build(self, parameters: Parameters) -> torch.optim.Optimizer:
        raise NotImplementedError


class Adam(Optimizer):
    """Kingma & Ba 2015, as torch.optim.Adam."""

    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: PositiveFloat = 1e-7
    """Added to the denominator: 1e-7 is Keras's default, 1e-8 PyTorch's."""

    def build(self, parameters: Parameters) -> torch.optim.Optimizer:
        # fused: one call for all tensors; for networks this small the step would otherwise cost as much as a layer
        return torch.optim.Adam(
            parameters, self.lr, (self.beta1, self.beta2), self.eps, self.weight_decay, fused=True
        )


class RMSprop(Optimizer):
    """Hinton 2012, as torch.optim.RMSprop; the defaults are Keras's (rho 0.9, epsilon 1e-7)."""

    alpha: Fraction = 0.9
    """How much of the running mean of squared gradients each step keeps."""
    eps: PositiveFloat = 1e-7
    momentum: Fraction = 0.0

    def build(self, parameters: Parameters) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(
            parameters,
            self.lr,
            self.alpha,
            self.eps,
            self.weight_decay,
            self.momentum,
            foreach=True,
        )


class SGD(Optimizer):
    """Stochastic gradient descent, as torch.optim.SGD."""

    lr: PositiveFloat = 1e-2
    momentum: Fraction = 0.0
    nesterov: bool = False

    def inactive_parameters(self) -> dict[str, str]:
        return {} if self.momentum else {"nesterov": "optimizer.momentum is 0"}

    def build(self, parameters: Parameters) -> torch.optim.Optimizer:
        nesterov = self.nesterov and self.momentum > 0
        return torch.optim.SGD(
            parameters, self.lr, self.momentum, 0.0, self.weight_decay, nesterov, fused=True
        )


class Schedule(Component):
    """How the learning rate changes from epoch to epoch."""

    def next_lr(self, initial_lr: float, val_losses: list[float]) -> float:
        """The learning rate of the next epoch, from the first one's and the validation losses of the epochs so far.

        A function of the history alone: a trial that was interrupted finds its schedule again without any state.
        """
        raise NotImplementedError


class Constant(Schedule):
    """The learning rate stays."""

    def next_lr(self, initial_lr: float, val_losses: list[float]) -> float:
        return initial_lr


class ReduceOnPlateau(Schedule):
    """Multiplies the learning rate by `factor` once val_loss has not improved for more than `patience` epochs.

    The rule of torch.optim.lr_scheduler.ReduceLROnPlateau (its eps 0), as a function of the history.
    """

    factor: Annotated[float, Gt(0), Lt(1)] = 0.5
    patience: NonNegativeInt = 2
    threshold: NonNegativeFloat = 1e-4
    """Relative: an epoch improves when its loss is below best * (1 - threshold)."""
    min_lr: NonNegativeFloat = 0.0

    def next_lr(self, initial_lr: float, val_losses: list[float]) -> float:
        lr, best, bad_epochs = initial_lr, float("inf"), 0
        for loss in val_losses:
            if loss < best * (1 - self.threshold):
                best, bad_epochs = loss, 0
            else:
                bad_epochs += 1
            if bad_epochs > self.patience:
                lr, bad_epochs = min(lr, max(lr * self.factor, self.min_lr)), 0
        return lr
