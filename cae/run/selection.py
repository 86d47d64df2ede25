"""Choosing trials of a run by the values of their parameters. Standard library only."""

from __future__ import annotations

import ast
import contextlib
import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cae.errors import UserError
from cae.run.groups import CODE, DATA, parameter_text
from cae.run.records import Record

MAX_LISTED_VALUES = 12
_MISSING = object()
Item = TypeVar("Item")


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


def condition_on(values: Mapping[str, Any], name: str) -> Condition | None:
    """The condition that a trial of these values meets by one of them, or by an element of one;
    None if it lacks the parameter."""
    value = _value(values, name)
    if value is _MISSING:
        return None
    if isinstance(value, str):
        return Condition(name, value)
    return Condition(name, json.dumps(value))


def select_trials(records: Iterable[Record], conditions: Sequence[Condition]) -> list[Record]:
    """The trials of a run that meet all conditions: see `select_by_values`."""
    return select_by_values(records, conditions, selectable_values)


def select_by_values(
    items: Iterable[Item],
    conditions: Sequence[Condition],
    values_of: Callable[[Item], Mapping[str, Any]],
) -> list[Item]:
    """The items whose values meet all conditions; of conditions on one parameter, any of them.

    Raises UserError for a parameter that no item has, and if no item meets a condition.

    Args:
        items: Trials, in any form.
        conditions: What the values have to be.
        values_of: The values of an item by dotted name.
    """
    selected = [(item, values_of(item)) for item in items]
    by_name: dict[str, list[Condition]] = {}
    for condition in conditions:
        by_name.setdefault(condition.name, []).append(condition)
    for name, alternatives in by_name.items():
        matching: dict[int, tuple[Item, Mapping[str, Any]]] = {}  # by position
        for condition in alternatives:
            met = [i for i, (_, values) in enumerate(selected) if _meets(values, condition)]
            if not met:
                all_values = [values for _, values in selected]
                raise UserError(f"--where {condition}: {_why_none(all_values, name)}")
            matching |= {i: selected[i] for i in met}
        selected = [matching[i] for i in sorted(matching)]
    return [item for item, _ in selected]


def selectable_values(record: Record) -> dict[str, Any]:
    """The values by which `--where` chooses a trial of a run, by dotted name.

    They are its parameters, those of its axes, and what its comparability group says of data and
    code.
    """
    values = {**record.axes, **record.config}
    for name in (DATA, CODE):
        if name in record.group.parameters:
            values.setdefault(name, record.group.parameters[name])
    return values


def _meets(values: Mapping[str, Any], condition: Condition) -> bool:
    value = _value(values, condition.name)
    if value is _MISSING:
        return False
    if condition.text in (parameter_text(condition.name, value), str(value)):
        return True
    parsed = _parse(condition.text)
    is_bool = isinstance(value, bool)
    return bool(parsed == value) and isinstance(parsed, bool) == is_bool


def _value(values: Mapping[str, Any], name: str) -> Any:
    """The value of a parameter, or of an element of one; _MISSING without one."""
    if name in values:
        return values[name]
    parent, _, element = name.rpartition(".")
    elements = values.get(parent)
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


def _why_none(all_values: Sequence[Mapping[str, Any]], name: str) -> str:
    texts: dict[str, None] = {}
    for values in all_values:
        value = _value(values, name)
        if value is not _MISSING:
            texts[parameter_text(name, value)] = None
    if texts:
        listed = ", ".join(list(texts)[:MAX_LISTED_VALUES])
        if len(texts) > MAX_LISTED_VALUES:
            listed += ", ..."
        return f"no trial has this value; the values are {listed}"
    known = sorted({key for values in all_values for key in values})
    message = "no trial has this parameter"
    nearest = difflib.get_close_matches(name, known, n=1)
    if nearest:
        message += f"; did you mean {nearest[0]}?"
    return message
