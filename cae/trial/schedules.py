"""Learning-rate schedules: the learning rate of each epoch, computed from the epochs before it."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated

from annotated_types import Gt, Le, Lt
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from typing_extensions import override

from cae.trial.component import Component


class Schedule(Component):
    """A kind of component: how the learning rate changes from epoch to epoch."""

    @property
    def uses_epochs(self) -> bool:
        """Whether the learning rates depend on the trial's number of epochs.

        They do if a subclass defines `lr_of_epoch`. Such a trial is not extended to more epochs:
        its first epochs would be others.
        """
        return type(self).lr_of_epoch is not Schedule.lr_of_epoch

    @abstractmethod
    def next_lr(self, initial_lr: float, val_losses: list[float]) -> float:
        """Return the learning rate of the next epoch.

        `initial_lr`: that of the optimizer; `val_losses`: the validation losses of the epochs so
        far. The result must depend on nothing else: a resumed trial continues its schedule without
        any saved state.
        """

    def lr_of_epoch(
        self,
        initial_lr: float,
        val_losses: list[float],
        epochs: int,  # noqa: ARG002
    ) -> float:
        """Return the learning rate of the next epoch of a trial with so many epochs.

        By default that of `next_lr`, which does not depend on their number.
        """
        return self.next_lr(initial_lr, val_losses)

    def validate_lr(self, initial_lr: float) -> None:
        """Raise ValueError if the schedule does not fit the optimizer's learning rate."""


class FixedLengthSchedule(Schedule):
    """A schedule for a fixed number of epochs. A subclass defines `lr_of_epoch`."""

    @override
    def next_lr(self, initial_lr: float, val_losses: list[float]) -> float:
        raise TypeError(f"{self.name} needs the number of epochs: call lr_of_epoch")

    @override
    @abstractmethod
    def lr_of_epoch(self, initial_lr: float, val_losses: list[float], epochs: int) -> float:
        """Return the learning rate of the next epoch of a trial with so many epochs."""


def lr_with_warmup(
    schedule: Schedule,
    initial_lr: float,
    val_losses: list[float],
    epochs: int,
    warmup_epochs: int = 0,
) -> float:
    """Return the learning rate of the next epoch.

    In warm-up epoch e of w it is e / (w + 1) times `initial_lr`. The schedule starts after the
    warm-up, with the epochs that remain.
    """
    epoch = len(val_losses) + 1
    if epoch <= warmup_epochs:
        return initial_lr * epoch / (warmup_epochs + 1)
    return schedule.lr_of_epoch(initial_lr, val_losses[warmup_epochs:], epochs - warmup_epochs)


class Constant(Schedule):
    """The same learning rate in all epochs."""

    @override
    def next_lr(self, initial_lr: float, val_losses: list[float]) -> float:
        return initial_lr


class ReduceOnPlateau(Schedule):
    """Reduces the learning rate when val_loss has stopped improving.

    After more than `patience` epochs without an improvement, it is multiplied by `factor`.

    The rule of torch.optim.lr_scheduler.ReduceLROnPlateau with eps = 0, computed from the history.
    """

    factor: Annotated[float, Gt(0), Lt(1)] = 0.5
    """Factor by which the learning rate is multiplied; in (0, 1)."""
    patience: NonNegativeInt = 2
    """Number of epochs without an improvement that are accepted before the learning rate is
    reduced; at least 0."""
    threshold: NonNegativeFloat = 1e-4
    """Smallest relative improvement: an epoch improves if its loss is below best * (1 - threshold).
    At least 0."""
    min_lr: NonNegativeFloat = 0.0
    """Smallest learning rate to which the schedule reduces; at least 0."""

    @override
    def next_lr(self, initial_lr: float, val_losses: list[float]) -> float:
        lr = initial_lr
        best = math.inf
        bad_epochs = 0
        for loss in val_losses:
            if loss < best * (1 - self.threshold):
                best = loss
                bad_epochs = 0
            else:
                bad_epochs += 1
            if bad_epochs > self.patience:
                # The outer minimum: PyTorch does not raise the learning rate to a `min_lr` above
                # it.
                lr = min(lr, max(lr * self.factor, self.min_lr))
                bad_epochs = 0
        return lr


