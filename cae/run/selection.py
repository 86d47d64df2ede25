"""Choosing trials of a run by the values of their parameters. Standard library only."""

from __future__ import annotations

import ast
import contextlib
import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cae.errors import UserError
from cae.run.groups import CODE, DATA, parameter_text
from cae.run.records import Record

MAX_LISTED_VALUES = 12
_MISSING = object()


@dataclass(frozen=True)
class Condition:
    """KEY=VALUE: a parameter by its dotted name, and the value that a trial needs."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}={self.text}"


def parse_conditions(pairs: Iterable[str]) -> list[Condition]:
    """The conditions of `--where` options. Raises UserError for one that is not KEY=VALUE."""
    conditions: list[Condition] = []
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise UserError(f"--where {pair}: should be KEY=VALUE")
        conditions.append(Condition(name.strip(), text.strip()))
    return conditions


def select_trials(records: Iterable[Record], conditions: Sequence[Condition]) -> list[Record]:
    """The trials that meet all conditions.

    Raises UserError for a parameter that no trial has, and if no trial meets a condition.
    """
    selected = list(records)
    for condition in conditions:
        matching = [record for record in selected if _meets(record, condition)]
        if not matching:
            raise UserError(f"--where {condition}: {_why_none(selected, condition.name)}")
        selected = matching
    return selected


def _meets(record: Record, condition: Condition) -> bool:
    value = _value(record, condition.name)
    if value is _MISSING:
        return False
    if condition.text in (parameter_text(condition.name, value), str(value)):
        return True
    parsed = _parse(condition.text)
    is_bool = isinstance(value, bool)
    return bool(parsed == value) and isinstance(parsed, bool) == is_bool


def _value(record: Record, name: str) -> Any:
    """The value of a parameter, of an element of one, or of the group; _MISSING without one."""
    for values in (record.config, record.axes):
        if name in values:
            return values[name]
    if name in (DATA, CODE):
        return record.group.parameters.get(name, _MISSING)
    parent, _, element = name.rpartition(".")
    elements = record.config.get(parent)
    if isinstance(elements, list) and element.isdecimal() and 1 <= int(element) <= len(elements):
        return elements[int(element) - 1]
    return _MISSING


def _parse(text: str) -> Any:
    """A value as JSON, else as a Python literal, else as text; tuples as lists."""
    with contextlib.suppress(ValueError):
        return json.loads(text)
    with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        value = ast.literal_eval(text)
        if isinstance(value, tuple):
            return list(value)
        return value
    return text


def _why_none(records: Sequence[Record], name: str) -> str:
    texts: dict[str, None] = {}
    for record in records:
        value = _value(record, name)
        if value is not _MISSING:
            texts[parameter_text(name, value)] = None
    if texts:
        listed = ", ".join(list(texts)[:MAX_LISTED_VALUES])
        if len(texts) > MAX_LISTED_VALUES:
            listed += ", ..."
        return f"no trial has this value; the values are {listed}"
    known = sorted({key for record in records for key in record.config})
    message = "no trial has this parameter"
    nearest = difflib.get_close_matches(name, known, n=1)
    if nearest:
        message += f"; did you mean {nearest[0]}?"
    return message
