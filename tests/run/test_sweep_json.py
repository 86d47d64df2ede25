"""sweep.json: it is read as it was written, and an error names file, field, value and rule."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cae.errors import RunError
from cae.run.published_rows import PublishedRow
from cae.run.sweep_json import (
    AxisDescription,
    SweepDescription,
    ValueProvenance,
    read_sweep_json,
)

CLAIM = {
    "kind": "SmallestAt",
    "id": "C1",
    "text": "The loss is smallest at 3.",
    "provenance": "stated",
    "metric": "val_loss",
    "axis": "arch.kernel_size",
    "value": 3,
    "where": {"optimizer": "adam"},
}
SWEEP = SweepDescription(
    name="run",
    sweep="grid",
    title="A grid",
    metric="val_psnr",
    mode="max",
    overrides={"epochs": {"full": 9, "here": 3}},
    axes={
        "arch.kernel_size": {
            "values": [3, 5],
            "scale": "linear",
            "origins": [[3, "stated"], [5, "inferred"]],
        },
        "optimizer.lr": {"values": None, "low": 1e-4, "high": 1e-1, "scale": "log"},
    },
    base={"epochs": 3, "arch.encoder_filters": [8, 16]},
    seeds=2,
    epochs=3,
    scheduler={"name": "asha", "grace_epochs": 1, "audit": 0.1, "rungs": [1, 2]},
    trials=4,
    space=8,
    published=[{"quantity": "loss", "value": "0.1", "page": "7"}],
    claims=[CLAIM],
    versions={"torch": "2.9.0"},
    slots=2,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "sweep.json"


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    if isinstance(content, str):
        content = content.encode()
    path.write_bytes(content)


def test_a_sweep_is_read_as_it_was_written(path: Path) -> None:
    write(path, SWEEP.to_json())
    assert read_sweep_json(path) == SWEEP


def test_missing_and_null_fields_have_their_default_value(path: Path) -> None:
    write(path, json.dumps({"sweep": "grid", "title": None, "scheduler": None, "seeds": None}))
    sweep = read_sweep_json(path)
    assert sweep == SweepDescription(sweep="grid")
    assert (sweep.metric, sweep.mode, sweep.seeds, sweep.rungs) == ("val_loss", "min", 1, [])


def test_fields_of_a_newer_version_are_kept_when_the_file_is_written_again(path: Path) -> None:
    write(path, json.dumps({"sweep": "grid", "places": {"a": [1]}, "budget_hours": None}))
    sweep = read_sweep_json(path)
    assert sweep.unknown_fields == {"places": {"a": [1]}, "budget_hours": None}
    write(path, replace(sweep, title="new").to_json())
    assert read_sweep_json(path) == replace(sweep, title="new")
    assert json.loads(path.read_text())["places"] == {"a": [1]}


def test_axes_are_read_as_dataclasses() -> None:
    assert SWEEP.axis_descriptions() == {
        "arch.kernel_size": AxisDescription(
            values=[3, 5],
            scale="linear",
            origins=[ValueProvenance(3, "stated"), ValueProvenance(5, "inferred")],
        ),
        "optimizer.lr": AxisDescription(low=1e-4, high=1e-1, scale="log"),
    }
    assert replace(SWEEP, axes={"arch": {"color": "red"}}).axis_descriptions() == {
        "arch": AxisDescription()
    }


def test_published_numbers_are_read_as_dataclasses() -> None:
    row = PublishedRow(quantity="loss", value="0.1", other_columns={"page": "7"})
    assert SWEEP.published_rows() == [row]


def test_rungs_are_those_of_the_scheduler() -> None:
    assert SWEEP.rungs == [1, 2]
    assert replace(SWEEP, scheduler={"name": "asha"}).rungs == []


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "title": ({"title": 3}, "title = 3: should be text"),
    "mode": ({"mode": "best"}, 'mode = \'best\': should be "min" or "max"'),
    "seeds": ({"seeds": -1}, "seeds = -1: should be a whole number"),
    "versions": ({"versions": {"torch": 2}}, "versions.torch = 2: should be text"),
    "overrides": ({"overrides": {"epochs": 3}}, "overrides.epochs = 3: should be a dictionary"),
    "axes": ({"axes": [1]}, "axes = [1]: should be a dictionary of axes"),
    "axis": ({"axes": {"a": 1}}, "axes.a = 1: should be an axis of the search space"),
    "values": ({"axes": {"a": {"values": 1}}}, "axes.a.values = 1: should be a list, or null"),
    "low": ({"axes": {"a": {"low": "x"}}}, "axes.a.low = 'x': should be a finite number"),
    "origins": (
        {"axes": {"a": {"origins": [[1, "stated"], [2]]}}},
        "axes.a.origins[1] = [2]: should be a pair of a value and its provenance",
    ),
    "scheduler": ({"scheduler": "asha"}, "scheduler = 'asha': should be a scheduler"),
    "rungs": ({"scheduler": {"rungs": [1, "x"]}}, "scheduler.rungs[1] = 'x': should be a whole"),
    "published": ({"published": [{"value": 0.1}]}, "published[0].value = 0.1: should be text"),
    "claims": ({"claims": ["C1"]}, "claims[0] = 'C1': should be a claim"),
    "claim without a field": (
        {"claims": [{"kind": "RisesWith", "metric": "val_loss"}]},
        "should be a claim with all fields of its kind",
    ),
    "claim": ({"claims": [CLAIM | {"where": 3}]}, "claims[0].where = 3: should be a dictionary"),
    "epochs": ({"claims": [CLAIM | {"epochs": [1]}]}, "claims[0].epochs = [1]: should be a pair"),
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_field_is_an_error_on_reading_and_on_writing(name: str, path: Path) -> None:
    fields, message = INVALID[name]
    write(path, json.dumps(fields))
    with pytest.raises(RunError) as caught:
        read_sweep_json(path)
    assert str(caught.value).startswith(f"{path} cannot be read: ")
    assert message in str(caught.value)
    with pytest.raises(RunError) as caught:
        replace(SWEEP, **fields).to_json()
    assert str(caught.value).startswith("sweep.json cannot be written: ")
    assert message in str(caught.value)


def test_claims_of_an_unknown_kind_are_accepted(path: Path) -> None:
    write(path, json.dumps({"claims": [{"kind": "Converges", "within": 3}]}))
    assert read_sweep_json(path).claims == [{"kind": "Converges", "within": 3}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "sweep.json is missing"),
        ("{", "sweep.json is damaged"),
        ("[1]", "sweep.json is damaged: it should hold one JSON object"),
        (b"\xff", "sweep.json is damaged"),
        ("[" * 100_000, "sweep.json is damaged"),
    ],
)
def test_a_missing_or_damaged_file_is_an_error_in_words(
    content: str | bytes | None, message: str, path: Path
) -> None:
    if content is not None:
        write(path, content)
    with pytest.raises(RunError, match=message):
        read_sweep_json(path)
