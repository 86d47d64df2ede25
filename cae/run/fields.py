"""Fields of the run's files: the rule of each one is declared once, for the writer and the reader.

A record of a file is a dataclass whose fields are annotated with a `Check`; a field with a default
value is optional:

    @dataclass(kw_only=True)
    class RetryAlone:
        trial: Count
        reason: Text = ""

`parse_fields` reads the fields from a decoded JSON object and `to_json_fields` writes them; both
apply the same checks. Standard library only.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol, TypeVar, get_type_hints

from cae.run.json_values import (
    MAX_NESTING,
    JsonObject,
    is_count,
    is_finite_number,
    is_flag,
    is_metric,
    is_nested_deeply,
    is_text,
    to_json_value,
)

TOO_DEEP = f"lists and dictionaries are nested more than {MAX_NESTING} times"


class InvalidField(ValueError):
    """A field has a value that its file cannot hold: `NAME = VALUE: should be RULE`."""


@dataclass(frozen=True)
class Check:
    """The rule that a value has to satisfy, in words and as a predicate."""

    rule: str
    predicate: Callable[[object], bool]
    """Whether a value satisfies the rule; its items are checked separately."""
    get_items: Callable[[Any], Iterable[Item]] | None = None
    """Returns the items of a container, each with its own check."""
    reader_predicate: Callable[[object], bool] | None = None
    """What a reader accepts, if that is more than what a writer may write."""

    def is_valid(self, value: object) -> bool:
        """Whether a writer may write the value."""
        if not self.predicate(value):
            return False
        if self.get_items is None:
            return True
        return all(item.check.is_valid(item.value) for item in self.get_items(value))

    def is_readable(self, value: object) -> bool:
        """Whether a reader accepts the value."""
        if self.reader_predicate is not None:
            return self.reader_predicate(value)
        return self.is_valid(value)

    def violation(self, name: str, value: object) -> str:
        """What is wrong with an invalid value, naming the item of a container that is invalid."""
        if self.get_items is not None and self.predicate(value):
            for item in self.get_items(value):
                if not item.check.is_valid(item.value):
                    return item.check.violation(f"{name}{item.suffix}", item.value)
        return f"{name} = {reprlib.repr(value)}: should be {self.rule}"


class Item(NamedTuple):
    """An item of a container."""

    suffix: str
    """What follows the name of the container in the item's name: `[2]`, `.val_loss`."""
    value: object
    check: Check


def optional(check: Check) -> Check:
    """A check that accepts None, too."""

    def get_items(value: object) -> Iterable[Item]:
        if value is None or check.get_items is None:
            return ()
        return check.get_items(value)

    return Check(
        f"{check.rule}, or null", lambda value: value is None or check.predicate(value), get_items
    )


def list_of(check: Check, rule: str) -> Check:
    """A check of a list whose items satisfy `check`."""

    def get_items(values: list[object]) -> Iterator[Item]:
        for index, value in enumerate(values):
            yield Item(f"[{index}]", value, check)

    return Check(rule, lambda value: isinstance(value, list), get_items)


def mapping_of(check: Check, rule: str) -> Check:
    """A check of a dictionary whose values satisfy `check`."""

    def get_items(values: dict[str, object]) -> Iterator[Item]:
        for key, value in values.items():
            yield Item(f".{key}", value, check)

    return Check(rule, is_object, get_items)


def is_object(value: object) -> bool:
    """Whether `value` is a JSON object."""
    return isinstance(value, dict)


TEXT = Check("text", is_text)
COUNT = Check("a whole number from 0 to 2**53 - 1", is_count)
NUMBER = Check("a finite number", is_finite_number)
METRIC = Check('a number, "NaN", "Infinity" or "-Infinity"', is_metric)

Count = Annotated[int, COUNT]
OptionalCount = Annotated[int | None, optional(COUNT)]
OptionalNumber = Annotated[float | None, optional(NUMBER)]
Text = Annotated[str, TEXT]
Flag = Annotated[bool, Check("true or false", is_flag)]
Counts = Annotated[list[int], list_of(COUNT, "a list of whole numbers")]
CountsByName = Annotated[dict[str, int], mapping_of(COUNT, "a dictionary of whole numbers")]
TextsByName = Annotated[dict[str, str], mapping_of(TEXT, "a dictionary of text")]
Object = Annotated[JsonObject, Check("a dictionary", is_object)]
OptionalList = Annotated[
    list[Any] | None, optional(Check("a list", lambda value: isinstance(value, list)))
]
_METRICS = mapping_of(METRIC, "a dictionary of numbers")
Metrics = Annotated[dict[str, float], dataclasses.replace(_METRICS, reader_predicate=is_object)]
"""Metrics by name. A reader converts values that are not numbers to NaN (see `to_metrics`)."""


