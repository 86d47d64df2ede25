"""Learning-rate schedules: the learning rate of each epoch, computed from the epochs before it."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, ClassVar

from annotated_types import Gt, Lt
from pydantic import NonNegativeFloat, NonNegativeInt
from typing_extensions import override

from cae.trial.component import Component


class Schedule(Component):
    """A kind of component: how the learning rate changes from epoch to epoch."""

    uses_epochs: ClassVar[bool] = False
    """Whether the learning rates depend on the trial's number of epochs. Such a trial is not
    extended to more epochs: its first epochs would be others."""

    @abstractmethod
    def next_lr(self, initial_lr: float, val_losses: list[float]) -> float:
        """Return the learning rate of the next epoch.

        `initial_lr`: the learning rate of the first epoch; `val_losses`: the validation losses of
        the epochs so far. The result must depend on nothing else: a resumed trial continues its
        schedule without any saved state.
        """


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
