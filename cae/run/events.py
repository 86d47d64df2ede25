"""The events of a run's journal: one dataclass per kind, used by the writer and the reader.

An event is one line of JSON: its kind as `event`, its time as `time` (seconds since the epoch,
UTC), and its fields; optional fields that have their default value are left out. The writer refuses
what the reader would not accept. Unknown kinds and fields come from a newer version: they stay in
the file and are ignored. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from cae.run.fields import (
    NUMBER,
    Check,
    Count,
    Counts,
    CountsByName,
    Flag,
    InvalidField,
    Metrics,
    Object,
    OptionalCount,
    OptionalNumber,
    Text,
    TextsByName,
    list_of,
    mapping_of,
    parse_record,
    to_json_fields,
)
from cae.run.json_values import MAX_COUNT, JsonObject, is_count, is_finite_number, to_metrics
from cae.run.trial_state import StopCause, TrialState

_PATIENCE_MARK = "(patience)"
_WORST_VALUE_MARK = "is worse than worst_value"
"""Parts of the reasons of stops, in journals of versions that did not record their causes."""
_FINAL_STATES = [state for state in TrialState if state.is_final]


class InvalidEvent(ValueError):
    """A field of an event has a value that the journal cannot hold: `KIND.FIELD = VALUE: ...`."""


def _is_time(value: object) -> bool:
    return is_finite_number(value) and -MAX_COUNT < value < MAX_COUNT


def _is_config(value: object) -> bool:
    return isinstance(value, dict) and is_count(value.get("epochs")) and value["epochs"] > 0


def _is_size(value: object) -> bool:
    return isinstance(value, list) or NUMBER.is_valid(value)


def _is_row(value: object) -> bool:
    return isinstance(value, dict) and len(value) > 0


def _is_final_state(value: object) -> bool:
    return isinstance(value, str) and value in _FINAL_STATES


_TABLE = list_of(Check("a row with at least one column", _is_row), "a list of rows")

Time = Annotated[float, Check("seconds since the epoch", _is_time)]
Config = Annotated[JsonObject, Check("a dictionary with `epochs` above 0", _is_config)]
Sizes = Annotated[
    JsonObject, mapping_of(Check("a finite number or a list", _is_size), "a dictionary of sizes")
]
Tables = Annotated[dict[str, list[JsonObject]], mapping_of(_TABLE, "a dictionary of tables")]
FinalState = Annotated[
    TrialState,
    Check(f"one of {', '.join(_FINAL_STATES)}", _is_final_state),
]


@dataclass(slots=True, kw_only=True)
class Event:
    """What every event has."""

    kind: ClassVar[str] = ""
    time: Time = 0.0
    """Seconds since the epoch (UTC). The journal sets it when it appends the event."""


@dataclass(slots=True, kw_only=True)
class SessionStarted(Event):
    """A `run` command began."""

    kind: ClassVar[str] = "session"
    trials: Counts
    """The numbers of the trials that it requests."""
    command: Text = ""
    host: Text = ""
    pid: OptionalCount = None
    versions: TextsByName = field(default_factory=dict)
    sweep: Text = ""
    """Name of the sweep file without its suffix; empty in journals of older versions, as are
    metric and mode."""
    metric: Text = ""
    """The metric by which trials are ranked."""
    mode: Text = ""
    """"min" or "max"."""
    slots: OptionalCount = None
    """How many trials run at the same time."""
    cpus: OptionalNumber = None
    gpus: OptionalNumber = None


@dataclass(slots=True, kw_only=True)
class TrialPlanned(Event):
    """A trial was added to the run, or its configuration was extended."""

    kind: ClassVar[str] = "trial"
    trial: Count
    hash: Text
    config: Config
    """The configuration by dotted name."""
    axes: Object
    """The values of the keys of the search space."""
    sizes: Sizes
    """Parameters, latent size and cost of the network."""
    dependencies: CountsByName = field(default_factory=dict)
    """Numbers of the trials that have to finish first, by the parameter that names them."""
    is_dependency: Flag = False
    """Whether the trial runs only because other trials depend on it."""
    is_audit: Flag = False
    """Whether the trial is exempt from early stopping, to measure what stopping costs."""
    group: Object = field(default_factory=dict)
    """The comparability group (see cae/run/groups.py): key, parameters, and keys of the definitions
    of metrics. Empty in journals of versions that did not record it."""
    fingerprint: Text = ""
    """Of its images, and of those of its dependencies."""
    code: Text = ""
    """Digest of the source code of the user's components; empty without such components."""
    code_snapshot: Text = ""
    """Name of the folder in `code/` with the files that define them."""
    pixels: Object = field(default_factory=dict)
    """The type of its images, and their values of black and white: dtype, value_range, and how
    inputs are made of them. Empty in journals of versions that did not record it."""
    suggestion: Object = field(default_factory=dict)
    """Why a search suggested the trial while the sweep ran: method, reason, and what its model
    expected. Empty for trials that were planned before."""


