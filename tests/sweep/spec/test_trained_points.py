"""Trials inside a random search space count towards its samples."""

from __future__ import annotations

from typing import Any

import pytest
from ray import tune

from cae import ASHA, Sweep, Trial
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.spec.plan import Plan, make_plan
from tests.sweep.spec.test_matching import BASE, load

WIDE = {"optimizer.lr": tune.loguniform(1e-4, 1e-1)}
NARROW = {"optimizer.lr": tune.loguniform(1e-4, 3e-2)}


def plan_of(
    space: Any, records: dict[int, Record] | None = None, base: Trial = BASE, **options: Any
) -> Plan:
    settings = options.pop("settings", None)
    max_trials = options.pop("max_trials", None)
    sweep = Sweep(base=base, space=space, **({"samples": 12} | options))
    return make_plan(sweep, load, records=records, settings=settings, max_trials=max_trials)


def trained(plan: Plan, state: TrialState = TrialState.FINISHED) -> dict[int, Record]:
    """The records of the run after a plan was executed."""
    records = {planned.record.number: planned.record for planned in plan.trials if planned.record}
    records |= {record.number: record for record in plan.left}
    for planned in plan.trials:
        records[planned.number] = Record(
            number=planned.number,
            hash=planned.hash,
            config=planned.trial.flat(),
            axes=planned.axes,
            sizes=planned.sizes,
            state=state,
            epochs={1: {"val_loss": 0.1}},
            fingerprint=planned.fingerprint,
        )
    return records


def rates(plan: Plan) -> list[float]:
    return [planned.trial.optimizer.lr for planned in plan.trials]


@pytest.mark.parametrize("scheduler", [None, ASHA(grace_epochs=1)])
def test_trials_inside_a_narrowed_range_count(scheduler: ASHA | None) -> None:
    wide = plan_of(WIDE, scheduler=scheduler)
    inside = [lr for lr in rates(wide) if lr <= 3e-2]
    assert 0 < len(inside) < 12
    narrow = plan_of(NARROW, trained(wide), scheduler=scheduler)
    assert len(narrow.trials) == narrow.space_size == 12
    assert all(lr <= 3e-2 for lr in rates(narrow))
    assert sorted(inside) == sorted(
        planned.trial.optimizer.lr for planned in narrow.trials if planned.finished
    )
    again = plan_of(NARROW, trained(narrow), scheduler=scheduler)
    assert sorted(rates(again)) == sorted(rates(narrow))
    assert not again.remaining


def test_the_original_range_has_its_original_trials() -> None:
    wide = plan_of(WIDE)
    narrow = plan_of(NARROW, trained(wide))
    assert rates(plan_of(WIDE, trained(narrow))) == rates(wide)


def test_an_interrupted_sweep_has_the_same_trials_in_the_same_order() -> None:
    plan = plan_of(WIDE, scheduler=ASHA(grace_epochs=1))
    some = {number: record for number, record in trained(plan).items() if number % 3 == 0}
    assert rates(plan_of(WIDE, some, scheduler=ASHA(grace_epochs=1))) == rates(plan)


def test_more_samples_extend_and_fewer_are_the_first() -> None:
    plan = plan_of(WIDE)
    assert rates(plan_of(WIDE, trained(plan), samples=20))[:12] == rates(plan)
    assert rates(plan_of(WIDE, trained(plan), samples=5)) == rates(plan)[:5]


@pytest.mark.parametrize(
    ("state", "counts"),
    [("finished", 1), ("stopped", 1), ("diverged", 1), ("interrupted", 1), ("failed", 0)],
)
def test_trials_with_a_result_count(state: str, counts: int) -> None:
    single = plan_of({}, settings={"optimizer.lr": 0.002})
    records = trained(single, TrialState(state))
    assert rates(plan_of(WIDE, records)).count(0.002) == counts


@pytest.mark.parametrize(
    ("domain", "value", "counts"),
    [
        (tune.uniform(0.001, 0.01), 0.002, 1),
        (tune.uniform(0.001, 0.01), 0.02, 0),
        (tune.quniform(0.001, 0.01, 0.001), 0.002, 1),
        (tune.quniform(0.001, 0.01, 0.001), 0.0025, 0),
        (tune.choice([0.001, 0.002]), 0.002, 1),
        (tune.choice([0.001, 0.003]), 0.002, 0),
        (tune.sample_from(lambda _: 0.003), 0.002, 0),
    ],
)
def test_only_values_of_the_domain_count(domain: Any, value: float, counts: int) -> None:
    records = trained(plan_of({}, settings={"optimizer.lr": value}))
    space = {"optimizer.lr": domain, "batch_size": tune.randint(32, 33)}
    plan = plan_of(space, records, samples=3)
    assert sum(planned.finished for planned in plan.trials) == counts


def test_other_settings_do_not_count() -> None:
    records = trained(plan_of(WIDE, base=BASE.override({"batch_size": 8})))
    assert not any(planned.finished for planned in plan_of(NARROW, records).trials)


def test_a_new_axis_keeps_the_trials_with_its_value() -> None:
    wide = plan_of(WIDE, samples=4)
    space = WIDE | {"arch.kernel_size": tune.choice([3, 5])}
    plan = plan_of(space, trained(wide), samples=6)
    assert sum(planned.finished for planned in plan.trials) == 4
    assert len(plan.trials) == 6


def test_each_value_of_a_grid_has_its_samples() -> None:
    space = WIDE | {"arch.kernel_size": tune.grid_search([3, 5])}
    wide = plan_of(space, samples=4)
    plan = plan_of(
        NARROW | {"arch.kernel_size": tune.grid_search([3, 5])}, trained(wide), samples=4
    )
    sizes = [planned.axes["arch.kernel_size"] for planned in plan.trials]
    assert (sizes.count(3), sizes.count(5)) == (4, 4)
    inside = sum(lr <= 3e-2 for lr in rates(wide))
    assert sum(planned.finished for planned in plan.trials) == inside


def test_seeds_of_a_trained_point_are_added() -> None:
    records = trained(plan_of({}, settings={"optimizer.lr": 0.002}))
    plan = plan_of(WIDE, records, samples=3, seeds=2)
    assert rates(plan).count(0.002) == 2
    assert sum(planned.finished for planned in plan.trials) == 1
    assert len(plan.trials) == 6


def test_trained_points_come_first_if_trials_are_limited() -> None:
    wide = plan_of(WIDE, max_trials=6)
    inside = sum(lr <= 3e-2 for lr in rates(wide))
    narrow = plan_of(NARROW, trained(wide), max_trials=6)
    assert len(narrow.trials) == 6
    assert sum(planned.finished for planned in narrow.trials) == inside
