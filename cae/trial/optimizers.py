"""Optimizers: the rules by which gradients change the weights."""

from __future__ import annotations

import functools
import inspect
import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

import torch
from annotated_types import Ge, Lt
from pydantic import AfterValidator, ConfigDict, NonNegativeFloat, PositiveFloat, model_validator
from typing_extensions import override

from cae.trial import torch_compat
from cae.trial.component import Component
from cae.trial.messages import nearest

Fraction = Annotated[float, Ge(0), Lt(1)]
Parameters = Iterable[torch.nn.Parameter]


class Optimizer(Component):
    """A kind of component: the rule by which gradients change the weights."""

    lr: PositiveFloat = 1e-3
    """Learning rate that the schedule starts from; above 0. Keras's and PyTorch's default."""
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


class AdamW(Optimizer):
    """Adam with decoupled weight decay, as torch.optim.AdamW.

    Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization".
    """

    weight_decay: NonNegativeFloat = 1e-2
    """Decoupled weight decay: each step multiplies the weights by 1 - lr * weight_decay. At least
    0. PyTorch's default."""
    beta1: Fraction = 0.9
    """Share of the running mean of the gradients that each step keeps; in [0, 1)."""
    beta2: Fraction = 0.999
    """Share of the running mean of the squared gradients that each step keeps; in [0, 1)."""
    eps: PositiveFloat = 1e-8
    """Number added to the denominator for stability; above 0. PyTorch's default."""

    @override
    def build(self, parameters: Parameters) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
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
    """Learning rate that the schedule starts from; above 0. Keras's default."""
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


IMPLEMENTATION_ARGUMENTS = ("foreach", "fused", "capturable", "differentiable")
"""Arguments of torch.optim that select an implementation of the same rule: chosen here."""
UNSUITABLE = {
    "LBFGS": "it evaluates the loss several times per step",
    "Muon": "it accepts matrices only, and convolutions have kernels of four dimensions",
    "Rprop": "its step sizes do not follow the learning rate of the epoch",
    "SparseAdam": "it accepts sparse gradients only",
}
"""Optimizers of torch.optim that cannot train these networks, with the reason."""
FUSED = ("Adam", "AdamW", "SGD")
"""Optimizers of torch.optim with a fused implementation on CPUs and GPUs."""


def torch_optimizers() -> dict[str, type[torch.optim.Optimizer]]:
    """Return the optimizers of torch.optim that can train these networks, by name."""
    optimizers: dict[str, type[torch.optim.Optimizer]] = {}
    for name, value in vars(torch.optim).items():
        is_optimizer = inspect.isclass(value) and issubclass(value, torch.optim.Optimizer)
        if is_optimizer and value is not torch.optim.Optimizer and name not in UNSUITABLE:
            optimizers[name] = value
    return dict(sorted(optimizers.items()))


@functools.cache
def _defaults(name: str) -> dict[str, Any]:
    """The arguments of an optimizer of torch.optim that a user may set, beside `lr`."""
    left_out = ("params", "lr", "maximize", *IMPLEMENTATION_ARGUMENTS)
    arguments = inspect.signature(torch_optimizers()[name]).parameters
    return {key: value.default for key, value in arguments.items() if key not in left_out}


def _like_default(name: str, value: object, default: object) -> object:
    """The value with the type of PyTorch's default. Raises ValueError if it has another one."""
    if isinstance(default, bool):
        if isinstance(value, bool):
            return value
        raise ValueError(f"optimizer.{name} = {value!r}: should be True or False")
    if isinstance(default, int | float):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and math.isfinite(value):  # type: ignore[arg-type]
            return float(value)  # type: ignore[arg-type]
        raise ValueError(f"optimizer.{name} = {value!r}: should be a finite number")
    if isinstance(default, tuple):
        if not isinstance(value, tuple | list) or len(value) != len(default):
            raise ValueError(f"optimizer.{name} = {value!r}: should be like {default!r}")
        items: list[object] = []
        for item, default_item in zip(value, default, strict=True):
            items.append(_like_default(name, item, default_item))
        return tuple(items)
    return value


