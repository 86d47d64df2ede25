"""Records: replaying a journal gives each trial its state, its epochs and its best epoch."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

from cae.run.events import (
    AuditStop,
    EpochFinished,
    Event,
    TrialEnded,
    TrialPlanned,
    TrialRetried,
    TrialStarted,
)
from cae.run.metric_direction import Mode
from cae.run.paths import RunDir
from cae.run.records import Record, apply_event, replay
from cae.run.status import restart_text
from cae.run.trial_state import StopCause, TrialState
from tests.run.events import (
    closed,
    ended,
    epoch,
    planned,
    record,
    retried,
    session,
    started,
    write,
)
from tests.run.lives import THREE_TRIALS

FAILED = TrialState.FAILED
STOPPED = TrialState.STOPPED


def state_of(*events: Event, is_running: bool = False) -> TrialState:
    """The state of trial 1."""
    return replay(events, is_running=is_running)[1].state


LIVES: dict[str, tuple[list[Event], TrialState]] = {
    "planned": ([session(1), planned()], TrialState.PENDING),
    "started": ([session(1), planned(), started()], TrialState.INTERRUPTED),
    "started, with an epoch": (
        [session(1), planned(), started(), epoch(1)],
        TrialState.INTERRUPTED,
    ),
    "started, then another session": (
        [session(1), planned(), started(), session(1)],
        TrialState.INTERRUPTED,
    ),
    "resumed": (
        [session(1), planned(), started(), session(1), started(), ended()],
        TrialState.FINISHED,
    ),
    "started, then closed": (
        [session(1), planned(), started(), closed()],
        TrialState.INTERRUPTED,
    ),
    "stopped, then another session": (
        [session(1), planned(), started(), ended(STOPPED), session(1)],
        STOPPED,
    ),
    "failed, then retried": (
        [session(1), planned(), started(), ended(FAILED), session(1), started()],
        TrialState.INTERRUPTED,
    ),
    "failed, then retried successfully": (
        [session(1), planned(), started(), ended(FAILED), session(1), started(), ended()],
        TrialState.FINISHED,
    ),
    "not requested, never started": (
        [session(1), planned(), session(2)],
        TrialState.WITHDRAWN,
    ),
    "not requested, started": (
        [session(1), planned(), started(), session(2)],
        TrialState.WITHDRAWN,
    ),
    "not requested, finished": (
        [session(1), planned(), started(), ended(), session()],
        TrialState.FINISHED,
    ),
    "requested again": (
        [session(1), planned(), started(), session(2), session(1)],
        TrialState.INTERRUPTED,
    ),
    "requested again, never started": (
        [session(1), planned(), session(2), session(1)],
        TrialState.PENDING,
    ),
    "extended": (
        [session(1), planned(), started(), ended(), session(1), planned(1, 4)],
        TrialState.INTERRUPTED,
    ),
    "extended and finished": (
        [session(1), planned(), started(), ended(), session(1), planned(1, 4), started(), ended()],
        TrialState.FINISHED,
    ),
    "stopped, then extended": (
        [session(1), planned(), started(), ended(STOPPED), session(1), planned(1, 4)],
        STOPPED,
    ),
}


@pytest.mark.parametrize("life", LIVES)
def test_a_replay_gives_the_state_of_the_trial(life: str) -> None:
    events, state = LIVES[life]
    assert state_of(*events) == state


@pytest.mark.parametrize("state", [state for state in TrialState if state.is_final])
def test_a_trial_that_ended_has_the_state_of_its_end(state: TrialState) -> None:
    assert state_of(session(1), planned(), started(), epoch(1), ended(state)) == state


def test_a_started_trial_is_running_while_the_sweep_process_is_alive() -> None:
    events = [session(1), planned(), started(), epoch(1)]
    assert state_of(*events, is_running=True) == TrialState.RUNNING
    retry = [*events, ended(FAILED), session(1), started()]
    assert state_of(*retry, is_running=True) == TrialState.RUNNING
    assert state_of(session(1), planned(), is_running=True) == TrialState.PENDING


def test_a_trial_that_an_earlier_session_started_is_interrupted() -> None:
    events = [session(1), planned(), started(), epoch(1), session(1)]
    assert state_of(*events, is_running=True) == TrialState.INTERRUPTED


def test_a_trial_is_running_only_while_the_lock_is_held(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    write(run, session(1), planned(), started())
    assert run.records()[1].state == TrialState.INTERRUPTED
    with run.lock():
        assert run.records()[1].state == TrialState.RUNNING


def test_an_extension_keeps_number_and_epochs_and_takes_the_new_configuration() -> None:
    events = [session(1), planned(), started(), epoch(1, 0.5), epoch(2, 0.4), ended()]
    events += [session(1), planned(1, 4), started(1, 2), epoch(3, 0.3)]
    extended = replay(events, is_running=False)[1]
    assert (extended.hash, extended.config) == ("h4", {"epochs": 4})
    assert [row["val_loss"] for row in extended.epochs.values()] == [0.5, 0.4, 0.3]
    assert extended.end is None
    assert len(extended.starts) == 2


def test_only_the_first_report_of_an_epoch_counts() -> None:
    events = [session(1), planned(), started(), epoch(1, 0.5), epoch(2, 0.4), session(1)]
    events += [started(1, 2), epoch(2, 0.9, time=77.0), epoch(3, 0.3)]
    resumed = replay(events, is_running=False)[1]
    losses = {done: row["val_loss"] for done, row in resumed.epochs.items()}
    assert losses == {1: 0.5, 2: 0.4, 3: 0.3}
    assert resumed.epoch_times[2] == 4.0


def test_a_retry_from_the_beginning_drops_all_epochs() -> None:
    events = [session(1), planned(), started(), epoch(1, 0.5), epoch(2, math.nan)]
    events += [ended(TrialState.DIVERGED), session(1), retried(), started()]
    events.append(epoch(1, 0.7, time=77.0))
    trial = replay(events, is_running=False)[1]
    assert {done: row["val_loss"] for done, row in trial.epochs.items()} == {1: 0.7}
    assert trial.epoch_times == {1: 77.0}


def test_a_start_records_where_it_ran_with_its_first_epoch() -> None:
    first: dict[str, Any] = {"host": "a", "device": "cpu", "worker": 7}
    second: dict[str, Any] = {"host": "b", "device": "cuda", "worker": 8, "gpu_ids": "0,1"}
    events = [session(1), planned(), started(), epoch(1, **first), epoch(2)]
    events += [started(1, 2), epoch(3, **second)]
    starts = replay(events, is_running=False)[1].starts
    assert [(start.epoch, start.host, start.device, start.worker) for start in starts] == [
        (0, "a", "cpu", 7),
        (2, "b", "cuda", 8),
    ]
    assert [start.gpu_ids for start in starts] == ["", "0,1"]


def test_the_end_is_kept_until_the_trial_starts_again() -> None:
    events = [session(1), planned(), started(), ended(FAILED)]
    failed = replay(events, is_running=False)[1]
    assert failed.reason == "the reason"
    retried_trial = replay([*events, started()], is_running=False)[1]
    assert retried_trial.end is None
    assert (retried_trial.reason, retried_trial.error) == ("", "")
    assert (retried_trial.final_metrics, retried_trial.final_tables) == ({}, {})


def test_the_stop_of_an_audit_trial_is_kept_when_it_continues_and_is_extended() -> None:
    stop = AuditStop(trial=1, reason="above the cutoff", rung=1, value=0.5, cutoff=0.4, seen=3)
    events = [session(1), planned(), started(), epoch(1), stop, epoch(2), ended(), planned(1, 4)]
    assert replay(events, is_running=False)[1].audit_stop == stop


def test_a_plan_of_the_same_trial_updates_its_dependencies() -> None:
    again = planned()
    again.dependencies = {"encoder": 2}
    again.is_dependency = True
    again.is_audit = True
    trial = replay([session(1), planned(), started(), epoch(1), again], is_running=False)[1]
    assert (trial.dependencies, trial.is_dependency, trial.is_audit) == ({"encoder": 2}, True, True)
    assert trial.last_epoch == 1


def test_a_replay_leaves_its_events_unchanged() -> None:
    before = copy.deepcopy(THREE_TRIALS)
    replay(THREE_TRIALS, is_running=False)
    assert repr(THREE_TRIALS) == repr(before)


def test_records_are_sorted_and_events_of_unknown_trials_are_ignored() -> None:
    unknown = [epoch(1, number=9), ended(number=9), started(9), retried(9)]
    events = [session(1, 2, 3), *unknown, *map(planned, (3, 1, 2))]
    records = replay(events, is_running=False)
    assert list(records) == [1, 2, 3]
    assert [trial.number for trial in records.values()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("losses", "mode", "best"),
    [
        ((0.3, 0.1, 0.2), "min", (2, 0.1)),
        ((0.3, 0.1, 0.2), "max", (1, 0.3)),
        ((0.2, 0.1, 0.1), "min", (2, 0.1)),
        ((0.1, 0.2, 0.2), "max", (2, 0.2)),
        ((math.nan, 0.2, math.nan), "min", (2, 0.2)),
        ((0.2, -math.inf), "min", (1, 0.2)),
        ((0.2, math.inf), "max", (1, 0.2)),
        ((-0.0, 0.0), "min", (1, 0.0)),
        ((math.nan, math.inf), "min", None),
        ((), "min", None),
    ],
)
def test_the_best_epoch_is_the_earliest_of_the_best_finite_ones(
    losses: tuple[float, ...], mode: Mode, best: tuple[int, float] | None
) -> None:
    assert record(1, losses=losses).best("val_loss", mode) == best


def test_a_metric_that_no_epoch_has_gives_no_best_epoch() -> None:
    assert record(1, losses=(0.1,)).best("val_psnr", "max") is None


@pytest.mark.parametrize("state", TrialState)
def test_trials_in_a_ranked_state_have_a_best_epoch(state: TrialState) -> None:
    best = record(1, state, losses=(0.1,)).best("val_loss", "min")
    assert (best is not None) == state.is_ranked


def test_dependencies_have_no_best_epoch() -> None:
    dependency = record(1, losses=(0.1,))
    dependency.is_dependency = True
    assert dependency.best("val_loss", "min") is None


def test_trials_that_are_not_requested_any_more_keep_their_best_epoch() -> None:
    events = [session(1, 2), planned(1), planned(2), started(1), epoch(1, 0.5), ended()]
    events += [started(2), epoch(1, 0.25, number=2), session()]
    records = replay(events, is_running=False)
    assert [record.state for record in records.values()] == ["finished", "withdrawn"]
    assert [record.is_requested for record in records.values()] == [False, False]
    assert records[1].best("val_loss", "min") == (1, 0.5)
    assert records[2].best("val_loss", "min") == (1, 0.25)


def extended_after(*events: Event) -> Record:
    """A trial that finished with 2 epochs, the better one first, and is extended to 4."""
    finished = TrialEnded(
        trial=1,
        state=TrialState.FINISHED,
        reason="all 2 epochs",
        best_epoch=1,
        metrics={"test_loss": 0.75},
    )
    before = [planned(epochs=2), started(), epoch(1, 0.5), epoch(2, 0.625), finished]
    return replay([*before, planned(epochs=4), *events], is_running=False)[1]


def test_a_trial_keeps_its_final_metrics_until_its_extension_has_a_better_epoch() -> None:
    trial = extended_after(started(epoch=2), epoch(3, 0.75))
    assert trial.state == TrialState.INTERRUPTED
    assert trial.best("val_loss", "min") == (1, 0.5)
    assert trial.final_metrics_of(1) == {"test_loss": 0.75}
    better = extended_after(started(epoch=2), epoch(3, 0.25))
    assert better.best("val_loss", "min") == (3, 0.25)
    assert better.final_metrics_of(3) == {}


@pytest.mark.parametrize("state", [TrialState.DIVERGED, TrialState.FAILED])
def test_a_trial_whose_extension_fails_keeps_its_value(state: TrialState) -> None:
    trial = extended_after(started(epoch=2), epoch(3, math.nan), ended(state))
    assert trial.state == state
    assert trial.best("val_loss", "min") == (1, 0.5)
    assert trial.final_metrics_of(1) == {"test_loss": 0.75}
    restarted = extended_after(started(epoch=2), epoch(3, math.nan), ended(state), retried())
    assert restarted.best("val_loss", "min") is None


def test_best_epoch_and_mean_follow_the_epochs() -> None:
    events = [session(1), planned(epochs=9), started(), epoch(1, loss=3.0), epoch(2, loss=1.0)]
    records = replay(events, is_running=True)
    assert records[1].best("val_loss", "min") == (2, 1.0)
    assert records[1].mean("val_loss") == 2.0
    for event in (retried(epoch=1), started(epoch=1), epoch(2, loss=2.0)):
        apply_event(records, event)
    assert records[1].best("val_loss", "min") == (2, 2.0)
    assert records[1].best("val_loss", "max") == (1, 3.0)
    assert records[1].mean("val_loss") == 2.5


def test_the_mean_leaves_out_values_that_are_not_finite() -> None:
    trial = record(1, losses=(1.0, math.nan, 3.0, math.inf))
    assert trial.mean("val_loss") == 2.0
    assert trial.mean("val_psnr") is None


def test_epochs_that_are_trained_again_are_counted_with_their_reason() -> None:
    """Files of the trial were lost while it was interrupted; nobody requested a retry."""
    events = [session(1), planned(epochs=3), started(), epoch(1, 0.5), epoch(2, 0.4), closed()]
    events += [session(1), started(epoch=2), retried(reason="best.safetensors is missing")]
    restarted = replay(events, is_running=True)[1]
    assert (restarted.state, restarted.epochs) == (TrialState.RUNNING, {})
    assert restarted.lost_epochs == 2
    assert restart_text(restarted) == (
        "2 finished epochs trained again because best.safetensors is missing"
    )
    events += [epoch(1, 0.5), retried(epoch=0, reason="last.safetensors is missing"), epoch(1, 0.5)]
    assert replay(events, is_running=True)[1].lost_epochs == 3
    events += [ended(TrialState.DIVERGED), session(1), retried()]
    assert replay(events, is_running=True)[1].lost_epochs == 3, "it was requested"


PATIENCE = "epoch 9: val_loss has not improved for 3 epochs (patience); it was 0.1 in epoch 6"
WORST_VALUE = "epoch 1: val_loss 9 is worse than worst_value 2"


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ({"stopped_by": "patience"}, StopCause.PATIENCE),
        ({"stopped_by": "worst_value"}, StopCause.WORST_VALUE),
        ({"stopped_by": "scheduler", "reason": PATIENCE}, StopCause.SCHEDULER),
        ({"stopped_by": "a rule of a newer version"}, StopCause.SCHEDULER),
        # Journals of versions that did not record the cause:
        ({"reason": PATIENCE, "seen": 0}, StopCause.PATIENCE),
        ({"reason": WORST_VALUE, "seen": 0}, StopCause.WORST_VALUE),
        ({"reason": "epoch 1: val_loss 9 is above the cutoff", "seen": 5}, StopCause.SCHEDULER),
        ({"state": TrialState.FINISHED}, None),
    ],
)
def test_a_stopped_trial_has_a_cause(end: dict[str, Any], cause: StopCause | None) -> None:
    fields: dict[str, Any] = {"trial": 1, "state": TrialState.STOPPED, "reason": "-"} | end
    config = {"epochs": 9}
    records = replay(
        [
            TrialPlanned(trial=1, hash="a", config=config, axes={}, sizes={}),
            TrialStarted(trial=1, epoch=0),
            TrialEnded(**fields),
        ],
        is_running=False,
    )
    assert records[1].stop_cause == cause
    is_fully_trained = cause in (None, StopCause.PATIENCE)
    assert records[1].is_fully_trained == is_fully_trained
    assert records[1].is_cut_short != is_fully_trained


def test_a_finished_trial_that_is_measured_again_keeps_its_value_until_then() -> None:
    """`--retry latent` repeats the final evaluation alone; it may be interrupted, or fail."""
    end = TrialEnded(
        trial=1,
        state=TrialState.FINISHED,
        reason="-",
        best_epoch=1,
        metrics={"test_loss": 0.25},
    )
    records = replay(
        [
            TrialPlanned(trial=1, hash="a", config={"epochs": 1}, axes={}, sizes={}),
            TrialStarted(trial=1, epoch=0),
            EpochFinished(trial=1, epoch=1, metrics={"val_loss": 0.5}),
            end,
            TrialRetried(trial=1, epoch=1),
        ],
        is_running=False,
    )
    record = records[1]
    assert record.state == TrialState.INTERRUPTED
    assert record.final_metrics_of(1) == {"test_loss": 0.25}
    apply_event(records, TrialEnded(trial=1, state=TrialState.OUT_OF_MEMORY, reason="-"))
    assert record.best("val_loss", "min") == (1, 0.5)
    apply_event(records, TrialRetried(trial=1, epoch=0, reason="its checkpoint is missing"))
    assert record.final_metrics_of(1) == {}
