"""Learning-rate schedules: PyTorch's learning rates, computed from the history alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.optim import lr_scheduler
from typing_extensions import override

from cae.trial.config import Trial
from cae.trial.schedules import (
    Constant,
    Cosine,
    ExponentialDecay,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    lr_with_warmup,
)

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


@pytest.mark.parametrize("component", [item for item in BUILT_IN if item is not OneCycle])
def test_the_first_epoch_has_the_learning_rate_of_the_optimizer(component: type[Schedule]) -> None:
    assert component().lr_of_epoch(0.123, [], 10) == 0.123


def learning_rates(schedule: Schedule, epochs: int, warmup_epochs: int = 0) -> list[float]:
    losses = [1.0] * epochs
    return [
        lr_with_warmup(schedule, 0.1, losses[:epoch], epochs, warmup_epochs)
        for epoch in range(epochs)
    ]


def torch_rates(create: Callable[[torch.optim.Optimizer], Any], epochs: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    schedule = create(optimizer)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "create"),
    [
        (StepDecay(every=3, factor=0.5), lambda o: lr_scheduler.StepLR(o, 3, 0.5)),
        (ExponentialDecay(factor=0.8), lambda o: lr_scheduler.ExponentialLR(o, 0.8)),
        (Cosine(), lambda o: lr_scheduler.CosineAnnealingLR(o, 11)),
        (Cosine(min_lr=0.01), lambda o: lr_scheduler.CosineAnnealingLR(o, 11, 0.01)),
        (
            OneCycle(),
            lambda o: lr_scheduler.OneCycleLR(
                o, 0.1, total_steps=12, final_div_factor=4, cycle_momentum=False
            ),
        ),
        (
            OneCycle(rising_share=0.5, start_factor=0.1, end_factor=0.05),
            lambda o: lr_scheduler.OneCycleLR(
                o,
                0.1,
                total_steps=12,
                pct_start=0.5,
                div_factor=10,
                final_div_factor=2,
                cycle_momentum=False,
            ),
        ),
    ],
    ids=range(6),
)
def test_a_schedule_follows_that_of_torch(
    schedule: Schedule, create: Callable[[torch.optim.Optimizer], Any]
) -> None:
    epochs = 12 if isinstance(schedule, OneCycle) else 11
    assert learning_rates(schedule, epochs) == pytest.approx(torch_rates(create, epochs), rel=1e-9)


def test_a_warm_up_precedes_any_schedule() -> None:
    def create(optimizer: torch.optim.Optimizer) -> Any:
        warm_up = lr_scheduler.LinearLR(optimizer, 1 / 4, 1.0, 3)
        cosine = lr_scheduler.CosineAnnealingLR(optimizer, 8)
        return lr_scheduler.SequentialLR(optimizer, [warm_up, cosine], [3])

    expected = torch_rates(create, 11)
    assert expected[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert learning_rates(Cosine(), 11, warmup_epochs=3) == pytest.approx(expected, rel=1e-9)


def test_losses_of_the_warm_up_do_not_count_for_the_schedule() -> None:
    schedule = ReduceOnPlateau(patience=0, factor=0.5)
    rates = learning_rates(schedule, 6, warmup_epochs=2)
    assert rates[2:] == learning_rates(schedule, 4)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
@pytest.mark.parametrize("component", BUILT_IN)
def test_the_rates_of_short_trials_are_positive(component: type[Schedule], epochs: int) -> None:
    for warmup_epochs in range(6):
        for rate in learning_rates(component(), epochs, warmup_epochs):
            assert 0 < rate <= 0.1


def test_a_schedule_uses_the_number_of_epochs_if_it_defines_the_rate_by_it(trial: Trial) -> None:
    class HalfwayDrop(Schedule):
        @override
        def next_lr(self, initial_lr: float, val_losses: list[float]) -> float:
            return initial_lr

        @override
        def lr_of_epoch(self, initial_lr: float, val_losses: list[float], epochs: int) -> float:
            return initial_lr / (1 + 2 * len(val_losses) // epochs)

    Schedule.registry.pop(HalfwayDrop.name)
    assert trial.model_copy(update={"schedule": HalfwayDrop()}).history_depends_on_epochs(9)
    using = {component.name for component in BUILT_IN if component().uses_epochs}
    assert using == {"cosine", "one_cycle"}


def test_one_cycle_has_no_epoch_that_changes_nothing() -> None:
    with pytest.raises(ValidationError, match="end_factor"):
        OneCycle(end_factor=0.0)
