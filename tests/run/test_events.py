"""Events: what is written is read again, and a writer refuses what a reader would not accept."""

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

counts = st.integers(0, 2**53 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.text(), json_values, max_size=3)
rows = st.dictionaries(st.text(), json_values, min_size=1, max_size=3)
optional_counts = st.none() | counts

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "trial": counts,
    "epoch": counts,
    "best_epoch": optional_counts,
    "rung": counts,
    "seen": optional_counts,
    "pid": optional_counts,
    "slots": optional_counts,
    "worker": optional_counts,
    "trials": st.lists(counts, max_size=4),
    "cpus": st.none() | finite,
    "gpus": st.none() | finite,
    "value": st.none() | finite,
    "cutoff": st.none() | finite,
    "state": st.sampled_from([state for state in TrialState if state.is_final]),
    "config": st.builds(lambda more, epochs: more | {"epochs": epochs}, objects, st.integers(1, 9)),
    "axes": objects,
    "sizes": st.dictionaries(st.text(), finite | st.lists(counts, max_size=3), max_size=3),
    "metrics": st.dictionaries(st.text(), st.floats(), max_size=4),
    "tables": st.dictionaries(st.text(), st.lists(rows, max_size=3), max_size=2),
    "versions": st.dictionaries(st.text(), st.text(), max_size=2),
    "dependencies": st.dictionaries(st.text(), counts, max_size=2),
    "is_dependency": st.booleans(),
    "is_audit": st.booleans(),
    "group": st.dictionaries(st.sampled_from(["key", "parameters"]), st.text(max_size=3)),
}
"""Valid values of the fields; all others are text."""


def events_of(event_class: type[Event]) -> st.SearchStrategy[Event]:
    names = [name for name in schema_of(event_class).checks if name != "time"]
    return st.builds(event_class, **{name: FIELDS.get(name, st.text()) for name in names})


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
    assert read.time > 1.7e9


EPOCH = {"trial": 1, "epoch": 1, "metrics": {}}
END = {"trial": 1, "state": TrialState.FINISHED, "reason": ""}
PLAN = {"trial": 1, "hash": "h", "config": {"epochs": 1}, "axes": {}, "sizes": {}}
REFUSED: dict[str, tuple[type[Event], dict[str, Any], str]] = {
    "tensor as a metric": (
        EpochFinished,
        EPOCH | {"metrics": {"val_loss": torch.tensor(0.5)}},
        "epoch.metrics: a Tensor cannot be written as JSON",
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
        "epoch.metrics.val_loss = 1000",
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
        "end.tables: a Tensor cannot be written as JSON",
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
        "trial.axes: a object cannot be written as JSON",
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


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_reader_would_accept_is_refused_with_field_value_and_rule(
    name: str, tmp_path: Path
) -> None:
    event_class, fields, message = REFUSED[name]
    run = RunDir(tmp_path)
    with pytest.raises(InvalidEvent) as caught:
        write(run, event_class(**fields))
    assert message in str(caught.value)
    assert run.journal.read_bytes() == b""


def test_numbers_of_numpy_are_written_as_numbers() -> None:
    metrics: dict[str, Any] = {"val_loss": np.float32(0.5)}
    trial: Any = np.int64(3)
    fields = event_fields(EpochFinished(trial=trial, epoch=1, metrics=metrics))
    assert fields["metrics"] == {"val_loss": 0.5}
    assert type(fields["trial"]) is int


@pytest.mark.parametrize("value", [1e300, -1e300, 2.0**60, 0, 3])
def test_large_values_at_a_rung_are_read(value: float, tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    end = TrialEnded(
        trial=1, state=TrialState.STOPPED, reason="", rung=1, value=value, cutoff=value, seen=3
    )
    stop = AuditStop(trial=2, reason="", rung=1, value=value, cutoff=value)
    write(run, end, stop)
    assert list(run.events()) == [end, stop]


def test_a_metric_of_another_type_is_read_as_nan() -> None:
    metrics = {"a": "NaN", "b": "-Infinity", "c": None, "d": [1], "e": 10**400, "f": 3, "g": 0.5}
    line = {"event": "epoch", "time": 1.0, "trial": 1, "epoch": 1, "metrics": metrics}
    event = parse_event(line)
    assert isinstance(event, EpochFinished)
    assert str(event.metrics) == (
        "{'a': nan, 'b': -inf, 'c': nan, 'd': nan, 'e': nan, 'f': 3, 'g': 0.5}"
    )


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
def test_names_of_journals_before_version_0_2_are_read(line: dict[str, Any], event: Event) -> None:
    assert parse_event(line) == event


def test_unknown_kinds_and_fields_are_ignored() -> None:
    line = event_fields(planned()) | {"time": 1.0}
    assert parse_event(line | {"color": "red"}) == parse_event(line)
    assert parse_event({"event": "paused", "time": 1.0, "trial": 1}) is None
    line = {"event": "epoch", "time": 1.0, "trial": 1, "epoch": 1, "metrics": {}}
    assert parse_event(line | {"watts": 3.0}) == parse_event(line)


@pytest.mark.parametrize(
    "line",
    [
        None,
        17,
        [],
        {},
        {"event": "epoch"},
        {"event": ["epoch"], "time": 1.0},
        {"event": "close"},
        {"event": "close", "time": "noon"},
        {"event": "close", "time": True},
        {"event": "close", "time": 1e300},
        {"event": "end", "time": 1.0, "trial": 1, "state": "running", "reason": ""},
        {"event": "end", "time": 1.0, "trial": 1, "state": ["finished"], "reason": ""},
        {"event": "epoch", "time": 1.0, "trial": 1, "epoch": 1},
        {"event": "epoch", "time": 1.0, "trial": True, "epoch": 1, "metrics": {}},
        {"event": "epoch", "time": 1.0, "trial": 1, "epoch": 2**53, "metrics": {}},
        {"event": "epoch", "time": 1.0, "trial": 1, "epoch": -1, "metrics": {}},
        {"event": "epoch", "time": True, "trial": 1, "epoch": 1, "metrics": {}},
        {"event": "epoch", "time": math.nan, "trial": 1, "epoch": 1, "metrics": {}},
        {"event": "epoch", "time": 1.0, "trial": 1, "epoch": 1, "metrics": []},
        {"event": "epoch", "time": 1.0, "trial": 1, "epoch": 1, "host": "h"},
        {"event": "start", "time": 1.0, "trial": 1},
    ],
)
def test_a_line_that_is_no_valid_event_is_none(line: object) -> None:
    assert parse_event(line) is None
