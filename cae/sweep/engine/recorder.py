"""Between Tune and the journal: hears what happens to trials and writes it down; hears what should, and tells Tune."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cae.errors import RunError
from cae.run.events import (
    AuditStop,
    EpochFinished,
    Event,
    InvalidEvent,
    RetryAlone,
    TrialEnded,
    TrialStarted,
)
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.records import Record, apply_event
from cae.run.trial_state import TrialState
from cae.sweep.engine.limits import Guard
from cae.sweep.engine.retention import let_go
from cae.sweep.engine.schedulers.asha import JournaledASHA, Stop
from cae.sweep.engine.trial_queue import Turns
from cae.sweep.spec.plan import Plan

import ray  # isort: skip
from ray import tune  # isort: skip
from ray.tune.experiment import Trial as RayTrial  # isort: skip
from ray.tune.stopper import Stopper  # isort: skip

LOCATION = ("host", "device", "worker", "gpu_ids")
"""What a worker reports about where it runs."""
POLL_SECONDS, COUNT_SECONDS = 0.5, 5.0
RESTARTS = 3
"""How often in a row a trial is taken up again after its worker's process died; one more finished epoch ends the row."""

Watcher = Callable[[Event | None], None]
"""Called with each event after it is written, and with None from time to time."""


class Recorder(tune.Callback, Stopper):
    """Hears from Tune what happens, and writes it down; hears from the user what should, and tells Tune."""

    def __init__(
        self,
        run: RunDir,
        plan: Plan,
        journal: Journal,
        records: dict[int, Record],
        scheduler: JournaledASHA,
        watch: Watcher,
        guard: Guard,
    ) -> None:
        self.run, self.plan, self.journal, self.records = run, plan, journal, records
        self.scheduler, self.watch, self.guard = scheduler, watch, guard
        self.stopping = ""
        self.slots = 1
        self.turns = Turns((), 1)
        self.capacity: Callable[[], int] | None = None
        """Of a cluster, whose hosts come and go: how many slots it has now."""
        self.counted = 0.0
        self.deaths: Counter[int] = Counter()
        """Workers that each trial lost since it last finished an epoch."""
        self.fatal: RunError | None = None
        self.ended_here: set[int] = set()
        """Trials that were ended from here and not by their worker; Tune has to be told."""
        self.alone: set[int] = set()
        """Trials that ran out of memory beside others: each is tried once more, alone."""
        self.polled = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore of its own, and ours is the journal."""
        return {}

    def write(self, event: Event) -> None:
        try:
            self.journal.append(event)
        except RunError as error:
            self.fatal = error  # Tune wraps what its callbacks raise
            raise
        apply_event(self.records, event)
        self.watch(event)

    def end(self, number: int, state: TrialState, reason: str, **fields: Any) -> None:
        try:
            self.write(TrialEnded(trial=number, state=state, reason=reason, **fields))
        except InvalidEvent as error:
            state = TrialState.FAILED
            reason = f"its results cannot be recorded: {error}"
            self.write(TrialEnded(trial=number, state=state, reason=reason))
        self.guard.ended(number, state, reason)
        self.stopping = self.stopping or self.guard.trouble()  # before the next trial has its turn
        let_go(self.run, self.records, number, self.plan.sweep.metric, self.plan.sweep.mode)

    def out_of_memory(self, number: int, reason: str, **fields: Any) -> None:
        """Once beside others is once; alone, or with nobody beside it, it is for good."""
        if number in self.alone or self.slots < 2:
            self.end(number, TrialState.OUT_OF_MEMORY, reason, **fields)
        else:
            self.alone.add(number)
            self.guard.waits(number)
            self.write(RetryAlone(trial=number, reason=reason))

    def spared(self, number: int) -> None:
        """Writes down, once, that a trial of the audit would have been stopped."""
        stop = self.scheduler.rungs.spared.get(number)
        if stop and not self.records[number].audit_stop:
            self.write(AuditStop(trial=number, **self._said(stop)))

    def stopped(self, number: int, stop: Stop) -> None:
        self.end(number, TrialState.STOPPED, **self._said(stop))

    def _said(self, stop: Stop) -> dict[str, Any]:
        """What the journal holds of a scheduler's decision."""
        scheduler = self.plan.sweep.scheduler
        assert scheduler
        reason = stop.reason(
            self.plan.sweep.metric, self.plan.sweep.mode, scheduler.reduction_factor
        )
        return {
            "reason": reason,
            "rung": stop.rung,
            "value": stop.value,
            "cutoff": stop.cutoff,
            "seen": stop.seen,
        }

    # What Tune tells us. An exception here would end the sweep, and should: without a journal nothing is safe.

    def on_trial_start(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        number = trial.config["number"]
        if not self.records[number].state.is_final:  # killed while its worker was on its way
            self.write(TrialStarted(trial=number, epoch=self.records[number].last_epoch))
            self.guard.sign(number)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[RayTrial],
        trial: RayTrial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        number = trial.config["number"]
        record = self.records[number]
        if record.state.is_final:
            return
        self.guard.sign(number)
        if "row" in result and result["epoch"] not in record.epochs:
            location: dict[str, Any] = {}
            if not record.starts[-1].host:  # the worker reports where it runs with its first epoch
                location = {name: result[name] for name in LOCATION if name in result}
            try:
                self.write(
                    EpochFinished(
                        trial=number, epoch=result["epoch"], metrics=result["row"], **location
                    )
                )
            except InvalidEvent as error:
                self.end(number, TrialState.FAILED, f"its metrics cannot be recorded: {error}")
                self.ended_here.add(number)
                return
            del self.deaths[number]
        self.spared(number)
        if stop := self.scheduler.stops.get(number):
            self.stopped(number, stop)
        elif "halt" in result:
            self.stopping = f"given up: {result['halt']}"
        elif "end" in result:
            end = dict(result["end"])
            state, reason = TrialState(end.pop("state")), end.pop("reason")
            if state == "oom":
                self.out_of_memory(number, reason, **end)
            else:
                self.end(number, state, reason, **end)

    def on_trial_error(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        number = trial.config["number"]
        if self.records[number].state.is_final:
            return
        error = (
            Path(trial.error_file).read_text()
            if trial.error_file and Path(trial.error_file).exists()
            else ""
        )
        if "OutOfMemoryError" in error:
            self.out_of_memory(number, "out of memory: Ray ended its worker", error=error)
            return
        self.deaths[number] += 1
        if self.deaths[number] > RESTARTS:
            reason = (
                f"its worker was lost {self.deaths[number]} times in a row, without one more epoch"
            )
            self.end(number, TrialState.FAILED, reason, error=error)
        else:
            self.guard.waits(number)
            self.turns.again(number)

    def on_step_end(self, iteration: int, trials: list[RayTrial], **info: Any) -> None:
        if time.monotonic() - self.polled < POLL_SECONDS:
            return
        self.polled = time.monotonic()
        self.watch(None)
        if self.capacity and self.polled - self.counted > COUNT_SECONDS:
            self.counted = self.polled
            self.turns.slots = self.capacity()
        if self.run.stop_request.exists():
            self.stopping = "stopped by `cae-sweep stop`"
        for number in self.run.kill_requests():
            self.run.kill_request(number).unlink(missing_ok=True)
            if number in self.records and not self.records[number].state.is_final:
                self.end(number, TrialState.KILLED, "killed by `cae-sweep kill`")
                self.ended_here.add(number)
        self.stopping = (
            self.stopping
            or self.guard.trouble()
            or (self.run.abort_reason and f"given up: {self.run.abort_reason}")
        )
        hung = dict(self.guard.hung(self.records))
        for number, reason in hung.items():
            self.end(number, TrialState.FAILED, reason)
            self.ended_here.add(number)
        if self.scheduler.controller and self.ended_here:
            for trial in trials:  # those of Tune; it makes the others when their turn comes
                number = trial.config["number"]
                if number in hung and (actor := trial.temporary_state.ray_actor):
                    ray.kill(actor)  # what hangs hears nothing else
                elif number in self.ended_here and trial.status in (
                    RayTrial.PENDING,
                    RayTrial.RUNNING,
                ):
                    self.scheduler.controller.stop_trial(trial)

    # What we tell Tune.

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return bool(self.stopping)
