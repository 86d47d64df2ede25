"""What a session records before it trains: new and changed trials, retries, past decisions."""

from __future__ import annotations

import os
import socket

from cae.run.events import SessionStarted, TrialPlanned, TrialRetried
from cae.run.json_values import JsonObject
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.engine.recorder import Recorder
from cae.sweep.places.base import CheckedHosts
from cae.sweep.places.machine import versions
from cae.sweep.schedulers.base import Stop
from cae.sweep.spec.planned_trial import PlannedTrial


def record_session(recorder: Recorder, checked: CheckedHosts, command: str) -> None:
    """Record new and changed trials, retries, and the start of the session."""
    for planned in recorder.plan.trials:
        record_plan(recorder, planned)
        record = recorder.records[planned.number]
        if planned.retry and record.state.is_final:
            _record_retry(recorder, record)
    resources = checked.resources
    recorder.write(
        SessionStarted(
            trials=[planned.number for planned in recorder.plan.trials],
            command=command,
            host=socket.gethostname(),
            pid=os.getpid(),
            versions=versions(),
            sweep=recorder.plan.sweep_name,
            metric=recorder.plan.sweep.metric,
            mode=recorder.plan.mode,
            slots=resources.slots,
            cpus=resources.cpus,
            gpus=resources.gpus,
        )
    )


def record_plan(
    recorder: Recorder, planned: PlannedTrial, suggestion: JsonObject | None = None
) -> None:
    """Record a trial that is new or changed; nothing if the journal has it as it is.

    Args:
        recorder: Its journal receives the trial.
        planned: The trial.
        suggestion: Why a search suggests it; None: it was planned before the sweep started.
    """
    is_audit = planned.number in recorder.scheduler.judge.audited
    record = recorder.records.get(planned.number)
    is_unchanged = (
        record is not None
        and record.hash == planned.hash
        and record.is_dependency == planned.is_dependency
        and record.is_audit == is_audit
        and suggestion is None
    )
    if is_unchanged:
        return
    recorder.write(
        TrialPlanned(
            trial=planned.number,
            hash=planned.hash,
            config=planned.trial.flat(),
            axes=planned.axes,
            sizes=planned.sizes,
            dependencies=planned.dependencies,
            is_dependency=planned.is_dependency,
            is_audit=is_audit,
            group=planned.group,
            fingerprint=planned.fingerprint,
            code=planned.code,
            code_snapshot=recorder.plan.code_snapshot(planned),
            pixels=planned.pixels,
            suggestion=suggestion or {},
        )
    )


def _record_retry(recorder: Recorder, record: Record) -> None:
    """Record that an ended trial is retried from its last epoch.

    A diverged trial restarts from the beginning: resumed from its checkpoint it diverges again.
    """
    if record.state == TrialState.DIVERGED:
        recorder.write(TrialRetried(trial=record.number, epoch=0))
        recorder.run.delete_trial(record.number)
    else:
        recorder.write(TrialRetried(trial=record.number, epoch=record.last_epoch))


def record_past_decisions(recorder: Recorder, past_stops: dict[int, Stop]) -> None:
    """Record decisions that an earlier process made and could not record before it died.

    Those about trials that the sweep does not request are not recorded. No trial is stopped after
    its last epoch: it finishes.

    Args:
        recorder: Its journal receives the decisions.
        past_stops: The decision of the judge about each trial, from the journal.
    """
    for number in recorder.scheduler.judge.audit_stops:
        recorder.record_audit_stop(number)
    for number, stop in past_stops.items():
        record = recorder.records[number]
        is_last_epoch = stop.rung >= record.config["epochs"]
        was_interrupted_there = (
            record.state == TrialState.INTERRUPTED and record.last_epoch == stop.rung
        )
        if record.is_requested and was_interrupted_there and not is_last_epoch:
            recorder.stop_trial(number, stop)
