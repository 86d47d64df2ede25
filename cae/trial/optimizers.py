"""Optimizers: the rules by which gradients change the weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated

import torch
from annotated_types import Ge, Lt
from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from cae.trial.component import Component

Fraction = Annotated[float, Ge(0), Lt(1)]
Parameters = Iterable[torch.nn.Parameter]


class Optimizer(Component):
    """A kind of component: the rule by which gradients change the weights."""

    lr: PositiveFloat = 1e-3
    """Learning rate of the first epoch; above 0. Keras's and PyTorch's default."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty: this factor times the weights is added to the gradient. At least 0; 0: no
    penalty."""

    @abstractmethod
    def build(self, parameters: Parameters) -> torch.optim.Optimizer:
        """Return the optimizer of PyTorch for `parameters`, with the learning rate `lr`."""


class Adam(Optimizer):
    """Adam, as torch.optim.Adam.

    Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization".
    """

    beta1: Fraction = 0.9
    """Share of the running mean of the gradients that each step keeps; in [0, 1). The paper's
    default."""
    beta2: Fraction = 0.999
    """Share of the running mean of the squared gradients that each step keeps; in [0, 1). The
    paper's default."""
    eps: PositiveFloat = 1e-7
    """Number added to the denominator for stability; above 0. 1e-7 is Keras's default, 1e-8
    PyTorch's."""

    @override
    def build(self, parameters: Parameters) -> torch.optim.Optimizer:
        # fused: one call for all tensors. Separate calls take as long as a layer of networks as
        # small as these.
        return torch.optim.Adam(
            parameters, self.lr, (self.beta1, self.beta2), self.eps, self.weight_decay, fused=True
        )


class RMSprop(Optimizer):
    """RMSprop, as torch.optim.RMSprop.

    Hinton 2012, lecture 6e of "Neural Networks for Machine Learning".
    """

    alpha: Fraction = 0.9
    """Share of the running mean of the squared gradients that each step keeps; in [0, 1). 0.9 is
    Keras's default (`rho`), 0.99 PyTorch's."""
    eps: PositiveFloat = 1e-7
    """Number added to the denominator for stability; above 0. 1e-7 is Keras's default, 1e-8
    PyTorch's."""
    momentum: Fraction = 0.0
    """Share of the previous step that is added to each step; in [0, 1)."""

    @override
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
    """Stochastic gradient descent, with momentum if `momentum` is above 0, as torch.optim.SGD."""

    lr: PositiveFloat = 1e-2
    """Learning rate of the first epoch; above 0. Keras's default."""
    momentum: Fraction = 0.0
    """Share of the previous step that is added to each step; in [0, 1)."""
    nesterov: bool = False
    """Whether to use Nesterov momentum (Sutskever et al. 2013). Has no effect without
    `momentum`."""

    @override
    def inactive_parameters(self) -> dict[str, str]:
        if self.momentum:
            return {}
        return {"nesterov": "optimizer.momentum is 0"}

    @override
    def build(self, parameters: Parameters) -> torch.optim.Optimizer:
        dampening = 0.0
        nesterov = self.nesterov and self.momentum > 0  # torch refuses Nesterov without momentum
        return torch.optim.SGD(
            parameters, self.lr, self.momentum, dampening, self.weight_decay, nesterov, fused=True
        )