@dataclass(slots=True, kw_only=True)
class TrialStarted(Event):
    """A worker started the trial or resumed it.

    Host, device, worker and GPUs are part of the first epoch's event: only the worker knows them.
    """

    kind: ClassVar[str] = "start"
    trial: Count
    epoch: Count
    """How many epochs were finished before."""
    host: Text = ""
    device: Text = ""
    worker: OptionalCount = None
    """Process id of the worker."""
    gpu_ids: Text = ""
    """Indices of the GPUs that Ray assigned, separated by commas."""
    replayed_steps: OptionalCount = None
    peak_gpu_bytes: OptionalCount = None


@dataclass(slots=True, kw_only=True)
class EpochFinished(Event):
    """An epoch was trained and evaluated."""

    kind: ClassVar[str] = "epoch"
    trial: Count
    epoch: Count
    """Counted from 1."""
    metrics: Metrics
    """Metrics by name: train_loss, val_loss, lr, seconds, images_per_second, ..."""
    host: Text = ""
    """Host and all that follows are set in the first epoch after a start."""
    device: Text = ""
    worker: OptionalCount = None
    gpu_ids: Text = ""
    replayed_steps: OptionalCount = None
    """How many of the epoch's training steps were replays of a CUDA graph."""
    peak_gpu_bytes: OptionalCount = None
    """The most memory of the GPU that the worker held; None on a CPU."""


@dataclass(slots=True, kw_only=True)
class TrialEnded(Event):
    """A trial reached a final state."""

    kind: ClassVar[str] = "end"
    trial: Count
    state: FinalState
    reason: Text
    """A sentence."""
    best_epoch: OptionalCount = None
    metrics: Metrics = field(default_factory=dict)
    """Metrics of the final evaluation, with the prefix `test_`."""
    tables: Tables = field(default_factory=dict)
    """Tables of the final evaluation by name."""
    rung: OptionalCount = None
    """The epoch at which the trial was stopped early."""
    value: OptionalNumber = None
    """The metric at the rung."""
    cutoff: OptionalNumber = None
    """The value that the metric would have had to reach."""
    seen: OptionalCount = None
    """How many trials had reached the rung before."""
    stopped_by: Text = ""
    """The `StopCause` of a stopped trial; empty in journals of versions that did not record it."""
    error: Text = ""
    """The traceback."""
    peak_host_bytes: OptionalCount = None
    """The most memory that the worker had since it started or resumed the trial, with the images
    that it shares with other workers. None, here and below: not known."""
    gpus_per_trial: OptionalNumber = None
    """Share of a GPU that the trial had; None, as all that follows, if it ran on a CPU."""
    gpu_bytes: OptionalCount = None
    """Memory of the GPU."""
    peak_gpu_bytes: OptionalCount = None
    """The most memory of the GPU that PyTorch reserved for the trial."""
    peak_gpu_allocated_bytes: OptionalCount = None
    """The most that its tensors had, of what PyTorch reserved."""
    peak_gpu_process_bytes: OptionalCount = None
    """The most memory of the GPU that the worker's process had, with that of CUDA itself."""
    gpu_busy: OptionalNumber = None
    """Share of the time, in [0, 1], in which the GPU executed kernels, of this trial or others."""
    gpu_busy_unknown: Text = ""
    """Why it is not known, for a trial on a GPU."""


@dataclass(slots=True, kw_only=True)
class TrialPaused(Event):
    """A trial waits for the scheduler's decision, which depends on other trials."""

    kind: ClassVar[str] = "pause"
    trial: Count
    epoch: Count
    """The last epoch that it trained."""


@dataclass(slots=True, kw_only=True)
class AuditStop(Event):
    """An audit trial would have been stopped."""

    kind: ClassVar[str] = "audit_stop"
    trial: Count
    reason: Text
    rung: Count
    value: OptionalNumber = None
    cutoff: OptionalNumber = None
    seen: OptionalCount = None
    stopped_by: Text = ""
    """As in TrialEnded."""


@dataclass(slots=True, kw_only=True)
class RetryAlone(Event):
    """A trial ran out of memory while others were running; it is retried alone."""

    kind: ClassVar[str] = "retry_alone"
    trial: Count
    reason: Text = ""