class StepDecay(Schedule):
    """Multiplies the learning rate by `factor` after every `every` epochs.

    As torch.optim.lr_scheduler.StepLR.
    """

    every: PositiveInt = 10
    """Epochs with the same learning rate; at least 1."""
    factor: Annotated[float, Gt(0), Lt(1)] = 0.1
    """Factor by which the learning rate is multiplied; in (0, 1). PyTorch's default."""

    @override
    def next_lr(self, initial_lr: float, val_losses: list[float]) -> float:
        return initial_lr * self.factor ** (len(val_losses) // self.every)


class ExponentialDecay(Schedule):
    """Multiplies the learning rate by `factor` after every epoch.

    As torch.optim.lr_scheduler.ExponentialLR.
    """

    factor: Annotated[float, Gt(0), Lt(1)] = 0.95
    """Factor by which the learning rate is multiplied; in (0, 1)."""

    @override
    def next_lr(self, initial_lr: float, val_losses: list[float]) -> float:
        return initial_lr * self.factor ** len(val_losses)


class Cosine(FixedLengthSchedule):
    """Half a cosine from the optimizer's learning rate in the first epoch to `min_lr`.

    As torch.optim.lr_scheduler.CosineAnnealingLR with T_max = epochs (Loshchilov & Hutter 2017,
    without restarts): `min_lr` would be reached after the last epoch. It depends on the number of
    epochs, so that a trial cannot be extended to more.
    """

    min_lr: NonNegativeFloat = 0.0
    """Learning rate at the end of the cosine; at least 0 and below the optimizer's."""

    @override
    def validate_lr(self, initial_lr: float) -> None:
        if self.min_lr >= initial_lr:
            raise ValueError(
                f"schedule.min_lr = {self.min_lr:g}: should be below optimizer.lr = {initial_lr:g}"
            )

    @override
    def lr_of_epoch(self, initial_lr: float, val_losses: list[float], epochs: int) -> float:
        return _cosine(initial_lr, self.min_lr, len(val_losses) / epochs)


class OneCycle(FixedLengthSchedule):
    """Rises to the optimizer's learning rate and falls again, both as half a cosine.

    As torch.optim.lr_scheduler.OneCycleLR (Smith & Topin 2018) with one step per epoch and constant
    momentum; the optimizer's learning rate is the largest (`max_lr`). It depends on the number of
    epochs, so that a trial cannot be extended to more.
    """

    rising_share: Annotated[float, Gt(0), Lt(1)] = 0.3
    """Share of the epochs in which the learning rate rises; in (0, 1). PyTorch's `pct_start`."""
    start_factor: Annotated[float, Gt(0), Le(1)] = 0.04
    """Learning rate of the first epoch as a share of the largest; in (0, 1]. PyTorch's default: its
    `div_factor` 25."""
    end_factor: Annotated[float, Gt(0), Le(1)] = 0.01
    """Learning rate of the last epoch as a share of the largest; in (0, 1]. PyTorch, which changes
    the rate from step to step, ends near 0: here, a whole epoch would change nothing."""

    @override
    def lr_of_epoch(self, initial_lr: float, val_losses: list[float], epochs: int) -> float:
        epoch = len(val_losses)  # from 0
        peak = self.rising_share * epochs - 1
        if epoch <= peak:
            share = 1.0
            if peak > 0:
                share = epoch / peak
            return _cosine(initial_lr * self.start_factor, initial_lr, share)
        share = (epoch - peak) / (epochs - 1 - peak)
        return _cosine(initial_lr, initial_lr * self.end_factor, share)


def _cosine(start: float, end: float, share: float) -> float:
    """The value of half a cosine from `start` to `end`; `share`: of the way, in [0, 1]."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