class Dataclass(Protocol):
    """An instance of any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


Record = TypeVar("Record", bound=Dataclass)


@dataclass(frozen=True)
class Schema:
    """The fields of a dataclass that are annotated with a Check."""

    checks: dict[str, Check]
    required: tuple[str, ...]
    defaults: JsonObject


_SCHEMAS: dict[type[Dataclass], Schema] = {}


def schema_of(record_class: type[Dataclass]) -> Schema:
    """The schema of a dataclass."""
    if record_class not in _SCHEMAS:
        _SCHEMAS[record_class] = _build_schema(record_class)
    return _SCHEMAS[record_class]


def _build_schema(record_class: type[Dataclass]) -> Schema:
    checks: dict[str, Check] = {}
    for name, hint in get_type_hints(record_class, include_extras=True).items():
        for annotation in getattr(hint, "__metadata__", ()):
            if isinstance(annotation, Check):
                checks[name] = annotation
    required: list[str] = []
    defaults: JsonObject = {}
    for item in dataclasses.fields(record_class):
        if item.name not in checks:
            continue
        if item.default is not dataclasses.MISSING:
            defaults[item.name] = item.default
        elif item.default_factory is not dataclasses.MISSING:
            defaults[item.name] = item.default_factory()
        else:
            required.append(item.name)
    return Schema(checks, tuple(required), defaults)


def object_of(record_class: type[Dataclass], rule: str) -> Check:
    """A check of a JSON object that holds the fields of a dataclass; null counts as absent."""
    schema = schema_of(record_class)

    def has_required_fields(value: object) -> bool:
        return isinstance(value, dict) and all(
            value.get(name) is not None for name in schema.required
        )

    def get_items(values: JsonObject) -> Iterator[Item]:
        for name, check in schema.checks.items():
            if values.get(name) is not None:
                yield Item(f".{name}", values[name], check)

    return Check(rule, has_required_fields, get_items)


def parse_record(record_class: type[Record], values: Mapping[str, object]) -> Record:
    """The dataclass that a decoded JSON object holds. Raises InvalidField (see `parse_fields`)."""
    return record_class(**parse_fields(record_class, values))


def parse_fields(record_class: type[Dataclass], values: Mapping[str, object]) -> JsonObject:
    """The fields of a dataclass that a decoded JSON object holds; other keys are left out.

    Raises InvalidField for a value that breaks its field's rule and for a missing field.
    """
    schema = schema_of(record_class)
    fields: JsonObject = {}
    for name, value in values.items():
        check = schema.checks.get(name)
        if check is None:
            continue
        if is_nested_deeply(value):
            raise InvalidField(f"{name}: {TOO_DEEP}")
        if not check.is_readable(value):
            raise InvalidField(check.violation(name, value))
        fields[name] = value
    for name in schema.required:
        if name not in fields:
            raise InvalidField(f"{name} is missing: should be {schema.checks[name].rule}")
    return fields


def present_fields(values: Mapping[str, object]) -> JsonObject:
    """The fields that are not null, for files in which null means that a field is absent."""
    return {name: value for name, value in values.items() if value is not None}


def to_json_fields(record: Dataclass) -> JsonObject:
    """The fields of a dataclass, ready for the json module; fields with their default are left out.

    Raises InvalidField for a value that a reader would not accept.
    """
    schema = schema_of(type(record))
    fields: JsonObject = {}
    for name, check in schema.checks.items():
        try:
            value = to_json_value(getattr(record, name))
        except TypeError as error:
            raise InvalidField(f"{name}: {error}") from None
        if name in schema.defaults and value == schema.defaults[name]:
            continue
        if is_nested_deeply(value):
            raise InvalidField(f"{name}: {TOO_DEEP}")
        if not check.is_valid(value):
            raise InvalidField(check.violation(name, value))
        fields[name] = value
    return fields
