"""Events: a reader reads what a writer wrote, and a writer refuses invalid events."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cae.run.events import (
    EVENTS,
    AuditStop,
    EpochFinished,
    Event,
    InvalidEvent,
    RetryAlone,
    SessionStarted,
    TrialEnded,
    TrialPlanned,
    event_fields,
    parse_event,
)
from cae.run.fields import schema_of
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from tests.run.events import planned, write

YEAR_2023 = 1672531200
"""Seconds since 1970."""

counts = st.integers(0, 2**53 - 1)
finite_numbers = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite_numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=3)
table_rows = st.dictionaries(st.text(), json_values, min_size=1, max_size=3)
optional_counts = st.none() | counts
optional_numbers = st.none() | finite_numbers


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Any dictionary with a number of epochs, which every configuration has."""
    return draw(json_objects) | {"epochs": draw(st.integers(1, 9))}


VALID_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "trial": counts,
    "epoch": counts,
    "best_epoch": optional_counts,
    "rung": counts,
    "seen": optional_counts,
    "pid": optional_counts,
    "slots": optional_counts,
    "worker": optional_counts,
    "replayed_steps": optional_counts,
    "peak_gpu_bytes": optional_counts,
    "peak_gpu_allocated_bytes": optional_counts,
    "peak_gpu_process_bytes": optional_counts,
    "peak_host_bytes": optional_counts,
    "gpu_bytes": optional_counts,
    "gpus_per_trial": optional_numbers,
    "gpu_busy": optional_numbers,
    "trials": st.lists(counts, max_size=4),
    "cpus": optional_numbers,
    "gpus": optional_numbers,
    "value": optional_numbers,
    "cutoff": optional_numbers,
    "state": st.sampled_from([state for state in TrialState if state.is_final]),
    "config": configurations(),
    "axes": json_objects,
    "sizes": st.dictionaries(st.text(), finite_numbers | st.lists(counts, max_size=3), max_size=3),
    "metrics": st.dictionaries(st.text(), st.floats(), max_size=4),
    "tables": st.dictionaries(st.text(), st.lists(table_rows, max_size=3), max_size=2),
    "versions": st.dictionaries(st.text(), st.text(), max_size=2),
    "dependencies": st.dictionaries(st.text(), counts, max_size=2),
    "is_dependency": st.booleans(),
    "is_audit": st.booleans(),
    "group": st.dictionaries(st.sampled_from(["key", "parameters"]), st.text(max_size=3)),
    "pixels": json_objects,
    "suggestion": st.dictionaries(st.sampled_from(["method", "reason"]), st.text(max_size=3)),
}
"""Valid values by the name of a field; all other fields are text."""


def events_of(event_class: type[Event]) -> st.SearchStrategy[Event]:
    """Events of a class without a time, which the journal sets when it writes an event."""
    values = {name: VALID_VALUES.get(name, st.text()) for name in schema_of(event_class).checks}
    values.pop("time", None)
    return st.builds(event_class, **values)


