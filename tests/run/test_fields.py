"""The checks of fields: messages name the invalid item of a nested value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from cae.run.fields import (
    COUNT,
    NUMBER,
    TEXT,
    Check,
    Count,
    InvalidField,
    Metrics,
    OptionalNumber,
    TextsByName,
    list_of,
    mapping_of,
    object_of,
    optional,
    parse_fields,
    parse_record,
    to_json_fields,
)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A record with a required, an optional and an unchecked field."""

    x: Count
    y: OptionalNumber = None
    labels: TextsByName = field(default_factory=dict)
    cache: list[int] = field(default_factory=list)


POINT = object_of(Point, "a point")
POINTS = mapping_of(list_of(POINT, "a list of points"), "a dictionary of points")


@pytest.mark.parametrize(
    ("check", "value", "violation"),
    [
        (COUNT, -1, "name = -1: should be a whole number from 0 to 2**53 - 1"),
        (optional(COUNT), 2.5, "name = 2.5: should be a whole number from 0 to 2**53 - 1, or null"),
        (optional(POINT), {"x": "1"}, "name.x = '1': should be a whole number from 0 to 2**53 - 1"),
        (list_of(TEXT, "a list"), "ab", "name = 'ab': should be a list"),
        (list_of(TEXT, "a list"), ["a", 3, 4], "name[1] = 3: should be text"),
        (
            mapping_of(NUMBER, "numbers"),
            {"a": 1, "b": "c"},
            "name.b = 'c': should be a finite number",
        ),
        (POINTS, {"a": [{"x": 1}, {}]}, "name.a[1] = {}: should be a point"),
        (POINTS, {"a": [{"x": 1, "labels": {"b": 3}}]}, "name.a[0].labels.b = 3: should be text"),
        (POINT, {"x": None}, "name = {'x': None}: should be a point"),
        (TEXT, [0] * 999, "name = [0, 0, 0, 0, 0, 0, ...]: should be text"),
    ],
)
def test_a_violation_names_the_invalid_item(check: Check, value: object, violation: str) -> None:
    assert not check.is_valid(value)
    assert check.violation("name", value) == violation


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (optional(COUNT), None),
        (optional(POINT), None),
        (POINTS, {"a": [{"x": 1, "y": None, "unknown": object()}], "b": []}),
        (list_of(TEXT, "a list"), []),
    ],
)
def test_valid_values(check: Check, value: object) -> None:
    assert check.is_valid(value)
    assert check.is_readable(value)


def test_a_record_is_read_without_unknown_and_unchecked_fields() -> None:
    assert parse_record(Point, {"x": 1, "y": 2.5, "color": "red", "cache": [1]}) == Point(
        x=1, y=2.5
    )
    assert parse_fields(Point, {"x": 1}) == {"x": 1}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"x": True}, "x = True: should be a whole number"),
        ({"y": 1.0}, "x is missing: should be a whole number"),
        ({"x": 1, "labels": {"a": None}}, "labels.a = None: should be text"),
    ],
)
def test_an_invalid_record_is_an_error(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidField) as caught:
        parse_fields(Point, values)
    assert str(caught.value).startswith(message)


def test_fields_with_their_default_value_are_not_written() -> None:
    assert to_json_fields(Point(x=0)) == {"x": 0}
    assert to_json_fields(Point(x=1, y=0.0, labels={"a": "b"})) == {
        "x": 1,
        "y": 0.0,
        "labels": {"a": "b"},
    }


def test_a_writer_applies_the_checks_of_the_reader() -> None:
    with pytest.raises(InvalidField, match="x = -1"):
        to_json_fields(Point(x=-1))
    labels: dict[str, Any] = {"a": b""}
    with pytest.raises(
        InvalidField, match="labels: a value of type bytes cannot be written as JSON"
    ):
        to_json_fields(Point(x=1, labels=labels))


@dataclass
class Row:
    """A record with metrics."""

    metrics: Metrics
    name: Annotated[str, TEXT] = ""


def test_a_reader_accepts_metrics_that_a_writer_refuses() -> None:
    metrics: dict[str, Any] = {"loss": None}
    assert parse_fields(Row, {"metrics": metrics}) == {"metrics": metrics}
    with pytest.raises(InvalidField, match=r"metrics\.loss = None: should be a number"):
        to_json_fields(Row(metrics=metrics))
