"""Stops of a trial by its own curve."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cae.run.trial_state import StopCause
from cae.sweep.schedulers.asha import ASHA
from cae.sweep.schedulers.base import Judge, NeverStop
from cae.sweep.schedulers.per_trial import CurveJudge


def judge_of(
    patience: int | None = None,
    worst_value: float | None = None,
    mode: Any = "min",
    inner: Judge | None = None,
) -> CurveJudge:
    return CurveJudge(
        inner or NeverStop(),
        metric="val_loss",
        mode=mode,
        patience=patience,
        worst_value=worst_value,
    )


def stop_epoch(judge: CurveJudge, values: list[float], trial: int = 1) -> int | None:
    """The epoch at which a trial with these values is stopped; None: it is not."""
    for epoch, value in enumerate(values, 1):
        if judge.report(trial, epoch, value) is not None:
            return epoch
    return None


@pytest.mark.parametrize(
    ("values", "mode", "expected"),
    [
        ([5, 4, 4, 4, 3], "min", 4),
        ([5, 4, 5, 3, 4, 2], "min", None),
        ([1, 2, 3, 2, 3, 9], "max", 5),
        ([5, 5, 5], "min", 3),
        ([5, 4], "min", None),
    ],
)
def test_a_trial_without_improvement_is_stopped_after_patience_epochs(
    values: list[float], mode: str, expected: int | None
) -> None:
    assert stop_epoch(judge_of(patience=2, mode=mode), values) == expected


@pytest.mark.parametrize(
    ("values", "mode", "expected"),
    [([0.5, 0.2, 1.1], "min", 3), ([0.5, 1.0], "min", None), ([20.0, 4.9], "max", 2)],
)
def test_a_trial_is_stopped_at_a_value_that_is_worse_than_the_limit(
    values: list[float], mode: str, expected: int | None
) -> None:
    worst = {"min": 1.0, "max": 5.0}[mode]
    judge = judge_of(worst_value=worst, mode=mode)
    assert stop_epoch(judge, values) == expected


@pytest.mark.parametrize(
    ("rules", "cause"),
    [({"patience": 1}, StopCause.PATIENCE), ({"worst_value": 0.5}, StopCause.WORST_VALUE)],
)
def test_a_stop_has_its_cause(rules: dict[str, Any], cause: StopCause) -> None:
    judge = judge_of(**rules)
    stops = [judge.report(1, epoch, 1.0) for epoch in (1, 2)]
    (stop,) = [stop for stop in stops[-1:] if stop is not None]
    assert stop.cause == cause
    asha = ASHA(grace_epochs=1, reduction_factor=2, min_trials=1).create_judge(4, "val_loss", "min")
    both = judge_of(**rules, inner=asha)
    assert both.report(1, 1, 0.1) is None
    by_scheduler = both.report(2, 1, 0.2)
    assert by_scheduler is not None
    assert by_scheduler.cause == StopCause.SCHEDULER


def test_the_scheduler_decides_first_and_sees_all_values() -> None:
    asha = ASHA(grace_epochs=1, reduction_factor=2, min_trials=1)
    alone = asha.create_judge(4, "val_loss", "min")
    judge = judge_of(patience=3, inner=asha.create_judge(4, "val_loss", "min"))
    generator = random.Random(0)
    for trial in range(20):
        for epoch in range(1, 5):
            value = generator.random()
            expected = alone.report(trial, epoch, value)
            stop = judge.report(trial, epoch, value)
            if expected is not None:
                assert stop == expected
                break
            if stop is not None:
                assert "patience" in stop.reason
                break


def test_all_epochs_of_the_journal_are_needed_for_a_replay() -> None:
    assert judge_of(patience=2).judged_epochs is None


def test_audit_trials_are_not_stopped() -> None:
    judge = judge_of(patience=1)
    judge.add_trial(7, "", is_audited=True)
    assert stop_epoch(judge, [1.0, 1.0, 1.0], trial=7) is None
    assert judge.audit_stops[7].rung == 2
