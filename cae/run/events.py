"""The events of a run's journal: one dataclass per kind, used by the writer and the reader.

An event is one line of JSON: its kind as `event`, its time as `time` (seconds since the epoch, UTC),
and its fields; optional fields that have their default value are left out. The writer refuses what the
reader would not accept. Unknown kinds and fields come from a newer version: they are kept in the file
and ignored. Standard library only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, get_type_hints

from cae.run.json_values import (
    MAX_COUNT,
    is_count,
    is_finite_number,
    is_text_mapping,
    to_json_value,
    to_metrics,
)
from cae.run.trial_state import TrialState


class InvalidEvent(ValueError):
    """A field of an event has a value that the journal cannot hold."""


@dataclass(frozen=True)
class Check:
    """What a field's value has to be, as a predicate and in words."""

    is_valid: Callable[[Any], bool]
    rule: str


def _is_count_list(value: object) -> bool:
    return isinstance(value, list) and all(map(is_count, value))


def _is_count_mapping(value: object) -> bool:
    return isinstance(value, dict) and all(map(is_count, value.values()))


def _is_optional_count(value: object) -> bool:
    return value is None or is_count(value)


def _is_optional_number(value: object) -> bool:
    return value is None or is_finite_number(value)


def _is_time(value: object) -> bool:
    return is_finite_number(value) and abs(value) < MAX_COUNT


def _is_config(value: object) -> bool:
    return isinstance(value, dict) and is_count(value.get("epochs")) and value["epochs"] > 0


def _is_sizes(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return all(is_finite_number(size) or isinstance(size, list) for size in value.values())


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) and row for row in value)


def _is_tables(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_rows, value.values()))


def _is_final_state(value: object) -> bool:
    try:
        return TrialState(value).is_final  # type: ignore[arg-type]
    except ValueError:
        return False


Count = Annotated[int, Check(is_count, "a whole number from 0 to 2**53")]
OptionalCount = Annotated[int | None, Check(_is_optional_count, "a whole number from 0 to 2**53")]
OptionalNumber = Annotated[float | None, Check(_is_optional_number, "a finite number")]
Text = Annotated[str, Check(lambda value: isinstance(value, str), "text")]
Flag = Annotated[bool, Check(lambda value: isinstance(value, bool), "true or false")]
CountList = Annotated[list[int], Check(_is_count_list, "a list of whole numbers from 0")]
Dependencies = Annotated[
    dict[str, int], Check(_is_count_mapping, "a dictionary of trial numbers by parameter")
]
Mapped = Annotated[dict[str, Any], Check(lambda value: isinstance(value, dict), "a dictionary")]
Texts = Annotated[dict[str, str], Check(is_text_mapping, "a dictionary of text")]
Config = Annotated[dict[str, Any], Check(_is_config, "a dictionary with `epochs` above 0")]
Sizes = Annotated[dict[str, Any], Check(_is_sizes, "a dictionary of finite numbers and lists")]
Tables = Annotated[
    dict[str, list[dict[str, Any]]],
    Check(_is_tables, "lists of rows by name, each row a dictionary with at least one column"),
]
FinalState = Annotated[TrialState, Check(_is_final_state, "a final state of a trial")]


@dataclass(slots=True, kw_only=True)
class Event:
    """What every event has."""

    kind: ClassVar[str] = ""
    time: Annotated[float, Check(_is_time, "seconds since the epoch")] = 0.0
    """Seconds since the epoch (UTC). The journal sets it when it appends the event."""


@dataclass(slots=True, kw_only=True)
class SessionStarted(Event):
    """A `run` command began."""

    kind: ClassVar[str] = "session"
    trials: CountList
    """The numbers of the trials that it requests."""
    command: Text = ""
    host: Text = ""
    pid: OptionalCount = None
    versions: Texts = field(default_factory=dict)
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
    axes: Mapped
    """The values of the keys of the search space."""
    sizes: Sizes
    """Parameters, latent size and cost of the network."""
    dependencies: Dependencies = field(default_factory=dict)
    """Numbers of the trials that have to finish first, by the parameter that names them."""
    is_dependency: Flag = False
    """Whether the trial runs only because other trials depend on it."""
    is_audit: Flag = False
    """Whether the trial is exempt from early stopping, to measure what stopping costs."""


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


@dataclass(slots=True, kw_only=True)
class EpochFinished(Event):
    """An epoch was trained and evaluated."""

    kind: ClassVar[str] = "epoch"
    trial: Count
    epoch: Count
    """Counted from 1."""
    metrics: Mapped
    """Metrics by name: train_loss, val_loss, lr, seconds, images_per_second, ..."""
    host: Text = ""
    """Host, device, worker and gpu_ids are set in the first epoch after a start."""
    device: Text = ""
    worker: OptionalCount = None
    gpu_ids: Text = ""


@dataclass(slots=True, kw_only=True)
class TrialEnded(Event):
    """A trial reached a final state."""

    kind: ClassVar[str] = "end"
    trial: Count
    state: FinalState
    reason: Text
    """A sentence."""
    best_epoch: OptionalCount = None
    metrics: Mapped = field(default_factory=dict)
    """Metrics of the final evaluation, with the prefix `test_`."""
    tables: Tables = field(default_factory=dict)
    """Tables of the final evaluation by name."""
    rung: OptionalCount = None
    """The epoch at which the scheduler stopped the trial."""
    value: OptionalNumber = None
    """The metric at the rung."""
    cutoff: OptionalNumber = None
    """The value that the metric would have had to reach."""
    seen: OptionalCount = None
    """How many trials had reached the rung before."""
    error: Text = ""
    """The traceback."""


