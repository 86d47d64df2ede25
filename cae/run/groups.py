"""Comparability groups: which trials may be compared. Standard library only.

Trials are comparable if they have the same data (the fingerprint covers the images of each split),
the same task with the same parameters, and the same code of the loss and the metrics. Only trials
of one group are ranked, stopped and analyzed together. `cae.sweep.spec.comparability` describes the
group of a trial when it is planned, and the journal holds the description. For trials of older
versions, which have none, the group follows from their configuration.

Dependencies belong to no group: they are not ranked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from cae.run.formatting import format_value
from cae.run.json_values import JsonObject
from cae.run.metric_direction import SPLITS

DATA = "data"
"""Parameter of a group: the beginning of the fingerprint of its images."""
CODE = "code"
"""Parameter of a group: the hash of the user's code of the task; left out for built-in tasks."""
KINDS = ("dataset", "task")
"""The components that decide which trials are comparable."""
ALL_IMAGES = "all"
"""How None is printed for a number of images."""

_OLD_TRAINING_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "classify": ("task.encoder", "task.frozen_share"),
    "denoise": ("task.redraw_noise",),
}
"""By task, the parameters that change only the training (see `Task.training_parameters`), for runs
that do not record the groups."""


_OLD_IMAGE_TASKS = ("reconstruct", "denoise", "complete")
"""Tasks without a loss or image metrics of their own."""
_OLD_IMAGE_METRICS = ("psnr", "mse", "ssim", "channel_argmax_error")
_OLD_INDEPENDENT_METRICS: Mapping[str, tuple[str, ...]] = {
    "hole_": ("task.loss", "task.region"),
    "iq_": ("task.loss", "task.target"),
    "rgb_": ("task.loss", "task.target"),
    "accuracy": ("task.loss",),
}
"""By the beginning of a metric, parameters on which it does not depend."""


@dataclass(frozen=True)
class Group:
    """A comparability group. Groups with the same key are equal."""

    key: str
    parameters: Mapping[str, Any] = field(compare=False, default_factory=dict)
    """The parameters of the data set and the task by dotted name, `data` and `code`."""
    metrics: Mapping[str, str] = field(compare=False, default_factory=dict)
    """A key of the definition of each metric, by its name without the split (see `definition`)."""
    defaults: Mapping[str, Any] = field(compare=False, default_factory=dict)
    """Values of parameters that `parameters` leaves out, because they were added after the first
    runs and have their defaults."""

    def has_value(self, name: str) -> bool:
        """Whether the value of a parameter is known."""
        return name in self.parameters or name in self.defaults

    def value(self, name: str) -> Any:
        """The value of a parameter; None if it is not known."""
        return self.parameters.get(name, self.defaults.get(name))

    @property
    def is_recorded(self) -> bool:
        """Whether the journal holds the group, or it was derived from a configuration."""
        return DATA in self.parameters

    def definition(self, metric: str) -> str | None:
        """The key of the definition of a metric as it is reported: `val_psnr`, `last_val_psnr`.

        None if it is unknown. For groups that are not recorded it follows from the parameters.
        """
        name = metric.removeprefix("last_")
        for split in SPLITS:
            if name.startswith(split):
                name = name.removeprefix(split)
                break
        if not self.is_recorded:
            return _old_definition(name, self.parameters)
        definition = self.metrics.get(name)
        if not isinstance(definition, str):
            return None
        return definition


class Member(Protocol):
    """What this module needs of the record of a trial."""

    is_dependency: bool

    @property
    def group(self) -> Group:
        """The comparability group by itself (see `assign_groups`)."""
        ...


MemberT = TypeVar("MemberT", bound=Member)


@dataclass(frozen=True)
class LabeledGroup(Generic[MemberT]):
    """A group among others, and the trials that belong to it."""

    group: Group
    label: str
    """The parameters in which the groups differ: `task.noise_factor = 0.5`. Empty if there is one
    group."""
    records: list[MemberT]


