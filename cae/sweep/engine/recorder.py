"""Between Tune and the journal: records what happens to trials, and forwards requests to Tune."""

from __future__ import annotations

import math
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as RayTrial
from ray.tune.stopper import Stopper
from typing_extensions import override

from cae.errors import RunError
from cae.run.events import (
    ABORTED,
    AuditStop,
    EpochFinished,
    Event,
    InvalidEvent,
    Notice,
    RetryAlone,
    Stopping,
    TrialEnded,
    TrialPaused,
    TrialRetried,
    TrialStarted,
)
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.records import Record, apply_event
from cae.run.status import restart_text
from cae.run.trial_state import TrialState
from cae.sweep.engine import ray_compat
from cae.sweep.engine.limits import WORKER_START_SECONDS, LimitMonitor
from cae.sweep.engine.out_of_memory import mentions_gpu_out_of_memory
from cae.sweep.engine.retention import prune_checkpoints
from cae.sweep.engine.sweep_stops import SweepStops
from cae.sweep.engine.trial_queue import TrialQueue
from cae.sweep.engine.tune_scheduler import TuneScheduler
from cae.sweep.engine.worker_report import REPORT, TrialUsage, WorkerReport
from cae.sweep.places.ray_needs import likely_causes
from cae.sweep.schedulers.base import Stop
from cae.sweep.spec.plan import Plan

POLL_SECONDS = 0.5
SLOT_COUNT_SECONDS = 5.0
MAX_RESTARTS = 3
"""How often in a row a trial restarts after its worker died; a finished epoch resets the count."""
MAX_START_FAILURES = 2
"""How often workers may end with the same exception before any of them has reported anything."""

LOST_CHECKPOINT = "its newest checkpoint is missing, damaged or of another trial"
"""Why a finished epoch is trained again."""

_EXCEPTION = re.compile(r"^(?:\w+\.)*(\w+(?:Error|Exception): .+)$", re.MULTILINE)
DEATH_OF_A_PROCESS = re.compile("^(ActorDied|ActorUnavailable|WorkerCrashed|NodeDied)")
"""Ray's exceptions for a process that ended: perhaps killed, or by the code of one trial."""

Watcher = Callable[[Notice], None]
"""Called with each event after it is written, when the sweep is stopped, and with None from time to
time."""


