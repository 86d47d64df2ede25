"""Optimizers go down a slope; the learning rate follows torch's own rule, from the history alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cae.trial import optimizers
from cae.trial.optimizers import (
    SGD,
    Adam,
    Constant,
    Optimizer,
    Parameters,
    ReduceOnPlateau,
    RMSprop,
    Schedule,
)

BUILT_IN = [part for part in Optimizer.registry.values() if part.__module__ == optimizers.__name__]
SCHEDULES = [part for part in Schedule.registry.values() if part.__module__ == optimizers.__name__]

losses = st.lists(
    st.one_of(
        st.floats(1e-6, 10), st.sampled_from([0.5, 0.49999, 0.1, float("nan"), float("inf")])
    ),
    max_size=25,
)


@pytest.mark.parametrize(
    "part",
    [
        *(part() for part in BUILT_IN),
        SGD(momentum=0.9, nesterov=True),
        RMSprop(momentum=0.5),
        Adam(weight_decay=0.1),
    ],
)
def test_a_quadratic_loss_falls_in_every_step_of_the_first_ten(part: Optimizer) -> None:
    point = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = part.build([point])
    fallen = []
    for _ in range(10):
        loss = point.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        fallen.append(loss.item())
    assert fallen == sorted(fallen, reverse=True)
    assert fallen[-1] < fallen[0]


@pytest.mark.parametrize(
    ("part", "same"),
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
def test_every_parameter_arrives_in_torchs_own_optimizer(
    part: Optimizer, same: Callable[[Parameters], torch.optim.Optimizer]
) -> None:
    points = [torch.nn.Parameter(torch.tensor([3.0, -2.0])) for _ in range(2)]
    both = part.build([points[0]]), same([points[1]])
    for point, optimizer in zip(points, both, strict=True):
        for _ in range(5):
            optimizer.zero_grad()
            point.pow(4).sum().backward()
            optimizer.step()
    torch.testing.assert_close(*points)


@settings(deadline=None, max_examples=120)
@given(
    losses,
    st.floats(1e-6, 1),
    st.floats(0.05, 0.95),
    st.integers(0, 4),
    st.sampled_from([0.0, 1e-4, 0.1, 1.0, 2.0]),
    st.sampled_from([0.0, 1e-4, 0.5]),
)
def test_the_plateau_rule_is_torchs_own(
    history: list[float], lr: float, factor: float, patience: int, threshold: float, min_lr: float
) -> None:
    """A `min_lr` above the learning rate included, which torch does not climb to. (Its `eps`, a shortcut, is 0 here.)"""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, "min", factor, patience, threshold, threshold_mode="rel", min_lr=min_lr, eps=0
    )
    ours = ReduceOnPlateau(factor=factor, patience=patience, threshold=threshold, min_lr=min_lr)
    for epoch, loss in enumerate(history, 1):
        torchs.step(loss)
        assert ours.next_lr(lr, history[:epoch]) == optimizer.param_groups[0]["lr"]


def test_a_constant_learning_rate_stays() -> None:
    assert Constant().next_lr(0.3, [1.0] * 50) == 0.3


@pytest.mark.parametrize("part", SCHEDULES)
def test_the_first_epoch_has_the_optimizers_own_learning_rate(part: type[Schedule]) -> None:
    assert part().next_lr(0.123, []) == 0.123


def test_nesterov_without_momentum_is_idle() -> None:
    assert set(SGD(nesterov=True).inactive_parameters()) == {"nesterov"}
    assert SGD(momentum=0.9).inactive_parameters() == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": 0.0},
        {"lr": -1.0},
        {"lr": float("inf")},
        {"weight_decay": -1.0},
        {"learning_rate": 1.0},
        {"lr": "1"},
    ],
)
@pytest.mark.parametrize("part", BUILT_IN)
def test_values_out_of_range_are_refused(part: type[Optimizer], wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        part(**wrong)