def group_key(*content: object) -> str:
    """A short hash of values that JSON can hold."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def parse_group(description: JsonObject, config: JsonObject) -> Group:
    """The group that a journal describes, or the one that follows from a configuration."""
    key = description.get("key")
    if not isinstance(key, str):
        parameters = _compared_parameters(config)
        return Group(group_key(parameters), parameters)
    return Group(
        key,
        _object(description, "parameters"),
        _object(description, "metrics"),
        _object(description, "defaults"),
    )


def _old_definition(metric: str, parameters: Mapping[str, Any]) -> str:
    """The definition of a metric in a run that does not record it: it depends on all parameters of
    the task but those that are known not to matter."""
    task = str(parameters.get("task"))
    if task in _OLD_IMAGE_TASKS and metric in _OLD_IMAGE_METRICS:
        return metric
    if task in _OLD_IMAGE_TASKS and metric == "loss":
        return f"{metric} {parameters.get('task.loss')}"
    independent: tuple[str, ...] = ()
    for beginning, names in _OLD_INDEPENDENT_METRICS.items():
        if metric.startswith(beginning):
            independent = names
    relevant = {
        name: value
        for name, value in parameters.items()
        if name.partition(".")[0] == "task" and name not in independent
    }
    return group_key(metric, relevant)


def _object(description: JsonObject, name: str) -> JsonObject:
    value = description.get(name)
    if isinstance(value, dict):
        return value
    return {}


def _compared_parameters(config: JsonObject) -> JsonObject:
    left_out = _OLD_TRAINING_PARAMETERS.get(str(config.get("task")), ())
    parameters: JsonObject = {}
    for name, value in config.items():
        is_training = any(name == other or name.startswith(f"{other}.") for other in left_out)
        if name.partition(".")[0] in KINDS and not is_training:
            parameters[name] = value
    return parameters


def assign_groups(records: Sequence[Member]) -> list[Group | None]:
    """The group of each trial; None for dependencies.

    A trial whose group is not recorded belongs to the recorded group with the same parameters, if
    there is exactly one and the task is built in: an older version trained it before the others.
    """
    groups: list[Group | None] = []
    for record in records:
        if record.is_dependency:
            groups.append(None)
        else:
            groups.append(record.group)
    distinct = {group for group in groups if group is not None}
    if len(distinct) < 2 or all(group.is_recorded for group in distinct):
        return groups
    recorded: dict[str, list[Group]] = {}
    for group in distinct:
        if group.is_recorded and CODE not in group.parameters:
            names = group.parameters.keys() - {DATA, CODE}
            parameters = {name: group.parameters[name] for name in names}
            recorded.setdefault(group_key(parameters), []).append(group)
    assigned: list[Group | None] = []
    for own_group in groups:
        same_parameters: list[Group] = []
        if own_group is not None:
            same_parameters = recorded.get(own_group.key, [])
        if len(same_parameters) == 1:
            assigned.append(same_parameters[0])
        else:
            assigned.append(own_group)
    return assigned


def split_by_group(records: Iterable[MemberT]) -> list[LabeledGroup[MemberT]]:
    """The groups of some trials in the order of `group_labels`, without dependencies."""
    records = list(records)
    members: dict[Group, list[MemberT]] = {}
    for record, group in zip(records, assign_groups(records), strict=True):
        if group is not None:
            members.setdefault(group, []).append(record)
    labels = group_labels(members)
    return [LabeledGroup(group, label, members[group]) for group, label in labels.items()]


def group_labels(groups: Iterable[Group]) -> dict[Group, str]:
    """A label per group: the parameters in which it differs from the others.

    The groups are in the order of these parameters: numbers in ascending order, then other values
    in the order in which they occur.
    """
    labels: dict[Group, str] = {}
    for group, texts in distinguishing_texts(groups).items():
        labels[group] = ", ".join(f"{name} = {text}" for name, text in texts.items())
    return labels


def distinguishing_texts(groups: Iterable[Group]) -> dict[Group, dict[str, str]]:
    """The values of the parameters that distinguish each group, as text, in the order of
    `group_labels`."""
    groups = list(groups)
    names = distinguishing_parameters(groups)
    texts: dict[Group, dict[str, str]] = {group: {} for group in _ordered(groups, names)}
    for name in names:
        for group, text in zip(groups, _value_texts(groups, name), strict=True):
            texts[group][name] = text
    return texts


def _ordered(groups: list[Group], names: list[str]) -> list[Group]:
    first_positions: dict[tuple[str, str], int] = {}
    for position, group in enumerate(groups):
        for name in names:
            first_positions.setdefault((name, str(group.value(name))), position)

    def sort_key(group: Group) -> list[tuple[bool, float]]:
        key: list[tuple[bool, float]] = []
        for name in names:
            value = group.value(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                key.append((False, value))
            else:
                key.append((True, first_positions[name, str(value)]))
        return key

    return sorted(groups, key=sort_key)


def distinguishing_parameters(groups: Iterable[Group]) -> list[str]:
    """The parameters that distinguish groups, without those that add nothing to earlier ones.

    Fingerprints and code count only where no parameter differs.
    """
    groups = list(groups)
    names: dict[str, None] = dict.fromkeys(KINDS)
    for group in groups:
        names |= dict.fromkeys(group.parameters)
    for last in (DATA, CODE):
        if last in names:
            del names[last]
            names[last] = None
    chosen: list[str] = []
    classes: list[tuple[str, ...]] = [() for _ in groups]
    count = 1
    for name in names:
        texts = _value_texts(groups, name)
        extended = [(*known, text) for known, text in zip(classes, texts, strict=True)]
        new_count = len(set(extended))
        if new_count > count:
            chosen.append(name)
            classes = extended
            count = new_count
    return chosen


def _value_texts(groups: Sequence[Group], name: str) -> list[str]:
    """The values of a parameter as text: rounded, unless different values would look equal."""
    texts = [_value_text(group, name) for group in groups]
    exact = [str(group.value(name)) for group in groups]
    if len(set(exact)) == len(set(texts)):
        return texts
    return exact


def _value_text(group: Group, name: str) -> str:
    if not group.has_value(name) and name == DATA:
        return "not recorded"
    if not group.has_value(name):
        return "not set"
    return parameter_text(name, group.value(name))


def parameter_text(name: str, value: object) -> str:
    """The value of a parameter as labels print it."""
    if value is None and name.endswith("_images"):
        return ALL_IMAGES
    return format_value(value)


def is_defined_equally(metric: str, groups: Iterable[Group]) -> bool:
    """Whether a metric has the same, known definition in all groups."""
    definitions = {group.definition(metric) for group in groups}
    return len(definitions) == 1 and None not in definitions


def differences_text(groups: Iterable[Group]) -> str:
    """The parameters in which groups differ: `task.loss and task.noise_factor`."""
    names = distinguishing_parameters(groups)
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