@dataclass(slots=True, kw_only=True)
class TrialRetried(Event):
    """A trial that had ended is retried, or a running one restarts because files of it are lost."""

    kind: ClassVar[str] = "retry"
    trial: Count
    epoch: Count
    """How many finished epochs the trial keeps; 0: it restarts from the beginning."""
    reason: Text = ""
    """Why it restarts although nobody requested it."""


GAVE_UP = "gave up"
"""How the reason of a session's end starts if too many trials failed one after another."""
REACHED = "reached"
"""How it starts if the sweep has done enough: a target, a plateau, a number of epochs or hours."""
ABORTED = "aborted"
"""How it starts if the disk, the storage, a host or Ray failed."""


@dataclass(slots=True, kw_only=True)
class SessionEnded(Event):
    """A `run` command ended in an orderly way."""

    kind: ClassVar[str] = "close"
    reason: Text = ""
    """`complete`, or what interrupted it."""


def stop_cause(stop: TrialEnded | AuditStop) -> StopCause:
    """Why a trial was stopped, or would have been. A cause of a newer version counts as the
    scheduler."""
    if stop.stopped_by in list(StopCause):
        return StopCause(stop.stopped_by)
    if not stop.stopped_by and not stop.seen:  # the scheduler has always seen other trials
        if _PATIENCE_MARK in stop.reason:
            return StopCause.PATIENCE
        if _WORST_VALUE_MARK in stop.reason:
            return StopCause.WORST_VALUE
    return StopCause.SCHEDULER


EVENTS: dict[str, type[Event]] = {
    event.kind: event
    for event in (
        SessionStarted,
        TrialPlanned,
        TrialStarted,
        EpochFinished,
        TrialEnded,
        TrialPaused,
        AuditStop,
        RetryAlone,
        TrialRetried,
        SessionEnded,
    )
}
"""Event classes by the kind that the journal names."""


@dataclass(frozen=True)
class Stopping:
    """The sweep is being stopped although trials remain. It is shown, and not in the journal."""

    reason: str
    running: int
    """Number of trials whose workers have to end."""


Notice = Event | Stopping | None
"""What the views of a running sweep are called with: None from time to time."""

_OLD_KINDS = {"spared": "audit_stop", "alone": "retry_alone"}
_OLD_FIELDS = {
    "asked": "trials",
    "needs": "dependencies",
    "needed": "is_dependency",
    "audit": "is_audit",
}
"""Names in journals written before version 0.2."""

_PLAIN_EPOCH_SIZE = 5
"""Number of required fields of an epoch: event, time, trial, epoch and metrics."""


def parse_event(line: object) -> Event | None:
    """The event that a decoded line of a journal holds.

    None if it is no event: not a dictionary, of a kind of a newer version, or with a field that is
    missing or has a wrong value.
    """
    if not isinstance(line, dict):
        return None
    kind = line.get("event")
    if kind == "epoch" and len(line) == _PLAIN_EPOCH_SIZE:
        return _parse_plain_epoch(line)
    if not isinstance(kind, str):
        return None
    event_class = EVENTS.get(_OLD_KINDS.get(kind, kind))
    if event_class is None or "time" not in line:
        return None
    values: JsonObject = {}
    for written_name, value in line.items():
        name = str(written_name)
        values[_OLD_FIELDS.get(name, name)] = value
    try:
        event = parse_record(event_class, values)
    except InvalidField:
        return None
    if isinstance(event, TrialEnded):
        event.state = TrialState(event.state)
    if isinstance(event, TrialEnded | EpochFinished):
        event.metrics = to_metrics(event.metrics)
    return event


def _parse_plain_epoch(line: JsonObject) -> EpochFinished | None:
    """Nearly all events are epochs without optional fields: they are parsed without a loop.

    The checks are written out instead of called, because calls would take as long as the rest.
    """
    time = line.get("time")
    trial = line.get("trial")
    epoch = line.get("epoch")
    metrics = line.get("metrics")
    if type(trial) is not int or type(epoch) is not int or type(metrics) is not dict:
        return None
    if type(time) is not float and type(time) is not int:
        return None
    if not (0 <= trial < MAX_COUNT and 0 <= epoch < MAX_COUNT and -MAX_COUNT < time < MAX_COUNT):
        return None
    return EpochFinished(time=time, trial=trial, epoch=epoch, metrics=to_metrics(metrics))


def event_fields(event: Event) -> JsonObject:
    """The line of the journal that holds an event, ready for the json module.

    Raises InvalidEvent for a value that a reader would not accept.
    """
    try:
        fields = to_json_fields(event)
    except InvalidField as error:
        raise InvalidEvent(f"{event.kind}.{error}") from None
    return {"event": event.kind, "time": event.time, **fields}
