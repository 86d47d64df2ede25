"""The early stopping: Ray's own decisions where Ray's are sound, and better ones where they are not."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers.async_hyperband import _Bracket

from cae import ASHA
from cae.sweep.schedulers.asha import Rungs, _percentile

values = st.floats(0, 1, allow_nan=False, width=32)


@given(
    st.lists(st.lists(values, min_size=9, max_size=9), min_size=1, max_size=25),
    st.sampled_from(["min", "max"]),
    st.sampled_from([2, 3]),
)
def test_decides_as_rays_own_asha_when_every_value_is_finite(
    curves: list[list[float]], mode: str, factor: int
) -> None:
    ours = Rungs(ASHA(reduction_factor=factor).rungs(9), mode=mode, reduction_factor=factor)
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
def test_percentile_is_numpys(numbers: list[float], share: float) -> None:
    assert _percentile(sorted(numbers), share) == pytest.approx(
        np.percentile(numbers, share * 100), abs=1e-12
    )


def test_rungs_grow_by_the_reduction_factor_and_leave_the_last_epoch_out() -> None:
    assert ASHA(grace_epochs=1, reduction_factor=3).rungs(243) == [1, 3, 9, 27, 81]
    assert ASHA(grace_epochs=2, reduction_factor=2).rungs(9) == [2, 4, 8]
    assert ASHA(grace_epochs=5).rungs(5) == []


def test_no_trial_is_stopped_before_enough_have_come_to_the_rung() -> None:
    rungs = Rungs([1], mode="min", reduction_factor=3, min_trials=3)
    assert [rungs.report(number, 1, value) for number, value in enumerate([0.1, 0.2, 0.3])] == [
        None,
        None,
        None,
    ]
    stop = rungs.report(3, 1, 0.4)
    assert stop
    assert (stop.rung, stop.value, stop.seen) == (1, 0.4, 3)
    assert stop.cutoff == pytest.approx(np.percentile([0.1, 0.2, 0.3], 100 / 3))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_neither_counts_nor_moves_the_cutoff(wrong: float) -> None:
    clean, soiled = (Rungs([1], mode="min", reduction_factor=2) for _ in range(2))
    for number in range(6):
        assert soiled.report(100 + number, 1, wrong) is None
        assert clean.report(number, 1, 1 / (number + 1)) == soiled.report(
            number, 1, 1 / (number + 1)
        )
    assert clean.values == soiled.values


def test_a_trial_is_judged_once_at_a_rung_and_only_at_that_epoch() -> None:
    rungs = Rungs([1, 3], mode="min", reduction_factor=2)
    rungs.report(1, 1, 0.1)
    assert rungs.report(2, 2, 9.0) is None
    assert rungs.report(2, 3, 9.0) is None  # the first at rung 3, although it never came to rung 1
    assert rungs.values == {1: [-0.1], 3: [-9.0]}
    assert rungs.report(1, 1, 9.0) is None
    assert rungs.values[1] == [-0.1]


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4), values), max_size=60),
    st.integers(0, 60),
)
def test_rungs_rebuilt_from_a_journal_decide_the_rest_alike(
    reports: list[tuple[int, int, float]], cut: int
) -> None:
    whole = Rungs([1, 3], mode="min", reduction_factor=2, min_trials=2)
    decisions = [whole.report(*report) for report in reports]
    rebuilt = Rungs([1, 3], mode="min", reduction_factor=2, min_trials=2)
    events = [
        {"event": "epoch", "trial": trial, "epoch": epoch, "metrics": {"val_loss": value}}
        for trial, epoch, value in reports
    ]
    stops = rebuilt.replay(events[:cut], "val_loss")
    assert list(stops.values()) == list(
        {
            report[0]: stop for report, stop in zip(reports[:cut], decisions, strict=False) if stop
        }.values()
    )
    assert [rebuilt.report(*report) for report in reports[cut:]] == decisions[cut:]


def test_the_reason_names_epoch_value_cutoff_and_how_many_came_before() -> None:
    rungs = Rungs([2], mode="min", reduction_factor=2)
    for number in range(4):
        rungs.report(number, 2, 0.1)
    stop = rungs.report(9, 2, 0.25)
    assert stop
    reason = stop.reason("val_loss", "min", 2)
    assert (
        reason
        == "epoch 2: val_loss 0.25 is above the cutoff 0.1, which the best 1/2 of the 4 trials before it at this rung reach"
    )


def test_a_trial_of_the_audit_runs_on_is_written_down_once_and_counts_at_no_rung_above() -> None:
    rungs = Rungs([1, 3], mode="min", reduction_factor=2, audited={7})
    rungs.report(1, 1, 0.1)
    assert rungs.report(7, 1, 0.9) is None
    assert (rungs.spared[7].rung, rungs.spared[7].value) == (1, 0.9)
    assert rungs.report(7, 3, 0.05) is None
    assert rungs.values[3] == []
    assert rungs.report(2, 1, 0.9), "one that is not of the audit is stopped"


def test_the_audit_is_drawn_by_the_trials_own_hashes() -> None:
    hashes = [f"{number:016x}" for number in range(4000)]
    drawn = [hash_ for hash_ in hashes if ASHA(audit=0.05).audits(hash_)]
    assert 150 < len(drawn) < 250
    assert drawn == [hash_ for hash_ in hashes if ASHA(audit=0.05).audits(hash_)]
    assert not any(ASHA().audits(hash_) for hash_ in hashes)
    assert all(ASHA(audit=1.0).audits(hash_) for hash_ in hashes)
