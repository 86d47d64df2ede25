"""Screening: all trials train a little, the best ones go on."""

from __future__ import annotations

import functools
import math
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae.run.events import EpochFinished, TrialPaused
from cae.run.paths import RunDir
from cae.run.status import run_status
from cae.run.trial_state import TrialState
from cae.sweep.schedulers.base import GroupJudge
from cae.sweep.schedulers.screen import Screen, ScreenJudge

Write = Callable[..., Path]
Run = Callable[..., RunDir]
pytestmark = pytest.mark.timeout(600)  # new workers take long to start on a busy machine


def judge_of(keep: int = 2, mode: Any = "min", **options: Any) -> ScreenJudge:
    return Screen(epochs=2, keep=keep).create_judge(5, "val_loss", mode, **options)


def test_the_best_trials_go_on_whatever_the_order() -> None:
    values = {1: 0.5, 2: 0.1, 3: 0.4, 4: 0.3, 5: 0.2}
    for seed in range(5):
        judge = judge_of()
        order = list(values)
        random.Random(seed).shuffle(order)
        for trial in order:
            for epoch in (1, 2):
                assert judge.report(trial, epoch, values[trial]) is None
            assert judge.is_waiting(trial)
        stops = judge.decide()
        assert sorted(stops) == [1, 3, 4]
        assert (stops[4].rung, stops[4].value, stops[4].cutoff, stops[4].seen) == (2, 0.3, 0.2, 5)
        assert not any(judge.is_waiting(trial) for trial in values)


def test_larger_values_are_better_for_other_metrics() -> None:
    judge = judge_of(keep=1, mode="max")
    for trial, value in ((1, 20.0), (2, 30.0)):
        judge.report(trial, 2, value)
    assert list(judge.decide()) == [1]


def test_a_decision_is_the_same_if_it_is_made_again() -> None:
    judge = judge_of()
    for trial, value in ((1, 0.5), (2, 0.1), (3, 0.4)):
        judge.report(trial, 2, value)
    stops = judge.decide()
    judge.report(2, 3, 0.05)
    resumed = judge_of()
    for trial, epoch, value in ((1, 2, 0.5), (2, 2, 0.1), (3, 2, 0.4), (2, 3, 0.05)):
        resumed.report(trial, epoch, value)
    assert not resumed.is_waiting(2), "it went on, so it was decided about"
    assert resumed.decide() == stops


def test_new_trials_are_compared_with_those_of_before() -> None:
    judge = judge_of(keep=1)
    judge.report(1, 2, 0.1)
    assert judge.decide() == {}
    judge.report(2, 2, 0.2)
    assert list(judge.decide()) == [2]


def test_a_decision_about_an_audit_trial_that_has_continued_is_made_with_the_others() -> None:
    create = functools.partial(judge_of, keep=1)
    judge = GroupJudge(functools.partial(create, audited={2}), {1: "a", 2: "a", 3: "a"})
    judge.add_trial(4, "a", is_audited=True)
    for trial, value in ((1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)):
        judge.report(trial, 2, value)
    assert [judge.is_waiting(trial) for trial in (1, 2, 3, 4)] == [True, False, True, False]
    for trial in (2, 4):
        judge.report(trial, 3, 0.05)
    assert list(judge.decide()) == [3]
    assert sorted(judge.audit_stops) == [2, 4]
    assert judge.audit_stops[2].seen == 4


def test_values_that_are_not_finite_do_not_wait() -> None:
    judge = judge_of()
    judge.report(1, 2, math.nan)
    assert not judge.is_waiting(1)
    assert judge.decide() == {}


def test_without_an_epoch_before_the_last_one_nothing_waits() -> None:
    judge = Screen(epochs=5, keep=1).create_judge(5, "val_loss", "min")
    judge.report(1, 5, 0.5)
    assert not judge.is_waiting(1)
    assert Screen(epochs=5).rungs(5) == []


@pytest.mark.parametrize(("trials", "expected"), [(3, 10.0), (30, 1 + 0.1 * 9), (1, 10.0)])
def test_expected_epochs_are_the_mean_over_the_trials(trials: int, expected: float) -> None:
    assert Screen(epochs=1, keep=3).expected_epochs(10, [1], trials) == pytest.approx(expected)


def trained(run: RunDir) -> Counter[int]:
    return Counter(event.trial for event in run.events() if isinstance(event, EpochFinished))


@pytest.mark.slow
def test_a_screened_sweep_trains_the_best_trials_to_the_end_also_after_a_kill(
    sweep_file: Write, run_sweep: Run
) -> None:
    space = "{'optimizer.lr': tune.grid_search([1e-5, 1e-2, 3e-3, 1e-4])}"
    path = sweep_file(space, epochs=4, more="scheduler=Screen(epochs=1, keep=2)")
    path.write_text(path.read_text().replace("import ASHA,", "import ASHA, Screen,"))
    run = run_sweep(path)
    rates = {record.config["optimizer.lr"]: record for record in run.records().values()}
    assert {rate: record.state for rate, record in rates.items()} == {
        1e-5: TrialState.STOPPED,
        1e-4: TrialState.STOPPED,
        3e-3: TrialState.FINISHED,
        1e-2: TrialState.FINISHED,
    }
    assert sorted(trained(run).values()) == [1, 1, 4, 4]
    assert "best 2 of 4 trials" in rates[1e-5].reason

    paused = [index for index, event in enumerate(run.events()) if isinstance(event, TrialPaused)]
    lines = run.journal.read_bytes().splitlines(keepends=True)
    for name, end in (("while they wait", paused[1] + 1), ("when all wait", paused[3] + 1)):
        shutil.copytree(run.path, name)
        killed = RunDir(name)
        killed.journal.write_bytes(b"".join(lines[:end]))
        assert run_status(killed).progress.counts[TrialState.WAITING] >= 2
        run_sweep(path, out=killed.path)
        assert trained(killed) == trained(run)
        ends = {number: record.reason for number, record in killed.records().items()}
        assert ends == {number: record.reason for number, record in run.records().items()}
