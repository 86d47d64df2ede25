"""Limits of an unattended sweep: hung trials, memory, consecutive failures, a full disk."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae.errors import RunError
from cae.run.events import TrialEnded, TrialStarted
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.storage.process import is_alive
from cae.run.trial_state import TrialState
from cae.sweep.engine import limits, runner
from cae.sweep.engine.limits import LimitMonitor, Limits
from cae.sweep.engine.recorder import Recorder
from cae.sweep.places.base import Resources
from tests.faults.driver import wait_until
from tests.sweep.engine.failing_trials import failing_sweep

Write = Callable[..., Path]
Run = Callable[..., RunDir]


def events_of(run: RunDir, kind: str) -> list[Any]:
    return [event for event in run.events() if event.kind == kind]


@pytest.mark.slow
def test_a_hung_trial_fails_and_the_others_finish(sweep_file: Write, run_sweep: Run) -> None:
    run = run_sweep(
        failing_sweep(sweep_file, ["hang", "none", "none2", "none3"]),
        limits=Limits(epoch_seconds=4),
    )
    records = run.records()
    assert [record.state for record in records.values()] == [
        "failed",
        "finished",
        "finished",
        "finished",
    ]
    assert records[1].reason.startswith("hung: no epoch for ")
    assert "the limit is 4 s (--epoch-timeout)" in records[1].reason
    assert records[1].last_epoch == 1


def test_consecutive_failures_abort_the_sweep_with_the_reason(
    sweep_file: Write, run_sweep: Run
) -> None:
    path = failing_sweep(sweep_file, [f"broken{number}" for number in range(5)], epochs=1)
    run = run_sweep(path, limits=Limits(failures=2))
    states = Counter(record.state for record in run.records().values())
    failed = states[TrialState.FAILED]
    assert 2 <= failed <= 4, "trials that ran beside the last one may fail too"
    assert states[TrialState.PENDING] + states[TrialState.INTERRUPTED] == 5 - failed
    (close,) = events_of(run, "close")
    assert "trials failed one after another, the last was trial" in close.reason
    assert close.reason.startswith("gave up: ")
    assert "RuntimeError: the layer is tired" in close.reason
    (path.parent / "flag-fixed").touch()  # an edit of the network would give other trials
    run_sweep(path, retry=("failed",))
    assert {record.state for record in run.records().values()} == {"finished"}


@pytest.mark.slow
def test_a_trial_that_ran_out_of_memory_beside_others_is_retried_alone(
    sweep_file: Write, run_sweep: Run, two_slots: Resources
) -> None:
    path = failing_sweep(sweep_file, ["hungry", "crowded", "none"])
    run = run_sweep(path, resources=two_slots)
    records = run.records()
    assert [record.state for record in records.values()] == ["oom", "finished", "finished"]
    assert sorted(event.trial for event in events_of(run, "retry_alone")) == [1, 2]
    assert len(records[1].starts) == 2
    assert "a lot was asked for" in records[1].error


def test_running_out_of_memory_alone_is_final(sweep_file: Write, run_sweep: Run) -> None:
    run = run_sweep(
        failing_sweep(sweep_file, ["hungry"]),
        Resources(cpus=1, gpus=0, cpus_per_trial=1, gpus_per_trial=0),
    )
    assert run.records()[1].state == "oom"
    assert not events_of(run, "retry_alone")


@pytest.mark.slow
def test_a_full_disk_ends_the_sweep_and_not_the_trial(
    sweep_file: Write, run_sweep: Run, tmp_path: Path
) -> None:
    path = failing_sweep(sweep_file, ["full"], epochs=4)
    run = run_sweep(path)
    assert run.records()[1].state == "interrupted"
    assert events_of(run, "close")[0].reason.startswith("aborted: ")
    assert "No space left on device" in events_of(run, "close")[0].reason
    (tmp_path / "flag").touch()
    run_sweep(path)
    assert run.records()[1].state == "finished"
    assert [event.epoch for event in events_of(run, "epoch")] == [1, 2, 3, 4]


def test_a_sweep_ends_before_the_disk_is_full(
    sweep_file: Write, run_sweep: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MIN_FREE_BYTES", 10**18)
    run = run_sweep(sweep_file("{'dataset.train_images': 800}", epochs=40))
    assert "MB are free on the disk of" in events_of(run, "close")[0].reason
    assert run.records()[1].state in ("interrupted", "pending")


def test_a_journal_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    os.symlink("/dev/full", run.journal)
    journal = Journal(run.journal)
    with pytest.raises(RunError, match="cannot be written"):
        journal.append(TrialStarted(trial=1, epoch=0))
    journal.close()


@pytest.mark.slow
def test_a_child_of_a_killed_worker_holds_no_lock_and_ends(
    sweep_file: Write, run_sweep: Run, tmp_path: Path
) -> None:
    run = run_sweep(failing_sweep(sweep_file, ["forks"], epochs=4))
    assert run.records()[1].state == "finished"
    assert [event.epoch for event in events_of(run, "epoch")] == [1, 2, 3, 4]
    child = int((tmp_path / "flag").read_text())
    wait_until(lambda: not is_alive(child), "the child of the killed worker ended")


def test_a_queued_trial_does_not_count_as_hung_after_ray_ended(
    sweep_file: Write, run_sweep: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = runner._fit
    heartbeats: list[dict[int, float]] = []

    def ended_by_ray(recorder: Recorder, *rest: Any) -> None:
        heartbeats.append(dict(recorder.limits.heartbeats))
        if len(heartbeats) > 1:
            fit(recorder, *rest)
            return
        recorder.limits.heartbeat(1)
        recorder.end_trial(TrialEnded(trial=2, state=TrialState.KILLED, reason="some progress"))
        raise RuntimeError("Ray ended the sweep")

    monkeypatch.setattr(runner, "_fit", ended_by_ray)
    run = run_sweep(sweep_file("{'optimizer.lr': tune.grid_search([1e-3, 1e-2])}", epochs=1))
    assert heartbeats == [{}, {}]
    assert [record.state for record in run.records().values()] == ["finished", "killed"]


def record(seconds: float, work: float = 1.0) -> Record:
    return Record(
        1,
        "1",
        {"epochs": 9},
        {},
        {"megaflops": work},
        state=TrialState.RUNNING,
        epochs={1: {"seconds": seconds, "val_loss": 0.1}},
    )


def test_time_in_which_all_processes_were_stopped_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("cae.sweep.engine.limits.time.monotonic", lambda: now[0])
    monitor = LimitMonitor(Limits(epoch_seconds=20), tmp_path)
    monitor.heartbeat(1)

    def examine_every_second(until: float) -> list[float]:
        times: list[float] = []
        while now[0] < until and not times:
            now[0] += 1.0
            if monitor.hung_trials({1: record(1.0)}):
                times.append(now[0])
        return times

    assert examine_every_second(10.0) == []
    now[0] = 5000.0  # Ctrl-Z, and continued much later
    assert examine_every_second(5009.0) == []
    assert examine_every_second(5030.0) == [5012.0], "20 s of them while the processes ran"


def test_an_epoch_may_take_twenty_times_the_estimate_and_at_least_ten_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("cae.sweep.engine.limits.time.monotonic", lambda: now[0])
    monkeypatch.setattr(limits, "PAUSE_SECONDS", math.inf)
    monitor = LimitMonitor(Limits(), tmp_path)
    monitor.heartbeat(1)
    now[0] = 599.0
    assert monitor.hung_trials({1: record(1.0)}) == []
    now[0] = 601.0
    assert [hung.number for hung in monitor.hung_trials({1: record(1.0)})] == [1]
    assert monitor.hung_trials({1: record(60.0)}) == [], "20 times 60 s"
    now[0] = 1_201.0
    assert len(monitor.hung_trials({1: record(60.0)})) == 1
    untimed = Record(1, "1", {"epochs": 9}, {}, {"megaflops": 1.0}, state=TrialState.RUNNING)
    assert monitor.hung_trials({1: untimed}) == [], "there is no estimate yet"
    monitor.ended(1, TrialState.FINISHED, "")
    assert monitor.hung_trials({1: record(1.0)}) == []


def test_a_first_worker_that_does_not_start_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("cae.sweep.engine.limits.time.monotonic", lambda: clock[0])
    monitor = LimitMonitor(Limits(), tmp_path)

    def waits_too_long(seconds: float) -> bool:
        for _ in range(int(seconds)):
            clock[0] += 1
            if monitor.has_waited_too_long():
                return True
        return False

    assert not waits_too_long(2 * limits.WORKER_START_SECONDS), "nothing was started"
    monitor.expect_worker()
    assert not waits_too_long(limits.WORKER_START_SECONDS / 2)
    clock[0] += 10 * limits.WORKER_START_SECONDS  # the machine was suspended
    assert not waits_too_long(limits.WORKER_START_SECONDS / 4)
    assert waits_too_long(limits.WORKER_START_SECONDS / 2)
    monitor.expect_worker()
    monitor.heartbeat(1)
    assert not waits_too_long(2 * limits.WORKER_START_SECONDS)


def test_a_limit_of_0_means_never(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("cae.sweep.engine.limits.time.monotonic", lambda: now[0])
    monitor = LimitMonitor(Limits(epoch_seconds=0), tmp_path)
    monitor.heartbeat(1)
    now[0] = 1e6
    assert monitor.hung_trials({1: record(1.0)}) == []


def test_a_finished_trial_resets_the_count_of_failures(tmp_path: Path) -> None:
    monitor = LimitMonitor(Limits(failures=2), tmp_path)
    for state in (TrialState.FAILED, TrialState.FINISHED, TrialState.OUT_OF_MEMORY):
        monitor.ended(1, state, "it broke")
        assert not monitor.abort_reason()
    monitor.ended(2, TrialState.FAILED, "it broke")
    assert "2 trials failed one after another" in monitor.abort_reason()
    assert LimitMonitor(Limits(failures=0), tmp_path).abort_reason() == ""
