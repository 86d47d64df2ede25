"""How the time of the slots was spent, from the times in the journal.

A slot runs one trial at a time. Its time in a session is from the session's first to its last
event.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from cae.report.data.results import Results, Session
from cae.run.records import Record
from cae.run.trial_state import TrialState

SECONDS_PER_HOUR = 3600


class SlotTime(StrEnum):
    """What the time of a slot was spent on."""

    FINISHED = "finished"
    """Training of trials that finished (or were stopped by their patience), are running, or were
    interrupted and can be resumed."""
    STOPPED = "stopped"
    """Training of trials that were stopped for their values."""
    LOST = "lost"
    """Training of trials that failed, diverged, ran out of memory, or were killed or withdrawn."""
    OVERHEAD = "overhead"
    """The rest of the time of trials: starting workers, checkpoints, final evaluation."""
    START = "start"
    """Without a trial, before the first trial of a session."""
    BETWEEN = "between"
    """Without a trial, between the first and the last start."""
    END = "end"
    """Without a trial, after the last trial was started: no trials remain."""


TRAINING = (SlotTime.FINISHED, SlotTime.STOPPED, SlotTime.LOST)
WITHOUT_TRIAL = (SlotTime.START, SlotTime.BETWEEN, SlotTime.END)
LOST_STATES = frozenset(
    {
        TrialState.FAILED,
        TrialState.DIVERGED,
        TrialState.OUT_OF_MEMORY,
        TrialState.KILLED,
        TrialState.WITHDRAWN,
    }
)


@dataclass(frozen=True, eq=False, kw_only=True)
class WorkerUtilization:
    spans: pd.DataFrame
    """One row per time that a trial held a slot: trial (row of the table of trials), state,
    training (seconds in epochs), begin and end (hours since the start, without the time between
    sessions), lane. Joined runs follow each other."""
    seconds: dict[SlotTime, float]
    """Seconds of all slots, by what they were spent on."""
    running_seconds: float
    """Time in which the sweep was running."""
    slots: int
    """Largest number of slots in a session."""
    sessions: int
    """Number of sessions in which a trial was started."""

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())

    @property
    def training_share(self) -> float:
        """Share of the slots' time that was training; NaN if there is no time."""
        if not self.total_seconds:
            return math.nan
        return sum(self.seconds[kind] for kind in TRAINING) / self.total_seconds

    @property
    def unused_share(self) -> float:
        """Share of the slots' time in which they had no trial; NaN if there is no time."""
        if not self.total_seconds:
            return math.nan
        return sum(self.seconds[kind] for kind in WITHOUT_TRIAL) / self.total_seconds


@dataclass(frozen=True)
class _Span:
    """The time for which a trial held a slot, in seconds since the epoch."""

    trial: int
    state: TrialState
    kind: SlotTime
    """What its training was."""
    training: float
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def measure_utilization(results: Results) -> WorkerUtilization:
    rows: list[tuple[object, ...]] = []
    seconds = dict.fromkeys(SlotTime, 0.0)
    running_seconds = 0.0
    max_slots = 0
    sessions = 0
    first_trial = 0
    for run in results.runs:
        spans: list[_Span] = []
        for trial, record in enumerate(run.records.values(), first_trial):
            spans += _spans(record, trial)
        first_trial += len(run.records)
        for session in run.sessions:
            begin = session.start.time
            in_session = [span for span in spans if begin <= span.begin <= session.end_time]
            in_session.sort(key=lambda span: span.begin)
            _add_seconds(seconds, in_session, session)
            for span, lane in zip(in_session, _lanes(in_session), strict=True):
                hours = (running_seconds + span.begin - begin) / SECONDS_PER_HOUR
                end_hours = (running_seconds + span.end - begin) / SECONDS_PER_HOUR
                rows.append((span.trial, span.state, span.training, hours, end_hours, lane))
            running_seconds = running_seconds + session.end_time - begin
            max_slots = max(max_slots, _slots(session))
            if in_session:
                sessions += 1
    columns = ["trial", "state", "training", "begin", "end", "lane"]
    return WorkerUtilization(
        spans=pd.DataFrame(rows, columns=columns),
        seconds=seconds,
        running_seconds=running_seconds,
        slots=max_slots,
        sessions=sessions,
    )


def _slots(session: Session) -> int:
    return session.start.slots or 1


def _spans(record: Record, trial: int) -> list[_Span]:
    """Return a span per start of a trial.

    It ends with the trial, or with the last epoch before the next start.
    """
    spans = []
    for index, start in enumerate(record.starts):
        is_last = index + 1 == len(record.starts)
        next_start = math.inf
        if not is_last:
            next_start = record.starts[index + 1].time
        end = start.time
        training = 0.0
        for epoch, time in record.epoch_times.items():
            if start.time <= time < next_start:
                end = max(end, time)
                seconds = record.epochs[epoch].get("seconds", math.nan)
                if math.isfinite(seconds):
                    training += seconds
        if is_last and record.end is not None:
            end = max(end, record.end.time)
        training = min(training, end - start.time)
        kind = _training_kind(record)
        spans.append(_Span(trial, record.state, kind, training, start.time, end))
    return spans


def _lanes(spans: list[_Span]) -> list[int]:
    """Return for each span the first lane that is free; spans are sorted by their begin."""
    lanes = []
    ends: list[float] = []
    for span in spans:
        lane = 0
        while lane < len(ends) and ends[lane] > span.begin + 1e-6:
            lane += 1
        if lane == len(ends):
            ends.append(span.end)
        else:
            ends[lane] = span.end
        lanes.append(lane)
    return lanes


def _add_seconds(seconds: dict[SlotTime, float], spans: list[_Span], session: Session) -> None:
    """Add the time of all slots in a session; spans are sorted by their begin."""
    begin = session.start.time
    end = session.end_time
    slots = _slots(session)
    if not spans or end <= begin:
        return
    for span in spans:
        seconds[span.kind] += span.training
        seconds[SlotTime.OVERHEAD] += span.seconds - span.training
    held = sum(span.seconds for span in spans)
    before_first = (spans[0].begin - begin) * slots
    last_begin = spans[-1].begin
    held_after_last = sum(max(0.0, span.end - max(span.begin, last_begin)) for span in spans)
    after_last = max(0.0, (end - last_begin) * slots - held_after_last)
    between = max(0.0, (end - begin) * slots - held - before_first - after_last)
    seconds[SlotTime.START] += before_first
    seconds[SlotTime.END] += after_last
    seconds[SlotTime.BETWEEN] += between


def _training_kind(record: Record) -> SlotTime:
    if record.is_cut_short:
        return SlotTime.STOPPED
    if record.state in LOST_STATES:
        return SlotTime.LOST
    return SlotTime.FINISHED
