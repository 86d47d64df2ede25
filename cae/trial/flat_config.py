"""Flat configurations: dictionaries with dotted names. Changing them builds no trial.

    dataset, dataset.train_images, task.noise_factor, arch.kernel_size, arch.encoder_filters.2,
    ..., batch_size, epochs, seed

The name of a kind of component alone (`arch`) selects the component; a dotted name sets a parameter
of it; a number at the end sets one element of a tuple, counted from 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cae.trial.augmentation import Augmentation, NoAugmentation
from cae.trial.component import Component
from cae.trial.datasets import Dataset
from cae.trial.losses import Loss
from cae.trial.messages import ConfigError, nearest, unknown_component
from cae.trial.networks import Architecture
from cae.trial.optimizers import Optimizer
from cae.trial.schedules import Schedule
from cae.trial.tasks import Task

FlatConfig = dict[str, Any]
"""A configuration by dotted name; every value can be written as JSON (tuples are lists)."""
COMPONENTS: dict[str, type[Component]] = {
    "dataset": Dataset,
    "task": Task,
    "arch": Architecture,
    "optimizer": Optimizer,
    "schedule": Schedule,
    "augmentation": Augmentation,
}
"""The fields of a trial that are components, each with its kind."""
LATER_COMPONENTS: dict[str, type[Component]] = {"augmentation": NoAugmentation}
"""Those that configurations leave out while they have this default (`Trial.LATER_FIELDS`)."""


def selected_component(flat: Mapping[str, object], kind: str) -> Any:
    """The name of the component of a kind; flat configurations leave out later defaults."""
    if kind not in flat and kind in LATER_COMPONENTS:
        return LATER_COMPONENTS[kind].name
    return flat.get(kind)


def select_components(flat: FlatConfig, changes: Mapping[str, object]) -> dict[str, str]:
    """Set the components that `changes` selects, without parameters.

    Returns a message for each kind whose selected component is unknown.
    """
    unknown = {}
    for kind, base in COMPONENTS.items():
        selected = changes.get(kind, selected_component(flat, kind))
        if not isinstance(selected, str) or selected not in base.registry:
            unknown[kind] = unknown_component(kind, selected, base.registry)
        elif selected != selected_component(flat, kind):
            delete_below(flat, kind)
            flat[kind] = selected
    return unknown


def split_changes(
    flat: FlatConfig, changes: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    """Separate the changes of the trial itself from those of its dependencies.

    Returns the former, and the latter (`task.encoder.epochs`) by the dotted name of the dependency.
    """
    own_changes = dict(changes)
    dependency_changes = {}
    task = Task.registry.get(str(flat["task"]))
    names = task.dependency_names if task else ()
    for name in names:
        dependency = f"task.{name}"
        inner_changes = below(changes, dependency)
        if inner_changes and f"{dependency}.dataset" in flat:
            dependency_changes[dependency] = inner_changes
            delete_below(own_changes, dependency)
    return own_changes, dependency_changes


def set_parameter(flat: FlatConfig, names: list[str], key: str, value: object) -> None:
    """Set a parameter, or an element of one. Raises ConfigError.

    `names`: the names that can be set.
    """
    if key in names:
        flat[key] = to_lists(to_tuples(value))
        return
    parameter, _, element = key.rpartition(".")
    if not element.isdecimal() or parameter not in names:
        kind = key.split(".")[0]
        owner = "a trial"
        if kind in COMPONENTS:
            owner = f"{kind} = {selected_component(flat, kind)!r}"
        raise ConfigError([f"{key} is not a parameter of {owner}; {nearest(key, names)}"])
    position = int(element)
    items = flat.get(parameter, default_of(flat, parameter))
    if not isinstance(items, list | tuple) or not 1 <= position <= len(items):
        value_text = f"{parameter} is {to_lists(items)!r}"
        raise ConfigError([f"{key} does not exist: {value_text}; elements are counted from 1"])
    flat[parameter] = [*items[: position - 1], value, *items[position:]]


def default_of(flat: FlatConfig, name: str) -> object:
    """The default of a component's parameter; None for other parameters."""
    kind, _, parameter = name.partition(".")
    if not parameter:
        return None
    component = COMPONENTS[kind].registry[selected_component(flat, kind)]
    return component.parameter_default(parameter, below(flat, kind))


def named_components(
    flat: Mapping[str, object],
) -> Iterator[tuple[str, type[Component] | None]]:
    """Yield the components that a configuration names, each with the key of its name.

    Those of the dependencies and the losses of the tasks too; None for one that is not registered.
    """
    for key, value in flat.items():
        owner, _, last = key.rpartition(".")
        if last in COMPONENTS:
            yield key, COMPONENTS[last].registry.get(str(value))
        task = Task.registry.get(str(flat.get(owner)))
        if last == "loss" and owner.rpartition(".")[2] == "task" and task is not None:
            for name in task.named_losses(value):
                yield key, Loss.registry.get(name)


def below(flat: Mapping[str, object], name: str) -> dict[str, object]:
    """The part of a flat configuration below a dotted name, without that prefix."""
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): value for key, value in flat.items() if key.startswith(prefix)
    }


def delete_below(flat: FlatConfig, name: str) -> None:
    """Delete the part of a flat configuration whose names begin with `name` and a dot."""
    for key in [key for key in flat if key.startswith(f"{name}.")]:
        del flat[key]


def to_lists(value: object) -> object:
    """The value with tuples as lists, at all levels."""
    if isinstance(value, tuple):
        return [to_lists(item) for item in value]
    return value


def to_tuples(value: object) -> object:
    """The value with lists as tuples, at all levels."""
    if isinstance(value, list | tuple):
        return tuple(to_tuples(item) for item in value)
    return value
