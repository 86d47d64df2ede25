"""Learning-rate schedules: PyTorch's learning rates, computed from the history alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cae.trial.schedules import Constant, ReduceOnPlateau, Schedule

BUILT_IN = [component for component in Schedule.registry.values() if component.is_builtin()]

losses = st.lists(
    st.one_of(
        st.floats(1e-6, 10), st.sampled_from([0.5, 0.49999, 0.1, float("nan"), float("inf")])
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=120)
@given(
    losses,
    st.floats(1e-6, 1),
    st.floats(0.05, 0.95),
    st.integers(0, 4),
    st.sampled_from([0.0, 1e-4, 0.1, 1.0, 2.0]),
    st.sampled_from([0.0, 1e-4, 0.5]),
)
def test_reduce_on_plateau_follows_the_rule_of_torch(
    history: list[float], lr: float, factor: float, patience: int, threshold: float, min_lr: float
) -> None:
    """Also with a `min_lr` above the learning rate, to which PyTorch does not raise it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)
    torch_schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, "min", factor, patience, threshold, threshold_mode="rel", min_lr=min_lr, eps=0
    )
    schedule = ReduceOnPlateau(factor=factor, patience=patience, threshold=threshold, min_lr=min_lr)
    for epoch, loss in enumerate(history, 1):
        torch_schedule.step(loss)
        assert schedule.next_lr(lr, history[:epoch]) == optimizer.param_groups[0]["lr"]


def test_a_constant_learning_rate_stays_the_same() -> None:
    assert Constant().next_lr(0.3, [1.0] * 50) == 0.3


@pytest.mark.parametrize("component", BUILT_IN)
def test_the_first_epoch_has_the_learning_rate_of_the_optimizer(component: type[Schedule]) -> None:
    assert component().next_lr(0.123, []) == 0.123
