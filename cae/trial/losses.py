"""Binary cross-entropy, in the time that its arithmetic takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cae.trial import torch_compat

LEAST_LOG = -100.0
"""As in torch.nn.functional.binary_cross_entropy: an output of exactly 0 or 1 costs this much, not infinity."""


class _BinaryCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(output, target)
        light, dark = output.log().clamp_(min=LEAST_LOG), (-output).log1p_().clamp_(min=LEAST_LOG)
        return -torch.lerp(dark, light, target).mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        output, target = ctx.saved_tensors
        return torch_compat.binary_cross_entropy_backward(gradients[0], output, target), None


def binary_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """-(t log o + (1 - t) log (1 - o)), mean over everything. `output`, `target`: equal shapes, in [0, 1]. Differentiable in `output`.

    The values and the gradients of torch.nn.functional.binary_cross_entropy, whose own forward pass takes its logarithms one at a
    time: 1 ms of a step of 20. And where that refuses an output that is NaN (on a GPU it takes the process with it), the loss is NaN.
    """
    loss: Tensor = _BinaryCrossEntropy.apply(output, target)
    return loss