@pytest.mark.parametrize("event_class", EVENTS.values(), ids=EVENTS)
@settings(deadline=None, max_examples=40)
@given(st.data())
def test_every_event_is_read_as_it_was_written(
    event_class: type[Event], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    run = RunDir(tmp_path_factory.mktemp("run"))
    event = data.draw(events_of(event_class))
    write(run, event)
    (read,) = run.events()
    assert repr(read) == repr(event)  # NaN is not equal to itself
    assert type(read) is event_class
    assert read.time > YEAR_2023


EPOCH = {"trial": 1, "epoch": 1, "metrics": {}}
END = {"trial": 1, "state": TrialState.FINISHED, "reason": ""}
PLAN = {"trial": 1, "hash": "h", "config": {"epochs": 1}, "axes": {}, "sizes": {}}
INVALID_EVENTS: dict[str, tuple[type[Event], dict[str, Any], str]] = {
    "tensor as a metric": (
        EpochFinished,
        EPOCH | {"metrics": {"val_loss": torch.tensor(0.5)}},
        "epoch.metrics: a value of type Tensor cannot be written as JSON",
    ),
    "text as a metric": (
        EpochFinished,
        EPOCH | {"metrics": {"val_loss": "good"}},
        "epoch.metrics.val_loss = 'good': should be a number",
    ),
    "None as a metric": (
        EpochFinished,
        EPOCH | {"metrics": {"val_loss": None}},
        "epoch.metrics.val_loss = None: should be a number",
    ),
    "huge integer as a metric": (
        EpochFinished,
        EPOCH | {"metrics": {"val_loss": 10**400}},
        "epoch.metrics.val_loss = 1000000000",  # the error shortens it to 1000...0000
    ),
    "huge epoch": (
        EpochFinished,
        EPOCH | {"epoch": 2**53},
        "epoch.epoch = 9007199254740992: should be a whole number from 0 to 2**53 - 1",
    ),
    "negative epoch": (EpochFinished, EPOCH | {"epoch": -1}, "epoch.epoch = -1: should be"),
    "Boolean as a trial": (EpochFinished, EPOCH | {"trial": True}, "epoch.trial = True: should be"),
    "infinite value": (
        AuditStop,
        {"trial": 1, "reason": "", "rung": 1, "value": math.inf},
        "audit_stop.value = 'Infinity': should be a finite number",
    ),
    "NaN as a cutoff": (
        TrialEnded,
        END | {"cutoff": math.nan},
        "end.cutoff = 'NaN': should be a finite number",
    ),
    "state that is not final": (
        TrialEnded,
        END | {"state": TrialState.RUNNING},
        "end.state = 'running': should be one of finished, stopped",
    ),
    "unknown state": (TrialEnded, END | {"state": "lost"}, "end.state = 'lost': should be one of"),
    "empty row": (
        TrialEnded,
        END | {"tables": {"per_class": [{}]}},
        "end.tables.per_class[0] = {}: should be a row with at least one column",
    ),
    "table that is not a list": (
        TrialEnded,
        END | {"tables": {"per_class": {}}},
        "end.tables.per_class = {}: should be a list of rows",
    ),
    "tensor in a table": (
        TrialEnded,
        END | {"tables": {"per_class": [{"mse": torch.zeros(1)}]}},
        "end.tables: a value of type Tensor cannot be written as JSON",
    ),
    "configuration without epochs": (
        TrialPlanned,
        PLAN | {"config": {}},
        "trial.config = {}: should be a dictionary with `epochs` above 0",
    ),
    "infinite size": (
        TrialPlanned,
        PLAN | {"sizes": {"megaflops": math.inf}},
        "trial.sizes.megaflops = 'Infinity': should be a finite number or a list",
    ),
    "object as the value of an axis": (
        TrialPlanned,
        PLAN | {"axes": {"arch": object()}},
        "trial.axes: a value of type object cannot be written as JSON",
    ),
    "number as text": (
        RetryAlone,
        {"trial": 1, "reason": 3},
        "retry_alone.reason = 3: should be text",
    ),
    "number as a version": (
        SessionStarted,
        {"trials": [], "versions": {"torch": 2}},
        "session.versions.torch = 2: should be text",
    ),
    "text as a trial number": (
        SessionStarted,
        {"trials": ["1"]},
        "session.trials[0] = '1': should be a whole number",
    ),
}


"""By description: the class of an event, its fields, and the start of the error."""


@pytest.mark.parametrize("name", INVALID_EVENTS)
def test_writing_an_invalid_event_is_an_error(name: str, tmp_path: Path) -> None:
    event_class, fields, message = INVALID_EVENTS[name]
    run = RunDir(tmp_path)
    with pytest.raises(InvalidEvent) as error:
        write(run, event_class(**fields))
    assert str(error.value).startswith(message)
    assert run.journal.read_bytes() == b"", "nothing was written"


def test_numbers_of_numpy_are_written_as_numbers() -> None:
    metrics: dict[str, Any] = {"val_loss": np.float32(0.5)}
    trial: Any = np.int64(3)
    fields = event_fields(EpochFinished(trial=trial, epoch=1, metrics=metrics))
    assert fields["metrics"] == {"val_loss": 0.5}
    assert type(fields["trial"]) is int


@pytest.mark.parametrize("value", [1e300, -1e300, 2.0**60, 0, 3])
def test_values_at_a_rung_are_written_and_read_exactly(value: float, tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    end = TrialEnded(
        trial=1, state=TrialState.STOPPED, reason="", rung=1, value=value, cutoff=value, seen=3
    )
    stop = AuditStop(trial=2, reason="", rung=1, value=value, cutoff=value)
    write(run, end, stop)
    assert list(run.events()) == [end, stop]


def test_a_metric_that_is_not_a_number_is_read_as_nan() -> None:
    metrics = {"none": None, "list": [1], "huge": 10**400, "integer": 3, "float": 0.5}
    line = {"event": "epoch", "time": 1.0, "trial": 1, "epoch": 1, "metrics": metrics}
    event = parse_event(line)
    assert isinstance(event, EpochFinished)
    nan = math.nan
    expected = {"none": nan, "list": nan, "huge": nan, "integer": 3, "float": 0.5}
    assert event.metrics == pytest.approx(expected, nan_ok=True)


def test_metrics_that_are_not_finite_are_read_from_their_names() -> None:
    metrics = {"a": "NaN", "b": "Infinity", "c": "-Infinity"}
    line = {"event": "epoch", "time": 1.0, "trial": 1, "epoch": 1, "metrics": metrics}
    event = parse_event(line)
    assert isinstance(event, EpochFinished)
    expected = {"a": math.nan, "b": math.inf, "c": -math.inf}
    assert event.metrics == pytest.approx(expected, nan_ok=True)


OLD_LINES: list[tuple[dict[str, Any], Event]] = [
    (
        {"event": "session", "time": 1.0, "asked": [1, 2], "slots": 2, "cpus": 4},
        SessionStarted(time=1.0, trials=[1, 2], slots=2, cpus=4),
    ),
    (
        {
            "event": "trial",
            "time": 1.0,
            "trial": 3,
            "hash": "h",
            "config": {"epochs": 2},
            "axes": {},
            "sizes": {"parameters": 12, "latent_shape": [2, 2]},
            "needs": {"encoder": 1},
            "needed": True,
            "audit": True,
        },
        TrialPlanned(
            time=1.0,
            trial=3,
            hash="h",
            config={"epochs": 2},
            axes={},
            sizes={"parameters": 12, "latent_shape": [2, 2]},
            dependencies={"encoder": 1},
            is_dependency=True,
            is_audit=True,
        ),
    ),
    (
        {"event": "spared", "time": 1.0, "trial": 3, "reason": "r", "rung": 1, "value": 0.5},
        AuditStop(time=1.0, trial=3, reason="r", rung=1, value=0.5),
    ),
    (
        {"event": "alone", "time": 1.0, "trial": 3, "reason": "r"},
        RetryAlone(time=1.0, trial=3, reason="r"),
    ),
]


@pytest.mark.parametrize(("line", "event"), OLD_LINES, ids=[line["event"] for line, _ in OLD_LINES])
def test_old_names_of_events_and_fields_are_read(line: dict[str, Any], event: Event) -> None:
    assert parse_event(line) == event


def test_an_unknown_kind_of_event_is_ignored() -> None:
    assert parse_event({"event": "paused", "time": 1.0, "trial": 1}) is None


PLAN_LINE = event_fields(planned()) | {"time": 1.0}
EPOCH_LINE = {"event": "epoch", "time": 1.0, "trial": 1, "epoch": 1, "metrics": {}}
END_LINE = {"event": "end", "time": 1.0, "trial": 1, "state": "finished", "reason": ""}


@pytest.mark.parametrize("line", [PLAN_LINE, EPOCH_LINE], ids=["trial", "epoch"])
def test_an_unknown_field_is_ignored(line: dict[str, Any]) -> None:
    event = parse_event(line)
    assert event is not None
    assert parse_event(line | {"watts": 3.0}) == event


INVALID_LINES: dict[str, object] = {
    "null": None,
    "number": 17,
    "list": [],
    "empty object": {},
    "kind that is a list": EPOCH_LINE | {"event": ["epoch"]},
    "no time": {"event": "close"},
    "time that is text": {"event": "close", "time": "noon"},
    "time that is Boolean": {"event": "close", "time": True},
    "huge time": {"event": "close", "time": 1e300},
    "state that is not final": END_LINE | {"state": "running"},
    "state that is a list": END_LINE | {"state": ["finished"]},
    "start without an epoch": {"event": "start", "time": 1.0, "trial": 1},
    "epoch with an event only": {"event": "epoch"},
    "epoch without metrics": {"event": "epoch", "time": 1.0, "trial": 1, "epoch": 1},
    "epoch with a host and without metrics": {
        "event": "epoch",
        "time": 1.0,
        "trial": 1,
        "epoch": 1,
        "host": "h",
    },
    "epoch of a Boolean trial": EPOCH_LINE | {"trial": True},
    "huge epoch": EPOCH_LINE | {"epoch": 2**53},
    "negative epoch": EPOCH_LINE | {"epoch": -1},
    "epoch with a Boolean time": EPOCH_LINE | {"time": True},
    "epoch with a time of NaN": EPOCH_LINE | {"time": math.nan},
    "epoch with a list of metrics": EPOCH_LINE | {"metrics": []},
}


@pytest.mark.parametrize("line", INVALID_LINES.values(), ids=INVALID_LINES)
def test_an_invalid_line_is_ignored(line: object) -> None:
    assert parse_event(line) is None


def test_the_lines_from_which_invalid_ones_are_made_are_valid() -> None:
    assert isinstance(parse_event(EPOCH_LINE), EpochFinished)
    assert isinstance(parse_event(END_LINE), TrialEnded)