def _validate_algorithm(name: str) -> str:
    if name in UNSUITABLE:
        raise ValueError(f"cannot train these networks: {UNSUITABLE[name]}")
    available = torch_optimizers()
    if name not in available:
        raise ValueError(f"is not an optimizer of torch.optim; {nearest(name, list(available))}")
    return name


class TorchOptimizer(Optimizer):
    """Any optimizer of torch.optim, by its name and with the names of its arguments.

    TorchOptimizer(algorithm="NAdam", lr=2e-3, momentum_decay=4e-3, betas=(0.9, 0.99)). Arguments
    are parameters like all others: `optimizer.momentum_decay` in a search space. Their defaults
    are PyTorch's. An optimizer that CUDA graphs do not support has plain steps on a GPU.
    """

    model_config = ConfigDict(extra="allow")

    algorithm: Annotated[str, AfterValidator(_validate_algorithm)]
    """Name of the class in torch.optim: Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, ASGD,
    NAdam, RAdam, RMSprop, SGD."""
    lr: PositiveFloat
    """Learning rate that the schedule starts from; above 0. Without a default: those of PyTorch
    differ."""
    weight_decay: NonNegativeFloat | None = None  # type: ignore[assignment]
    """Weight decay as the optimizer defines it; at least 0. None: its default in PyTorch."""

    @classmethod
    @override
    def parameter_names(cls) -> list[str]:
        names = dict.fromkeys(cls.model_fields)
        for algorithm in torch_optimizers():
            names |= dict.fromkeys(_defaults(algorithm))
        return list(names)

    @classmethod
    @override
    def parameter_default(cls, name: str, parameters: Mapping[str, object]) -> object:
        """That of PyTorch for an argument of the selected optimizer; None if it has none."""
        if name in cls.model_fields:
            return super().parameter_default(name, parameters)
        algorithm = parameters.get("algorithm")
        if algorithm not in torch_optimizers():
            return None
        return _defaults(str(algorithm)).get(name)

    @override
    def parameters(self) -> dict[str, Any]:
        """Arguments with their defaults are left out: they change nothing."""
        parameters = super().parameters()
        defaults = _defaults(self.algorithm)
        for name, value in (self.model_extra or {}).items():
            if value != defaults[name]:
                parameters[name] = value
        return parameters

    @model_validator(mode="after")
    def _validate_arguments(self) -> Self:
        defaults = _defaults(self.algorithm)
        for name, value in self._arguments().items():
            if name in IMPLEMENTATION_ARGUMENTS:
                raise ValueError(
                    f"optimizer.{name}: is chosen by cae-sweep; it does not change the rule"
                )
            if name not in defaults:
                raise ValueError(
                    f"optimizer.{name} is not an argument of torch.optim.{self.algorithm}; "
                    f"{nearest(name, list(defaults))}"
                )
            if self.model_extra and name in self.model_extra:
                self.model_extra[name] = _like_default(name, value, defaults[name])
        try:
            self.build([torch.nn.Parameter(torch.zeros(1))])
        except Exception as error:  # whatever PyTorch raises for a wrong type or value
            settings = ", ".join(f"{name} = {value!r}" for name, value in self._arguments().items())
            raise ValueError(
                f"torch.optim.{self.algorithm} does not accept optimizer.lr = {self.lr!r}, "
                f"{settings}: {error}"
            ) from None
        return self

    def _arguments(self) -> Mapping[str, Any]:
        """The arguments that are set, beside `lr`."""
        arguments = dict(self.model_extra or {})
        if self.weight_decay is not None:
            arguments["weight_decay"] = self.weight_decay
        return arguments

    @override
    def build(self, parameters: Parameters) -> torch.optim.Optimizer:
        torch_compat.skip_compiler_import()
        optimizer_class: Any = torch_optimizers()[self.algorithm]
        arguments = dict(self._arguments())
        if self.algorithm in FUSED:
            arguments["fused"] = True
        elif "foreach" in inspect.signature(optimizer_class).parameters:
            arguments["foreach"] = True
        optimizer: torch.optim.Optimizer = optimizer_class(parameters, lr=self.lr, **arguments)
        return optimizer
