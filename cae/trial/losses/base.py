"""The base class of all losses."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from cae.trial.component import Component


class Loss(Component):
    """A kind of component: a measure of the difference between outputs and targets.

    A class of a sweep file is used like a built-in one: `task.loss = 'charbonnier'` is the class
    Charbonnier, and its parameters are written behind its name: `charbonnier(eps=0.01)`.
    """

    unit: ClassVar[str] = ""
    """Unit of the loss, for tables and figures."""
    needs_unit_outputs: ClassVar[bool] = False
    """Whether outputs have to be in [0, 1]."""
    needs_unit_targets: ClassVar[bool] = False
    """Whether targets have to be in [0, 1]."""
    is_zero_at_target: ClassVar[bool] = True
    """Whether the loss of a perfect output is 0."""

    @abstractmethod
    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss: a scalar, the mean over images, channels and pixels.

        `output` and `target`: B x C x H x W, float32.
        """

    def smallest_side(self) -> int:
        """Return the smallest height and width of an image that the loss accepts."""
        return 1
