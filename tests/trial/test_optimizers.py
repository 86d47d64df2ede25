"""Optimizers: each decreases a loss, and passes all its parameters to PyTorch's own optimizer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError

from cae.trial import torch_compat
from cae.trial.checkpoint import optimizer_tensors, restore_optimizer
from cae.trial.config import Trial
from cae.trial.messages import ConfigError
from cae.trial.optimizers import (
    SGD,
    Adam,
    AdamW,
    Optimizer,
    Parameters,
    RMSprop,
    TorchOptimizer,
    torch_optimizers,
)

BUILT_IN = [
    component
    for component in Optimizer.registry.values()
    if component.is_builtin() and component is not TorchOptimizer
]


def new_point() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor([3.0, -2.0]))


@pytest.mark.parametrize(
    "settings",
    [
        *(component() for component in BUILT_IN),
        SGD(momentum=0.9, nesterov=True),
        RMSprop(momentum=0.5),
        Adam(weight_decay=0.1),
    ],
)
def test_each_of_ten_steps_decreases_a_quadratic_loss(settings: Optimizer) -> None:
    point = new_point()
    optimizer = settings.build([point])
    losses = []
    for _ in range(10):
        loss = point.square().sum()
        optimizer.zero_grad()
        loss.backward()
        torch_compat.optimizer_step(optimizer)
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("settings", "build_torch_optimizer"),
    [
        (
            Adam(lr=0.1, beta1=0.8, beta2=0.9, eps=1e-3, weight_decay=0.1),
            lambda p: torch.optim.Adam(p, 0.1, (0.8, 0.9), 1e-3, 0.1),
        ),
        (
            RMSprop(lr=0.1, alpha=0.8, eps=1e-3, momentum=0.5, weight_decay=0.1),
            lambda p: torch.optim.RMSprop(p, 0.1, 0.8, 1e-3, 0.1, 0.5),
        ),
        (
            SGD(lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
            lambda p: torch.optim.SGD(p, 0.1, 0.9, 0, 0.1, True),
        ),
        (
            AdamW(lr=0.1, beta1=0.8, beta2=0.9, eps=1e-3, weight_decay=0.1),
            lambda p: torch.optim.AdamW(p, 0.1, (0.8, 0.9), 1e-3, 0.1),
        ),
        (AdamW(lr=0.1), lambda p: torch.optim.AdamW(p, 0.1)),
        (
            TorchOptimizer(
                algorithm="NAdam", lr=0.1, weight_decay=0.1, betas=(0.8, 0.9), momentum_decay=0.1
            ),
            lambda p: torch.optim.NAdam(p, 0.1, (0.8, 0.9), weight_decay=0.1, momentum_decay=0.1),
        ),
        (
            TorchOptimizer(algorithm="Adadelta", lr=0.5, rho=0.8),
            lambda p: torch.optim.Adadelta(p, 0.5, 0.8),
        ),
    ],
)
def test_every_parameter_is_passed_to_torch(
    settings: Optimizer, build_torch_optimizer: Callable[[Parameters], torch.optim.Optimizer]
) -> None:
    point = new_point()
    expected_point = new_point()
    optimizers = {
        point: settings.build([point]),
        expected_point: build_torch_optimizer([expected_point]),
    }
    for parameter, optimizer in optimizers.items():
        for _ in range(5):
            optimizer.zero_grad()
            parameter.pow(4).sum().backward()
            optimizer.step()
    torch.testing.assert_close(point, expected_point)


def test_nesterov_without_momentum_is_inactive() -> None:
    assert set(SGD(nesterov=True).inactive_parameters()) == {"nesterov"}
    assert SGD(momentum=0.9).inactive_parameters() == {}


@pytest.mark.parametrize(
    "invalid",
    [
        {"lr": 0.0},
        {"lr": -1.0},
        {"lr": float("inf")},
        {"weight_decay": -1.0},
        {"learning_rate": 1.0},
        {"lr": "1"},
    ],
)
@pytest.mark.parametrize("component", BUILT_IN)
def test_values_out_of_range_are_errors(
    component: type[Optimizer], invalid: dict[str, float]
) -> None:
    with pytest.raises(ValidationError):
        component(**invalid)


# Optimizers of torch.optim by their names


@pytest.mark.parametrize("algorithm", torch_optimizers())
def test_each_torch_optimizer_trains_and_resumes_bit_for_bit(algorithm: str) -> None:
    settings = TorchOptimizer(algorithm=algorithm, lr=1e-2)
    starts = [torch.randn(3, 2, 3, 3), torch.randn(5)]

    def train(optimizer: torch.optim.Optimizer, points: list[torch.nn.Parameter]) -> float:
        for _ in range(3):
            optimizer.zero_grad()
            loss = torch.stack([point.square().sum() for point in points]).sum()
            loss.backward()
            torch_compat.optimizer_step(optimizer)
        return loss.item()

    points = [torch.nn.Parameter(start.clone()) for start in starts]
    optimizer = settings.build(points)
    first_loss = train(optimizer, points)
    resumed_points = [torch.nn.Parameter(point.detach().clone()) for point in points]
    resumed = settings.build(resumed_points)
    saved = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer).items()}
    restore_optimizer(resumed, saved)
    assert train(optimizer, points) == train(resumed, resumed_points) < first_loss
    for point, resumed_point in zip(points, resumed_points, strict=True):
        assert torch.equal(point, resumed_point)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"optimizer.algorithm": "NAdm"},
            "optimizer.algorithm = 'NAdm': is not an optimizer of torch.optim; did you mean NAdam?",
        ),
        (
            {"optimizer.algorithm": "LBFGS"},
            "optimizer.algorithm = 'LBFGS': cannot train these networks: it evaluates the loss "
            "several times per step",
        ),
        (
            {"optimizer.momentum_dekay": 0.1},
            "optimizer.momentum_dekay is not a parameter of optimizer = 'torch_optimizer'; "
            "did you mean optimizer.momentum_decay?",
        ),
        (
            {"optimizer.rho": 0.1},
            "optimizer.rho is not an argument of torch.optim.NAdam; available: betas, eps, "
            "weight_decay, momentum_decay, decoupled_weight_decay",
        ),
        (
            {"optimizer.momentum_decay": -1},
            "torch.optim.NAdam does not accept optimizer.lr = 0.1, momentum_decay = -1.0: "
            "Invalid momentum_decay value: -1.0",
        ),
        (
            {"optimizer.momentum_decay": float("nan")},
            "optimizer.momentum_decay = nan: should be a finite number",
        ),
        (
            {"optimizer.betas": 0.9},
            "optimizer.betas = 0.9: should be like (0.9, 0.999)",
        ),
        (
            {"optimizer.decoupled_weight_decay": 1},
            "optimizer.decoupled_weight_decay = 1: should be True or False",
        ),
    ],
)
def test_arguments_are_checked_against_the_signature(
    trial: Trial, changes: dict[str, object], message: str
) -> None:
    base = trial.override(
        {"optimizer": "torch_optimizer", "optimizer.algorithm": "NAdam", "optimizer.lr": 0.1}
    )
    with pytest.raises(ConfigError) as caught:
        base.override(changes)
    assert caught.value.messages == [message]


def test_the_implementation_is_not_a_parameter() -> None:
    with pytest.raises(ValidationError, match="is chosen by cae-sweep"):
        TorchOptimizer(algorithm="NAdam", lr=0.1, capturable=True)


def test_a_default_that_is_set_does_not_change_the_configuration() -> None:
    plain = TorchOptimizer(algorithm="NAdam", lr=0.1)
    same = TorchOptimizer(algorithm="NAdam", lr=0.1, momentum_decay=0.004, betas=(0.9, 0.999))
    other = TorchOptimizer(algorithm="NAdam", lr=0.1, momentum_decay=1)
    assert plain.parameters() == same.parameters()
    assert other.parameters()["momentum_decay"] == 1.0


def test_arguments_survive_the_flat_configuration(trial: Trial) -> None:
    changes = {"optimizer": "torch_optimizer", "optimizer.algorithm": "NAdam", "optimizer.lr": 0.1}
    changed = trial.override(changes | {"optimizer.betas": (0.8, 0.9)})
    flat = changed.flat()
    assert flat["optimizer.betas"] == [0.8, 0.9]
    assert changed.override({"optimizer.betas.2": 0.5}).flat()["optimizer.betas"] == [0.8, 0.5]
    assert changed.override({"seed": 1}).optimizer == changed.optimizer


def test_an_element_of_an_argument_changes_the_default_of_torch(trial: Trial) -> None:
    changes = {"optimizer": "torch_optimizer", "optimizer.algorithm": "NAdam", "optimizer.lr": 0.1}
    changed = trial.override(changes | {"optimizer.betas.1": 0.8})
    assert changed.flat()["optimizer.betas"] == [0.8, 0.999]
    with pytest.raises(ConfigError, match=r"optimizer\.momentum\.1 does not exist"):
        trial.override(changes | {"optimizer.momentum.1": 0.8})