class Recorder(tune.Callback, Stopper):
    """Writes what Tune reports to the journal; stops trials and the sweep on request."""

    def __init__(
        self,
        run: RunDir,
        plan: Plan,
        journal: Journal,
        records: dict[int, Record],
        scheduler: TuneScheduler,
        watch: Watcher,
        limits: LimitMonitor,
        stops: SweepStops,
    ) -> None:
        self.run = run
        self.plan = plan
        self.journal = journal
        self.records = records
        self.scheduler = scheduler
        self.watch = watch
        self.limits = limits
        self.stops = stops
        self.stop_reason = ""
        """Why the sweep ends before it is complete; empty while it runs."""
        self.slots = 1
        self.queue = TrialQueue((), 1)
        self.count_slots: Callable[[], int] | None = None
        """Number of slots of a cluster, whose hosts join and leave."""
        self.worker_deaths: Counter[int] = Counter()
        """Workers that each trial lost since its last finished epoch."""
        self.furthest_epochs: dict[int, int] = {}
        """The furthest epoch of trials that were trained again from an earlier one: only beyond it
        there is progress."""
        self.usage: dict[int, TrialUsage] = {}
        """The newest usage of the trials that have not ended."""
        self.has_reports = False
        """Whether a worker of this session has reported anything."""
        self.start_failures: Counter[str] = Counter()
        """Exceptions of workers that ended before any has reported anything."""
        self.fatal_error: RunError | None = None
        """The journal cannot be written. Tune wraps exceptions of its callbacks."""
        self.ended_here: set[int] = set()
        """Trials that were ended by this class and not by their worker; Tune has to stop them."""
        self.run_alone: set[int] = set()
        """Trials that ran out of memory while others were running; each is retried once, alone."""
        self._is_stop_shown = False
        self._polled = 0.0
        self._slots_counted = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks for its own restore, which is not used."""
        return {}

    # Writing events

    def write(self, event: Event) -> None:
        """Append an event to the journal, update the records and show it."""
        try:
            self.journal.append(event)
        except RunError as error:
            self.fatal_error = error
            raise
        apply_event(self.records, event)
        self.watch(event)

    def end_trial(self, end: TrialEnded, *, has_run: bool = True) -> None:
        """Record the end of a trial. It fails if its results cannot be recorded.

        `has_run`: False for a trial that could not start, which is no failure of its own.
        """
        usage = self.usage.pop(end.trial, None)
        if usage is not None:
            end = replace(end, **asdict(usage))
        try:
            self.write(end)
        except InvalidEvent as error:
            reason = f"its results cannot be recorded: {error}"
            end = TrialEnded(trial=end.trial, state=TrialState.FAILED, reason=reason)
            self.write(end)
        end.tables = {}  # they are in the journal; of thousands of trials they need much memory
        if has_run:
            self.limits.ended(end.trial, end.state, end.reason)
        self.stop_reason = (
            self.stop_reason or self.limits.abort_reason() or self.stops.after_trial()
        )
        plan = self.plan
        prune_checkpoints(self.run, self.records, end.trial, plan.sweep.metric, plan.mode)

    def fail_trial(self, number: int, reason: str, error: str = "") -> None:
        """Record that a trial failed."""
        end = TrialEnded(trial=number, state=TrialState.FAILED, reason=reason, error=error)
        self.end_trial(end)

    def fail_dependent(self, number: int, dependency: str) -> None:
        """Record that a trial cannot run, because a trial that it depends on did not finish.

        It is not one more of the failures after which the sweep gives up: the others may have
        nothing to do with that trial.

        Args:
            number: The trial.
            dependency: The other one and how it ended, in words.
        """
        reason = f"dependency failed: {dependency}"
        end = TrialEnded(trial=number, state=TrialState.FAILED, reason=reason)
        self.end_trial(end, has_run=False)

    def out_of_memory(self, number: int, reason: str, error: str = "") -> None:
        """The first out-of-memory error while other trials ran is retried alone; otherwise
        final."""
        if number in self.run_alone or self.slots < 2:
            state = TrialState.OUT_OF_MEMORY
            self.end_trial(TrialEnded(trial=number, state=state, reason=reason, error=error))
        else:
            self.run_alone.add(number)
            self.limits.queued(number)
            self.write(RetryAlone(trial=number, reason=reason))

    def stop_trial(self, number: int, stop: Stop) -> None:
        """Record that a trial was stopped early."""
        self.end_trial(
            TrialEnded(
                trial=number,
                state=TrialState.STOPPED,
                reason=stop.reason,
                rung=stop.rung,
                value=stop.value,
                cutoff=stop.cutoff,
                seen=stop.seen,
                stopped_by=str(stop.cause),
            )
        )

    def record_audit_stop(self, number: int) -> None:
        """Record, once, that an audit trial would have been stopped.

        No trial is stopped after its last epoch: it finishes.
        """
        stop = self.scheduler.judge.audit_stops.get(number)
        record = self.records[number]
        is_last_epoch = stop is not None and stop.rung >= record.config["epochs"]
        if stop is not None and record.audit_stop is None and not is_last_epoch:
            self.write(
                AuditStop(
                    trial=number,
                    reason=stop.reason,
                    rung=stop.rung,
                    value=stop.value,
                    cutoff=stop.cutoff,
                    seen=stop.seen,
                    stopped_by=str(stop.cause),
                )
            )

    # Callbacks of Tune. An exception ends the sweep: without a journal nothing is safe.

    @override
    def on_trial_start(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        number = trial.config["number"]
        record = self.records[number]
        if not record.state.is_final:  # it may have been killed while its worker started
            self.write(TrialStarted(trial=number, epoch=record.last_epoch))
            self.limits.heartbeat(number)

    @override
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
        self.has_reports = True
        report: WorkerReport = result[REPORT]
        self.limits.heartbeat(number)
        if report.usage is not None:
            self.usage[number] = report.usage
        self._record_restart(record, report)
        if report.epoch is not None and report.epoch.epoch not in record.epochs:
            if not self._record_epoch(record, report.epoch):
                return
        self.record_audit_stop(number)
        stop = self.scheduler.stops.get(number)
        if stop is not None:
            self.stop_trial(number, stop)
        elif report.abort_reason:
            self.stop_reason = f"{ABORTED}: {report.abort_reason}"
        elif report.end is not None:
            if report.end.state == TrialState.OUT_OF_MEMORY:
                self.out_of_memory(number, report.end.reason, report.end.error)
            else:
                self.end_trial(report.end)
        elif self.scheduler.judge.is_waiting(number):
            self.limits.queued(number)
            self.write(TrialPaused(trial=number, epoch=record.last_epoch))

    def _record_restart(self, record: Record, report: WorkerReport) -> None:
        """Record if a finished epoch was trained again, because files of the trial are lost."""
        if report.epoch is None or report.is_restored or report.epoch.epoch not in record.epochs:
            return
        furthest = self.furthest_epochs.get(record.number, 0)
        self.furthest_epochs[record.number] = max(furthest, record.last_epoch)
        reason = report.restart_reason or LOST_CHECKPOINT
        self.write(TrialRetried(trial=record.number, epoch=report.epoch.epoch - 1, reason=reason))
        print(f"trial {record.number}: {restart_text(record)}", file=sys.stderr)

    def _record_epoch(self, record: Record, epoch: EpochFinished) -> bool:
        """Write an epoch; False if its metrics cannot be recorded and the trial failed."""
        if record.starts[-1].host:  # only the first epoch after a start reports where it ran
            epoch = EpochFinished(trial=epoch.trial, epoch=epoch.epoch, metrics=epoch.metrics)
        try:
            self.write(epoch)
        except InvalidEvent as error:
            self.fail_trial(record.number, f"its metrics cannot be recorded: {error}")
            self.ended_here.add(record.number)
            return False
        if epoch.epoch > self.furthest_epochs.get(record.number, 0):
            del self.worker_deaths[record.number]
        value = epoch.metrics.get(self.plan.sweep.metric, math.nan)
        self.stop_reason = self.stop_reason or self.stops.after_epoch(value)
        return True

    @override
    def on_trial_error(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        number = trial.config["number"]
        if self.records[number].state.is_final:
            return
        error = ""
        if trial.error_file and Path(trial.error_file).exists():
            error = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
        if "OutOfMemoryError" in error and not mentions_gpu_out_of_memory(error):
            self.out_of_memory(number, "out of memory: Ray killed its worker", error)
            return
        if mentions_gpu_out_of_memory(error):
            self.out_of_memory(number, "out of memory on the GPU", error)
            return
        cause = last_exception(error)
        if self._can_no_worker_start(cause):
            self.stop_reason = f"{ABORTED}: workers cannot start: {cause}"
            return
        self.worker_deaths[number] += 1
        if self.worker_deaths[number] > MAX_RESTARTS:
            deaths = self.worker_deaths[number]
            reason = f"its worker died {deaths} times in a row without another finished epoch"
            if cause:
                reason += f": {cause}"
            self.fail_trial(number, reason, error)
        else:
            self.limits.queued(number)
            self.queue.restart(number)

    @override
    def on_trial_complete(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any
    ) -> None:
        ray_compat.forget_results(trial)

    def _can_no_worker_start(self, cause: str) -> bool:
        """Whether workers failed twice with the same exception before any has reported anything.

        Exceptions of trials are reported by their workers: this one is of the start of a worker.
        """
        if self.has_reports or not cause or DEATH_OF_A_PROCESS.search(cause):
            return False
        self.start_failures[cause] += 1
        return self.start_failures[cause] >= MAX_START_FAILURES

    @override
    def on_step_end(self, iteration: int, trials: list[RayTrial], **info: Any) -> None:
        now = time.monotonic()
        self._show_stop()
        if now - self._polled < POLL_SECONDS:
            return
        self._polled = now
        self.watch(None)
        self._update_slots(now)
        self._handle_requests()
        self.stop_reason = self.stop_reason or self._abort_reason()
        hung = self._fail_hung_trials()
        self._stop_ended_trials(trials, hung)
        self._show_stop()

    def _show_stop(self) -> None:
        """Show, once, that the sweep is being stopped: its workers may take seconds to end."""
        if self.stop_reason and not self._is_stop_shown:
            self._is_stop_shown = True
            self.watch(Stopping(self.stop_reason, self.running_trials))

    @property
    def running_trials(self) -> int:
        """Number of trials that are running."""
        states = [record.state for record in list(self.records.values())]
        return states.count(TrialState.RUNNING)

    def _update_slots(self, now: float) -> None:
        if self.count_slots is not None and now - self._slots_counted > SLOT_COUNT_SECONDS:
            self._slots_counted = now
            self.queue.slots = self.count_slots()

    def _handle_requests(self) -> None:
        """Handle `cae-sweep stop` and `cae-sweep kill`."""
        if self.run.stop_request.exists():
            self.stop_reason = "stopped by `cae-sweep stop`"
        for number in self.run.kill_requests():
            self.run.kill_request(number).unlink(missing_ok=True)
            if number in self.records and not self.records[number].state.is_final:
                reason = "killed by `cae-sweep kill`"
                state = TrialState.KILLED
                self.end_trial(TrialEnded(trial=number, state=state, reason=reason))
                self.ended_here.add(number)

    def _abort_reason(self) -> str:
        reason = self.limits.abort_reason() or self.stops.after_time()
        if not reason and self.run.abort_reason:
            reason = f"{ABORTED}: {self.run.abort_reason}"
        if not reason and self.limits.has_waited_too_long():
            seconds = f"{WORKER_START_SECONDS:.0f} s"
            reason = f"{ABORTED}: no worker has started within {seconds}; {likely_causes()}"
        return reason

    def _fail_hung_trials(self) -> set[int]:
        hung: set[int] = set()
        for trial in self.limits.hung_trials(self.records):
            self.fail_trial(trial.number, trial.reason)
            self.ended_here.add(trial.number)
            hung.add(trial.number)
        return hung

    def _stop_ended_trials(self, trials: list[RayTrial], hung: set[int]) -> None:
        """Make Tune stop the trials that were ended here.

        `trials` are those that Tune knows; it gets the others from the queue.
        """
        if self.scheduler.controller is None or not self.ended_here:
            return
        for trial in trials:
            number = trial.config["number"]
            if number in hung:
                ray_compat.kill_worker(trial)  # a hung process reacts to nothing else
            elif number in self.ended_here:
                ray_compat.stop_trial(self.scheduler.controller, trial)

    # Stopper of Tune

    @override
    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    @override
    def stop_all(self) -> bool:
        return bool(self.stop_reason)


def last_exception(traceback_text: str) -> str:
    """The name and the first line of the last exception in a traceback; empty if there is none."""
    found: list[str] = _EXCEPTION.findall(traceback_text)
    if not found:
        return ""
    return found[-1]
