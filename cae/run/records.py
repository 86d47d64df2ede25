"""Records of trials, computed by replaying the events of a journal. Standard library only."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from cae.run.events import (
    AuditStop,
    EpochFinished,
    Event,
    SessionEnded,
    SessionStarted,
    TrialEnded,
    TrialPaused,
    TrialPlanned,
    TrialRetried,
    TrialStarted,
    stop_cause,
)
from cae.run.groups import Group, parse_group
from cae.run.json_values import JsonObject
from cae.run.metric_direction import Mode
from cae.run.trial_state import StopCause, TrialState


class BestEpoch(NamedTuple):
    """An epoch, counted from 1, and the value of a metric in it."""

    epoch: int
    value: float


@dataclass
class Record:
    """What the journal records about one trial."""

    number: int
    hash: str
    config: JsonObject
    axes: JsonObject
    sizes: JsonObject
    state: TrialState = TrialState.PENDING
    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    """Metrics by epoch, counted from 1. Only the first report of an epoch counts."""
    epoch_times: dict[int, float] = field(default_factory=dict)
    """When each epoch was reported, in seconds since the epoch (UTC)."""
    starts: list[TrialStarted] = field(default_factory=list)
    end: TrialEnded | None = None
    is_requested: bool = True
    """Whether the trial belongs to the current sweep: the newest `run` requests it. The others are
    of earlier sweeps of the run (another search space, other settings) and keep their values."""
    dependencies: dict[str, int] = field(default_factory=dict)
    """Numbers of the trials that have to finish first, by the parameter that names them."""
    is_dependency: bool = False
    """Whether the trial runs only because other trials depend on it; it is not ranked then."""
    is_audit: bool = False
    """Whether the trial is exempt from early stopping."""
    audit_stop: AuditStop | None = None
    """Why the scheduler would have stopped an audit trial."""
    group_description: JsonObject = field(default_factory=dict)
    """The comparability group as the journal describes it; empty if it does not."""
    fingerprint: str = ""
    """Of the images; empty in journals of versions that did not record it."""
    code: str = ""
    """Digest of the source code of the user's components; empty without such components, and in
    journals of versions that did not record it."""
    code_snapshot: str = ""
    """Name of the folder in `code/` with the files that define them."""
    pixels: JsonObject = field(default_factory=dict)
    """The type of its images, and their values of black and white; empty in journals of versions
    that did not record it."""
    suggestion: JsonObject = field(default_factory=dict)
    """Why a search suggested the trial; empty if it was planned before the sweep started."""
    earlier_end: TrialEnded | None = None
    """How the trial finished before it was extended to more epochs, or measured again."""
    lost_epochs: int = 0
    """Finished epochs that had to be trained again because files of the trial were lost."""
    restart_reason: str = ""
    """Which file it was, in words; empty if `lost_epochs` is 0."""
    _best: dict[tuple[str, str], BestEpoch | None] = field(
        default_factory=dict, repr=False, compare=False
    )
    """Best epochs by metric and mode, until the epochs change. `status` and the live table compute
    them again and again, and of ten thousand trials few change between two calls."""
    _means: dict[str, float | None] = field(default_factory=dict, repr=False, compare=False)

    @functools.cached_property
    def group(self) -> Group:
        """The comparability group, by itself (see `groups.assign_groups`)."""
        return parse_group(self.group_description, self.config)

    def describe_group(self, description: JsonObject) -> None:
        """Set the comparability group if none is recorded: values keep the group that they were
        measured in."""
        if description and not self.group_description:
            self.group_description = description
            self.__dict__.pop("group", None)

    @property
    def stop_cause(self) -> StopCause | None:
        """Why the trial was stopped early; None if it was not."""
        if self.state != TrialState.STOPPED or self.end is None:
            return None
        return stop_cause(self.end)

    @property
    def is_fully_trained(self) -> bool:
        """Whether its value is that of complete training: it trained all epochs, or was stopped
        because its own metric did not improve any more."""
        return self.state == TrialState.FINISHED or self.stop_cause == StopCause.PATIENCE

    @property
    def is_cut_short(self) -> bool:
        """Whether the trial was stopped for its value: what it would have reached is unknown."""
        return self.state == TrialState.STOPPED and not self.is_fully_trained

    @property
    def reason(self) -> str:
        """Why the trial ended; empty if it has not."""
        if self.end is None:
            return ""
        return self.end.reason

    @property
    def error(self) -> str:
        """The traceback that ended the trial; empty if there is none."""
        if self.end is None:
            return ""
        return self.end.error

    @property
    def final_metrics(self) -> dict[str, float]:
        """Metrics of the final evaluation; empty if there was none."""
        if self.end is None:
            return {}
        return self.end.metrics

    def final_metrics_of(self, best_epoch: int) -> dict[str, float]:
        """Metrics of the final evaluation of the weights of the best epoch.

        While a finished trial is extended, those of before, as long as its best epoch is the same.
        """
        if self.final_metrics or self.earlier_end is None:
            return self.final_metrics
        if self.earlier_end.best_epoch == best_epoch:
            return self.earlier_end.metrics
        return {}

    @property
    def is_ranked(self) -> bool:
        """Whether the trial may be the best one: it has a usable checkpoint of its best epoch.

        A trial that finished and failed when it was extended keeps its value.
        """
        if self.is_dependency:
            return False
        return self.state.is_ranked or self.earlier_end is not None

    @property
    def final_tables(self) -> dict[str, list[JsonObject]]:
        """Tables of the final evaluation, by name; empty if there was none."""
        if self.end is None:
            return {}
        return self.end.tables

    @property
    def last_epoch(self) -> int:
        """The last finished epoch; 0 if there is none."""
        return max(self.epochs, default=0)

    def best(self, metric: str, mode: Mode) -> BestEpoch | None:
        """The epoch with the best finite value of `metric`; the earliest of equal ones.

        None if no epoch has a finite value, or if the trial is not ranked (`is_ranked`). Whether
        the current sweep requests it does not matter: a run only grows.
        """
        if not self.is_ranked:
            return None
        key = (metric, mode)
        if key not in self._best:
            self._best[key] = self._find_best(metric, mode)
        return self._best[key]

    def _find_best(self, metric: str, mode: Mode) -> BestEpoch | None:
        best: BestEpoch | None = None
        for epoch in sorted(self.epochs):
            value = self.epochs[epoch].get(metric, math.nan)
            if not math.isfinite(value):
                continue
            if mode == "min":
                is_better = best is None or value < best.value
            else:
                is_better = best is None or value > best.value
            if is_better:
                best = BestEpoch(epoch, value)
        return best

    def mean(self, metric: str) -> float | None:
        """Mean of a metric over all epochs in which it is finite; None if there are none."""
        if metric not in self._means:
            values = [row.get(metric, math.nan) for row in self.epochs.values()]
            finite_values = [value for value in values if math.isfinite(value)]
            mean = None
            if finite_values:
                mean = sum(finite_values) / len(finite_values)
            self._means[metric] = mean
        return self._means[metric]

    def forget_statistics(self) -> None:
        """Drop what was computed from the epochs, after they changed."""
        if self._best or self._means:
            self._best.clear()
            self._means.clear()


def replay(events: Iterable[Event], *, is_running: bool) -> dict[int, Record]:
    """The records of all trials, by number, from the events of a journal.

    Args:
        events: The events in their order.
        is_running: Whether the writer of the journal is alive: a trial that started and did not end
            is `running` then, and `interrupted` otherwise.
    """
    records: dict[int, Record] = {}
    for event in events:
        apply_event(records, event)
    for record in records.values():
        if record.state == TrialState.RUNNING and not is_running:
            record.state = TrialState.INTERRUPTED
        is_waiting = record.state.is_remaining and record.state != TrialState.RUNNING
        if is_waiting and not record.is_requested:
            record.state = TrialState.WITHDRAWN
    return dict(sorted(records.items()))


def apply_event(records: dict[int, Record], event: Event) -> None:
    """Update the records with the next event."""
    match event:
        case EpochFinished():  # the most frequent event comes first
            if event.trial in records:
                _apply_epoch(records[event.trial], event)
        case SessionStarted():
            requested = set(event.trials)
            for record in records.values():
                record.is_requested = record.number in requested
            _interrupt_running_trials(records)
        case SessionEnded():
            _interrupt_running_trials(records)
        case TrialPlanned():
            _apply_plan(records, event)
        case TrialStarted():
            if event.trial in records:
                _apply_start(records[event.trial], event)
        case TrialEnded():
            if event.trial in records:
                record = records[event.trial]
                record.state = event.state
                record.end = event
        case TrialPaused():
            if event.trial in records:
                records[event.trial].state = TrialState.WAITING
        case AuditStop():
            if event.trial in records:
                records[event.trial].audit_stop = event
        case TrialRetried():
            if event.trial in records:
                _apply_retry(records[event.trial], event)


def _interrupt_running_trials(records: dict[int, Record]) -> None:
    """The session in which the running trials were started has ended."""
    for record in records.values():
        if record.state == TrialState.RUNNING or record.state == TrialState.WITHDRAWN:
            if record.starts:
                record.state = TrialState.INTERRUPTED
            else:
                record.state = TrialState.PENDING


def _apply_epoch(record: Record, event: EpochFinished) -> None:
    if event.epoch not in record.epochs:
        record.epochs[event.epoch] = event.metrics
        record.epoch_times[event.epoch] = event.time
        record.forget_statistics()
    if event.host and record.starts:
        start = record.starts[-1]
        start.host = event.host
        start.device = event.device
        start.worker = event.worker
        start.gpu_ids = event.gpu_ids
        start.replayed_steps = event.replayed_steps
        start.peak_gpu_bytes = event.peak_gpu_bytes


def _apply_plan(records: dict[int, Record], event: TrialPlanned) -> None:
    known = records.get(event.trial)
    if known is not None and known.hash == event.hash:
        known.dependencies = event.dependencies
        known.is_dependency = event.is_dependency
        known.is_audit = event.is_audit
        known.describe_group(event.group)
        known.pixels = known.pixels or event.pixels
        if event.suggestion:
            known.suggestion = event.suggestion
            known.is_requested = True
        return
    record = Record(
        number=event.trial,
        hash=event.hash,
        config=event.config,
        axes=event.axes,
        sizes=event.sizes,
        dependencies=event.dependencies,
        is_dependency=event.is_dependency,
        is_audit=event.is_audit,
        group_description=event.group,
        fingerprint=event.fingerprint,
        code=event.code,
        code_snapshot=event.code_snapshot,
        pixels=event.pixels,
        suggestion=event.suggestion,
    )
    if known is not None:  # the same trial, extended to more epochs
        record.epochs = known.epochs
        record.epoch_times = known.epoch_times
        record.starts = known.starts
        record.audit_stop = known.audit_stop
        record.earlier_end = known.earlier_end
        record.suggestion = event.suggestion or known.suggestion
        record.lost_epochs = known.lost_epochs
        record.restart_reason = known.restart_reason
        if known.state == TrialState.FINISHED:
            record.state = TrialState.INTERRUPTED
            record.earlier_end = known.end
        else:
            record.state = known.state
            record.end = known.end
    records[record.number] = record


def _apply_start(record: Record, event: TrialStarted) -> None:
    record.state = TrialState.RUNNING
    record.end = None
    record.starts.append(replace(event))  # a copy, because the first epoch sets where it ran


def _apply_retry(record: Record, event: TrialRetried) -> None:
    if record.state == TrialState.FINISHED:
        record.earlier_end = record.end  # it keeps its value until it has ended again
    if record.state != TrialState.RUNNING:
        record.state = TrialState.INTERRUPTED
    record.end = None
    if event.reason:
        record.lost_epochs += sum(epoch > event.epoch for epoch in record.epochs)
        record.restart_reason = event.reason
    if event.epoch < record.last_epoch:
        record.earlier_end = None
    record.forget_statistics()
    for epoch in list(record.epochs):
        if epoch > event.epoch:
            del record.epochs[epoch]
            del record.epoch_times[epoch]
