"""Losses of single pixels and of their differences from their neighbours."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor
from typing_extensions import override

from cae.trial.losses.base import Loss
from cae.trial.losses.binary_cross_entropy import binary_cross_entropy


class Mse(Loss):
    """Mean squared error."""

    unit: ClassVar[str] = "squared pixel value"

    @override
    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(output, target)


class L1(Loss):
    """Mean absolute error."""

    unit: ClassVar[str] = "pixel value"

    @override
    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(output, target)


class Bce(Loss):
    """Mean binary cross-entropy in nats, of outputs in [0, 1] and targets in [0, 1]; its minimum is
    the entropy of the targets, not 0."""

    unit: ClassVar[str] = "nats"
    needs_unit_outputs: ClassVar[bool] = True
    needs_unit_targets: ClassVar[bool] = True
    is_zero_at_target: ClassVar[bool] = False

    @override
    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy(output, target)


class Huber(Loss):
    """Huber loss: half the squared error up to `delta`, then linear, as
    torch.nn.functional.huber_loss."""

    unit: ClassVar[str] = "squared pixel value"

    delta: PositiveFloat = 0.1
    """Absolute error, in units of the pixel range, from which the loss is linear; above 0. With
    PyTorch's default of 1 no error of a pixel in [0, 1] would be."""

    @override
    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(output, target, delta=self.delta)


class GradientDifference(Loss):
    """Mean absolute difference of the absolute image gradients (Mathieu et al. 2016, alpha = 1).

    The gradients are the differences of neighbours in a row and in a column; the two means are
    added. Outputs that are blurred have a large one.
    """

    unit: ClassVar[str] = "pixel value"

    @override
    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        rows = (output.diff(dim=-2).abs() - target.diff(dim=-2).abs()).abs().mean()
        columns = (output.diff(dim=-1).abs() - target.diff(dim=-1).abs()).abs().mean()
        return rows + columns

    @override
    def smallest_side(self) -> int:
        return 2
