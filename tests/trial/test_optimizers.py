"""Optimizers: each decreases a loss, and passes all its parameters to PyTorch's own optimizer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError

from cae.trial import torch_compat
from cae.trial.optimizers import SGD, Adam, Optimizer, Parameters, RMSprop

BUILT_IN = [component for component in Optimizer.registry.values() if component.is_builtin()]


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
