"""Rungs per comparability group: a trial is only compared with trials of its own group."""

from __future__ import annotations

import functools
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from cae import ASHA
from cae.run.events import EpochFinished
from cae.run.metric_direction import Mode
from cae.sweep.schedulers.base import GroupJudge, Judge

EPOCHS = 9


def create(mode: Mode = "min", audited: tuple[int, ...] = ()) -> Callable[[], Judge]:
    scheduler = ASHA(min_trials=1, reduction_factor=2)
    return functools.partial(
        scheduler.create_judge, EPOCHS, "val_loss", mode, exempt=(), audited=audited
    )


Reports = list[tuple[int, int, float]]
"""Trial, epoch and value, in the order in which they are reported."""


def stops(judge: Judge, reports: Reports) -> dict[int, int]:
    """The rung at which each stopped trial was stopped."""
    stopped: dict[int, int] = {}
    for trial, epoch, value in reports:
        if trial not in stopped:
            stop = judge.report(trial, epoch, value)
            if stop is not None:
                stopped[trial] = stop.rung
    return stopped


@given(
    st.lists(
        st.tuples(
            st.integers(0, 11), st.integers(1, EPOCHS), st.floats(0, 1, allow_nan=False, width=16)
        ),
        max_size=80,
    ),
    st.lists(st.integers(0, 2), min_size=12, max_size=12),
    st.sampled_from(["min", "max"]),
)
def test_decisions_in_a_group_are_those_without_the_other_groups(
    reports: Reports, group_of_trial: list[int], mode: Mode
) -> None:
    groups = {trial: f"group {group}" for trial, group in enumerate(group_of_trial)}
    together = stops(GroupJudge(create(mode), groups), reports)
    for group in set(groups.values()):
        own = [report for report in reports if groups[report[0]] == group]
        alone = stops(create(mode)(), own)
        assert {trial: rung for trial, rung in together.items() if groups[trial] == group} == alone


def test_other_scales_of_another_loss_stop_nothing() -> None:
    groups = {1: "mse", 2: "mse", 3: "l1", 4: "l1"}
    judge = GroupJudge(create(), groups)
    reports = [(1, 1, 0.01), (2, 1, 0.01), (3, 1, 0.2), (4, 1, 0.2)]
    assert stops(judge, reports) == {}
    assert stops(create()(), reports) == {3: 1, 4: 1}


def test_a_trial_without_a_group_is_neither_judged_nor_compared_with() -> None:
    """Dependencies have another task than the trials that depend on them."""
    judge = GroupJudge(create(), {2: "a"})
    assert stops(judge, [(1, 1, 0.0), (2, 1, 0.5)]) == {}


def test_audit_stops_and_replay_are_per_group() -> None:
    judge = GroupJudge(create(audited=(2,)), {1: "a", 2: "a", 3: "b"})
    events = [
        EpochFinished(trial=trial, epoch=1, metrics={"val_loss": loss})
        for trial, loss in ((1, 0.1), (2, 0.2), (3, 0.9))
    ]
    assert judge.replay(events, "val_loss") == {}
    assert list(judge.audit_stops) == [2]
    assert judge.judged_epochs == create()().judged_epochs
