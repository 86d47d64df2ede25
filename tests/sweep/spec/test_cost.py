"""The cost of a plan: a line over the operations of a step, fitted to a few timed networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae.sweep.engine import session
from cae.sweep.places.base import Resources
from cae.sweep.spec import cost
from cae.sweep.spec.plan import Plan
from cae.sweep.spec.planned_trial import PlannedTrial

TWO_SLOTS = Resources(cpus=2, gpus=0, cpus_per_trial=1, gpus_per_trial=0)


@pytest.fixture
def plan_of(sweep_file: Callable[..., Path]) -> Callable[..., Plan]:
    def make(space: str, **options: Any) -> Plan:
        selection = session.Selection(
            sweep_file(space, **options), Path("run"), "full", {}, None, None
        )
        return session.prepare(selection).plan

    return make


def test_a_line_is_fitted_to_work_and_seconds() -> None:
    seconds = cost.fit_line([(10, 2.0), (20, 3.0), (30, 4.0)])
    assert seconds(40) == pytest.approx(5)
    assert seconds(5) == pytest.approx(1.5)
    assert seconds(-20) == 1.0, "at least half of the smallest time"


def test_steps_that_all_take_as_long_cost_the_same_however_small() -> None:
    """As on a GPU, where Python needs as long to start the kernels of every network."""
    seconds = cost.fit_line([(1, 0.001), (100, 0.001), (1000, 0.001)])
    assert seconds(1) == pytest.approx(0.001)
    assert seconds(500) == pytest.approx(0.001)


def test_one_measured_work_is_the_time_of_all() -> None:
    assert cost.fit_line([(5, 1.0), (5, 3.0)])(50) == 2.0


def test_an_epoch_has_whole_steps_and_the_validation(
    plan_of: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step takes 1 ms and every validation image 10 ms."""

    def timing(planned: PlannedTrial, resources: Resources) -> cost._Timing:
        del resources
        megaflops = planned.sizes["megaflops"]
        return cost._Timing(megaflops * planned.trial.batch_size, 0.001, megaflops, 0.01)

    monkeypatch.setattr(cost, "_time_network", timing)
    plan = plan_of("{'batch_size': tune.grid_search([7, 32])}", epochs=3)
    estimated = cost.estimate(plan, TWO_SLOTS)
    seconds: dict[int, float] = {}
    for planned, epoch_seconds in zip(plan.trials, estimated.seconds_per_epoch, strict=True):
        seconds[planned.trial.batch_size] = epoch_seconds
    assert seconds == pytest.approx({7: 14 * 0.001 + 0.32, 32: 3 * 0.001 + 0.32})
    work = 3 * sum(seconds.values())
    assert estimated.seconds_without_stopping == pytest.approx(cost.START_SECONDS + work / 2)


def test_networks_that_take_the_same_time_are_timed_once(
    plan_of: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[int] = []

    def timing(planned: PlannedTrial, resources: Resources) -> cost._Timing:
        del resources
        timed.append(planned.trial.batch_size)
        return cost._Timing(1.0, 0.001, 1.0, 0.01)

    monkeypatch.setattr(cost, "_time_network", timing)
    plan = plan_of(
        "{'batch_size': tune.grid_search([7, 32]), 'seed': tune.grid_search([0, 1]), "
        "'epochs': tune.grid_search([2, 3])}"
    )
    assert len(plan.trials) == 8
    estimated = cost.estimate(plan, TWO_SLOTS)
    assert sorted(timed) == [7, 32]
    assert estimated.probed == 2


def test_networks_are_timed_as_they_are_trained(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(
        "{'task': tune.grid_search(['reconstruct', 'denoise']), "
        "'optimizer': tune.grid_search(['adam', 'sgd'])}"
    )
    estimated = cost.estimate(plan, TWO_SLOTS)
    assert estimated.errors == {}
    assert all(0 < seconds < math.inf for seconds in estimated.seconds_per_epoch)
