"""Every component and metric, from the code: what `cae-sweep describe` shows."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Len, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from cae.sweep.schedulers.asha import ASHA
from cae.sweep.schedulers.screen import Screen
from cae.sweep.search.base import Grid, Random
from cae.sweep.search.model_based import ModelBased
from cae.sweep.spec.claims import KINDS
from cae.sweep.spec.sweep import Sweep
from cae.trial.component import Component
from cae.trial.config import Trial
from cae.trial.descriptions import parameter_descriptions
from cae.trial.latent.declaration import latent_metrics
from cae.trial.losses import Loss
from cae.trial.metrics import TRIAL_METRICS, Metric
from cae.trial.tasks import Task


@dataclass(frozen=True)
class Parameter:
    """A parameter of a component."""

    name: str
    type: str
    """Type and range in words."""
    default: str
    """As it is written in a sweep file; empty if the parameter is required."""
    meaning: str


@dataclass(frozen=True)
class Entry:
    """A component, or another class of a sweep file, with its parameters."""

    kind: str
    """Key of a sweep file (`dataset`, `task`, `arch`, ...), or `sweep`, `scheduler`, `search`,
    `claim`."""
    name: str
    """How a search space names the component; the class name for other classes."""
    class_name: str
    meaning: str
    parameters: list[Parameter]
    metrics: list[Metric]
    """Metrics that a task reports, without a split."""


def catalog() -> list[Entry]:
    """All registered components, then the other classes of a sweep file."""
    entries: list[Entry] = []
    for kind_name, kind in Trial.COMPONENTS.items():
        for name in sorted(kind.registry):
            entries.append(_component_entry(kind_name, kind.registry[name]))
    for name in sorted(Loss.registry):
        entries.append(_component_entry("loss", Loss.registry[name]))
    entries.append(_entry("sweep", Trial))
    entries.append(_entry("sweep", Sweep))
    for scheduler in (ASHA, Screen):
        entries.append(_entry("scheduler", scheduler))
    for search in (Grid, Random, ModelBased):
        entries.append(_entry("search", search))
    for claim in KINDS:
        entries.append(_entry("claim", claim))
    return entries


def trial_metrics() -> list[Metric]:
    """The metrics that every trial reports, whatever its task."""
    return list(TRIAL_METRICS.values())


def metrics_of_the_latent_code() -> list[Metric]:
    """The metrics of the latent code, which trials of autoencoders report at their end."""
    return list(latent_metrics().values())


def _component_entry(kind: str, component: type[Component]) -> Entry:
    metrics: list[Metric] = []
    if issubclass(component, Task):
        task = component.model_construct()  # parameters without a default may be missing
        metrics = list(task.declared_metrics().values())
    return Entry(
        kind=kind,
        name=component.name,
        class_name=component.__name__,
        meaning=_first_paragraph(component.__doc__),
        parameters=list(_parameters(component)),
        metrics=metrics,
    )


def _entry(kind: str, model: type[BaseModel]) -> Entry:
    return Entry(
        kind=kind,
        name=model.__name__,
        class_name=model.__name__,
        meaning=_first_paragraph(model.__doc__),
        parameters=list(_parameters(model)),
        metrics=[],
    )


def _first_paragraph(docstring: str | None) -> str:
    if not docstring:
        return ""
    return _one_line(docstring.strip().split("\n\n")[0])


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _parameters(model: type[BaseModel]) -> Iterator[Parameter]:
    annotations = typing.get_type_hints(model, include_extras=True)
    descriptions = parameter_descriptions(model)
    for name, field in model.model_fields.items():
        yield Parameter(
            name=name,
            type=describe_type(annotations.get(name, field.annotation)),
            default=_default(field),
            meaning=_one_line(descriptions.get(name, "")),
        )


def _default(field: FieldInfo) -> str:
    default = field.default
    if default is PydanticUndefined:
        return ""
    if isinstance(default, Component):
        return f"{type(default).__name__}()"
    return repr(default)


def describe_type(annotation: Any) -> str:
    """A type with its bounds in words, for example "whole number above 0"."""
    if get_origin(annotation) is typing.Annotated:
        base, *metadata = get_args(annotation)
        for item in metadata:
            words = getattr(item, "words", None)  # a type that describes itself
            if isinstance(words, str):
                return words
        return describe_type(base) + _describe_bounds(metadata)
    if get_origin(annotation) is Literal:
        return " or ".join(repr(value) for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        options = [part for part in get_args(annotation) if part is not NoneType]
        words = " or ".join(map(describe_type, options))
        if NoneType in get_args(annotation):
            words += " or None"
        return words
    if get_origin(annotation) is tuple:
        return _describe_tuple(get_args(annotation))
    if get_origin(annotation) is list:
        return "list"
    if get_origin(annotation) is dict:
        return "dictionary"
    names = {int: "whole number", float: "number", bool: "True or False", str: "text"}
    if annotation in names:
        return names[annotation]
    if annotation is Any:
        return "Trial"
    return getattr(annotation, "__name__", str(annotation))


def _describe_tuple(parts: tuple[Any, ...]) -> str:
    if len(parts) == 2 and parts[1] is Ellipsis:
        return f"tuple of {describe_type(parts[0])}, ..."
    return f"({', '.join(map(describe_type, parts))})"


def _describe_bounds(metadata: list[Any]) -> str:
    bounds: list[str] = []
    for item in metadata:
        for part in _expand(item):
            if isinstance(part, Gt):
                bounds.append(f"above {part.gt}")
            elif isinstance(part, Ge):
                bounds.append(f"at least {part.ge}")
            elif isinstance(part, Lt):
                bounds.append(f"below {part.lt}")
            elif isinstance(part, Le):
                bounds.append(f"at most {part.le}")
            elif isinstance(part, MinLen) and part.min_length:
                bounds.append(f"with at least {part.min_length} element")
    if not bounds:
        return ""
    return " " + ", ".join(bounds)


def _expand(item: Any) -> Iterator[Any]:
    """The constraints that an item of Annotated groups."""
    if isinstance(item, FieldInfo):
        yield from item.metadata
    elif isinstance(item, Len):
        yield MinLen(item.min_length)
    else:
        yield item
