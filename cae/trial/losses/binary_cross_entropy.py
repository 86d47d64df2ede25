"""Binary cross-entropy with a faster forward pass than PyTorch's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cae.trial import torch_compat

MIN_LOG = -100.0
"""As in torch.nn.functional.binary_cross_entropy: the logarithm of an output of exactly 0 or 1."""


class _BinaryCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(output, target)
        log_output = output.log().clamp_(min=MIN_LOG)
        log_complement = (-output).log1p_().clamp_(min=MIN_LOG)
        return -torch.lerp(log_complement, log_output, target).mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        output, target = ctx.saved_tensors
        gradient = torch_compat.binary_cross_entropy_backward(gradients[0], output, target)
        return gradient, None


def binary_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """-(t log o + (1 - t) log (1 - o)), mean over everything; differentiable in `output`.

    `output` and `target` have equal shapes, with values in [0, 1]. Values and gradients are those
    of torch.nn.functional.binary_cross_entropy, whose forward pass takes its logarithms one at a
    time: 1 ms of a step of 20 ms. For an output that is NaN the loss is NaN; PyTorch raises an
    error (on a GPU it ends the process).
    """
    loss: Tensor = _BinaryCrossEntropy.apply(output, target)
    return loss