@dataclass(slots=True, kw_only=True)
class AuditStop(Event):
    """The scheduler would have stopped an audit trial."""

    kind: ClassVar[str] = "audit_stop"
    trial: Count
    reason: Text
    rung: Count
    value: OptionalNumber = None
    cutoff: OptionalNumber = None
    seen: OptionalCount = None


@dataclass(slots=True, kw_only=True)
class RetryAlone(Event):
    """A trial ran out of memory while others were running; it is retried alone."""

    kind: ClassVar[str] = "retry_alone"
    trial: Count
    reason: Text = ""


@dataclass(slots=True, kw_only=True)
class TrialRetried(Event):
    """A retry of a trial that had ended was requested."""

    kind: ClassVar[str] = "retry"
    trial: Count
    epoch: Count
    """How many finished epochs the trial keeps; 0: it restarts from the beginning."""


@dataclass(slots=True, kw_only=True)
class SessionEnded(Event):
    """A `run` command ended in an orderly way."""

    kind: ClassVar[str] = "close"
    reason: Text = ""
    """`complete`, or what interrupted it."""


EVENTS: dict[str, type[Event]] = {
    event.kind: event
    for event in (
        SessionStarted,
        TrialPlanned,
        TrialStarted,
        EpochFinished,
        TrialEnded,
        AuditStop,
        RetryAlone,
        TrialRetried,
        SessionEnded,
    )
}
"""Event classes by the kind that the journal names."""

_OLD_KINDS = {"spared": "audit_stop", "alone": "retry_alone"}
_OLD_FIELDS = {
    "asked": "trials",
    "needs": "dependencies",
    "needed": "is_dependency",
    "audit": "is_audit",
}
"""Names in journals written before version 0.2."""

_PLAIN_EPOCH = {"event", "time", "trial", "epoch", "metrics"}


@dataclass(frozen=True)
class _Schema:
    checks: dict[str, Check]
    required: tuple[str, ...]
    defaults: dict[str, Any]


def _schema(event: type[Event]) -> _Schema:
    checks: dict[str, Check] = {}
    for name, hint in get_type_hints(event, include_extras=True).items():
        if name != "kind":
            checks[name] = hint.__metadata__[0]
    required: list[str] = []
    defaults: dict[str, Any] = {}
    for item in dataclasses.fields(event):
        if item.default is not dataclasses.MISSING:
            defaults[item.name] = item.default
        elif item.default_factory is not dataclasses.MISSING:
            defaults[item.name] = item.default_factory()
        else:
            required.append(item.name)
    return _Schema(checks, tuple(required), defaults)


_SCHEMAS = {event: _schema(event) for event in EVENTS.values()}


def parse_event(line: Any) -> Event | None:
    """The event that a decoded line of a journal holds.

    None if it is no event: not a dictionary, of a kind of a newer version, or with a field that is
    missing or has a wrong value.
    """
    if not isinstance(line, dict) or not _is_time(line.get("time")):
        return None
    if line.get("event") == "epoch" and line.keys() == _PLAIN_EPOCH:
        return _parse_plain_epoch(line)
    kind = line.get("event")
    if not isinstance(kind, str):
        return None
    event_class = EVENTS.get(_OLD_KINDS.get(kind, kind))
    if event_class is None:
        return None
    schema = _SCHEMAS[event_class]
    fields: dict[str, Any] = {}
    for written_name, value in line.items():
        name = _OLD_FIELDS.get(str(written_name), str(written_name))
        check = schema.checks.get(name)
        if check is None:
            continue
        if not check.is_valid(value):
            return None
        fields[name] = value
    if any(name not in fields for name in schema.required):
        return None
    event = event_class(**fields)
    if isinstance(event, TrialEnded):
        event.state = TrialState(event.state)
    if isinstance(event, TrialEnded | EpochFinished):
        event.metrics = to_metrics(event.metrics)
    return event


def _parse_plain_epoch(line: dict[str, Any]) -> EpochFinished | None:
    """Nearly all events are epochs without further fields: no loop over the fields for them."""
    metrics = line["metrics"]
    if not is_count(line["trial"]) or not is_count(line["epoch"]) or not isinstance(metrics, dict):
        return None
    return EpochFinished(
        time=line["time"], trial=line["trial"], epoch=line["epoch"], metrics=to_metrics(metrics)
    )


def event_fields(event: Event) -> Mapping[str, object]:
    """The line of the journal that holds an event, ready for the json module.

    Raises InvalidEvent for a value that a reader would not accept.
    """
    schema = _SCHEMAS[type(event)]
    line: dict[str, object] = {"event": event.kind, "time": event.time}
    for name, check in schema.checks.items():
        try:
            value = to_json_value(getattr(event, name))
        except TypeError as error:
            raise InvalidEvent(f"{event.kind}.{name}: {error}") from None
        if name in schema.defaults and value == schema.defaults[name]:
            continue
        if not check.is_valid(value):
            raise InvalidEvent(f"{event.kind}.{name} = {value!r}: should be {check.rule}")
        line[name] = value
    return line
