"""ASHA: the decisions of Ray's implementation where those are sound, better ones elsewhere."""

from __future__ import annotations

import math
from collections.abc import Collection
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers.async_hyperband import _Bracket

from cae import ASHA
from cae.run.events import EpochFinished
from cae.run.metric_direction import Mode
from cae.sweep.schedulers.asha import ASHAJudge, _percentile

values = st.floats(0, 1, allow_nan=False, width=32)


def judge(
    *rungs: int,
    mode: Mode = "min",
    factor: float = 2,
    min_trials: int = 1,
    audited: Collection[int] = (),
) -> ASHAJudge:
    return ASHAJudge(
        rungs,
        metric="val_loss",
        mode=mode,
        reduction_factor=factor,
        min_trials=min_trials,
        audited=audited,
    )


@given(
    st.lists(st.lists(values, min_size=9, max_size=9), min_size=1, max_size=25),
    st.sampled_from(["min", "max"]),
    st.sampled_from([2, 3]),
)
def test_finite_values_are_stopped_exactly_as_by_the_asha_of_ray(
    curves: list[list[float]], mode: Mode, factor: int
) -> None:
    ours = judge(*ASHA(reduction_factor=factor).rungs(9), mode=mode, factor=factor)
    rays = _Bracket(1, 8, factor, 0)
    sign = 1 if mode == "max" else -1
    for number, curve in enumerate(curves):
        for epoch, value in enumerate(curve[:8], 1):
            theirs = rays.on_result(SimpleNamespace(trial_id=str(number)), epoch, sign * value)  # type: ignore[arg-type]
            stop = ours.report(number, epoch, value)
            assert (stop is not None) == (theirs == "STOP")
            if stop:
                break


@given(st.lists(values, min_size=1, max_size=30), st.floats(0, 1))
def test_percentile_equals_that_of_numpy(numbers: list[float], share: float) -> None:
    assert _percentile(sorted(numbers), share) == pytest.approx(
        np.percentile(numbers, share * 100), abs=1e-12
    )


def test_rungs_grow_by_the_reduction_factor_without_the_last_epoch() -> None:
    assert ASHA(grace_epochs=1, reduction_factor=3).rungs(243) == [1, 3, 9, 27, 81]
    assert ASHA(grace_epochs=2, reduction_factor=2).rungs(9) == [2, 4, 8]
    assert ASHA(grace_epochs=5).rungs(5) == []


def test_no_trial_is_stopped_before_min_trials_reached_the_rung() -> None:
    asha = judge(1, factor=3, min_trials=3)
    assert [asha.report(number, 1, value) for number, value in enumerate([0.1, 0.2, 0.3])] == [
        None,
        None,
        None,
    ]
    stop = asha.report(3, 1, 0.4)
    assert stop
    assert (stop.rung, stop.value, stop.seen) == (1, 0.4, 3)
    assert stop.cutoff == pytest.approx(np.percentile([0.1, 0.2, 0.3], 100 / 3))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_ignored(wrong: float) -> None:
    clean = judge(1)
    mixed = judge(1)
    for number in range(6):
        assert mixed.report(100 + number, 1, wrong) is None
        assert clean.report(number, 1, 1 / (number + 1)) == mixed.report(
            number, 1, 1 / (number + 1)
        )
    assert clean.merits == mixed.merits


def test_a_trial_is_judged_once_at_a_rung() -> None:
    asha = judge(1, 3)
    asha.report(1, 1, 0.1)
    assert asha.report(2, 2, 9.0) is None
    assert asha.report(2, 3, 9.0) is None  # the first at rung 3, without a value at rung 1
    assert asha.merits == {1: [-0.1], 3: [-9.0]}
    assert asha.report(1, 1, 9.0) is None
    assert asha.merits[1] == [-0.1]


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4), values), max_size=60),
    st.integers(0, 60),
)
def test_rungs_rebuilt_from_a_journal_give_the_same_decisions(
    reports: list[tuple[int, int, float]], cut: int
) -> None:
    whole = judge(1, 3, min_trials=2)
    decisions = [whole.report(*report) for report in reports]
    rebuilt = judge(1, 3, min_trials=2)
    events = [
        EpochFinished(trial=trial, epoch=epoch, metrics={"val_loss": value})
        for trial, epoch, value in reports
    ]
    stops = rebuilt.replay(events[:cut], "val_loss")
    assert list(stops.values()) == list(
        {
            report[0]: stop for report, stop in zip(reports[:cut], decisions, strict=False) if stop
        }.values()
    )
    assert [rebuilt.report(*report) for report in reports[cut:]] == decisions[cut:]


def test_the_reason_names_epoch_value_cutoff_and_earlier_trials() -> None:
    asha = judge(2)
    for number in range(4):
        asha.report(number, 2, 0.1)
    stop = asha.report(9, 2, 0.25)
    assert stop
    assert stop.reason == (
        "epoch 2: val_loss 0.25 is above the cutoff 0.1 of the best 1/2 of 4 earlier trials at "
        "this rung"
    )


def test_an_audit_trial_continues_and_does_not_count_at_later_rungs() -> None:
    asha = judge(1, 3, audited={7})
    asha.report(1, 1, 0.1)
    assert asha.report(7, 1, 0.9) is None
    assert (asha.audit_stops[7].rung, asha.audit_stops[7].value) == (1, 0.9)
    assert asha.report(7, 3, 0.05) is None
    assert asha.merits[3] == []
    assert asha.report(2, 1, 0.9)


def test_audit_trials_are_drawn_by_their_hashes() -> None:
    hashes = [f"{number:016x}" for number in range(4000)]
    drawn = [hash_ for hash_ in hashes if ASHA(audit=0.05).is_audited(hash_)]
    assert 150 < len(drawn) < 250
    assert drawn == [hash_ for hash_ in hashes if ASHA(audit=0.05).is_audited(hash_)]
    assert not any(ASHA().is_audited(hash_) for hash_ in hashes)
    assert all(ASHA(audit=1.0).is_audited(hash_) for hash_ in hashes)
