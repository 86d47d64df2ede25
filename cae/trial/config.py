"""One trial's whole configuration, and its dotted names. The only code that turns dictionaries into configurations.

    dataset, dataset.train_images, task.noise_factor, arch.kernel_size, arch.encoder_filters.2, ..., batch_size, epochs, seed

A bare name of a part (`arch`) chooses the part; a dotted one sets a parameter of it; a number at the end sets one element
of a tuple, counted from 1 as papers count their layers.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from cae.errors import UserError
from cae.trial.component import Component
from cae.trial.datasets.base import Dataset
from cae.trial.networks import Architecture, sizes
from cae.trial.optimizers import Constant, Optimizer, Schedule
from cae.trial.tasks import Task


class ConfigError(UserError):
    """What is wrong with a configuration: one message per mistake, each with name, value, rule and nearest valid choice."""


class Trial(BaseModel):
    """One trial: which images, what is asked of the network, which network, how it is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    COMPONENTS: ClassVar[dict[str, type[Component]]] = {
        "dataset": Dataset,
        "task": Task,
        "arch": Architecture,
        "optimizer": Optimizer,
        "schedule": Schedule,
    }

    dataset: Dataset
    task: Task
    arch: Architecture
    optimizer: Optimizer
    schedule: Schedule = Constant()
    batch_size: PositiveInt = 32
    epochs: PositiveInt = 10
    seed: NonNegativeInt = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network's products in training; weights, losses and all that is measured are float32. Hardware that has bfloat16 may
    take half the time with it; its numbers are others, so it is another trial."""

    def flat(self) -> dict[str, Any]:
        """Every parameter under its dotted name; each value fits JSON (tuples become lists)."""
        flat: dict[str, Any] = {}
        for key in type(self).model_fields:
            value = getattr(self, key)
            if key == "precision" and value == "float32":
                continue  # unsaid, as it was before there was a choice: a trial's hash is over what is said
            if key not in self.COMPONENTS:
                flat[key] = value
                continue
            flat[key] = value.name
            for name in type(value).model_fields:
                item = getattr(value, name)
                if isinstance(item, Trial):
                    flat.update({f"{key}.{name}.{below}": it for below, it in item.flat().items()})
                else:
                    flat[f"{key}.{name}"] = _plain(item)
        return flat

    def override(self, changes: Mapping[str, Any]) -> Trial:
        """This trial with some dotted names set anew. Raises ConfigError with every mistake in `changes` at once."""
        flat, mistakes, unknown = self.flat(), [], set()
        for kind, registry in ((key, part.registry) for key, part in self.COMPONENTS.items()):
            chosen = changes.get(kind, flat[kind])
            if not _is_known(chosen, registry):
                mistakes.append(_unknown_part(kind, chosen, registry))
                unknown.add(kind)
            elif (
                chosen != flat[kind]
            ):  # another part: its own defaults replace the parameters of the one before
                flat = {key: value for key, value in flat.items() if not key.startswith(f"{kind}.")}
                flat[kind] = chosen
        changes, nested = _nested(flat, changes)
        for need, inner in nested.items():
            try:
                anew = from_flat(_below(flat, need)).override(inner).flat()
                flat = {key: value for key, value in flat.items() if not key.startswith(f"{need}.")}
                flat |= {f"{need}.{key}": value for key, value in anew.items()}
            except ConfigError as error:
                mistakes += [f"{need}: {message}" for message in error.messages]
        known = known_names(flat)
        for key, value in sorted(
            changes.items(), key=lambda change: change[0].count(".")
        ):  # a tuple before its elements
            if key not in self.COMPONENTS and key.partition(".")[0] not in unknown:
                try:
                    _assign(flat, known, key, value)
                except ConfigError as error:
                    mistakes += error.messages
        trial = None
        try:
            trial = from_flat(flat)
        except ConfigError as error:
            mistakes += error.messages
        if trial and not mistakes:
            mistakes = trial._idle(changes)
        if mistakes or not trial:
            raise ConfigError(mistakes)
        return trial

    def _idle(self, changes: Mapping[str, Any]) -> list[str]:
        """Mistakes: parameters set in `changes` that this trial's parts would ignore."""
        return [
            f"{kind}.{name} = {changes[key]!r} would be ignored: {reason}"
            for kind in self.COMPONENTS
            for name, reason in getattr(self, kind).inactive_parameters().items()
            for key in changes
            if key == f"{kind}.{name}" or key.startswith(f"{kind}.{name}.")
        ]

    def sizes(self) -> dict[str, Any]:
        """What the network costs (see architectures.sizes), before any image is read. Raises ConfigError where this
        trial cannot be trained: shapes that do not fit, outputs that do not suit the loss."""
        try:
            source = self.dataset.image_shape
            self.task.validate_output_range(self.arch.output_range)
            self.task.validate_trial(self)
            found = sizes(self.arch, self.task.input_shape(source), self.task.output_shape(source))
        except ValueError as error:
            raise ConfigError([str(error)]) from None
        except Exception as error:  # the code of a user's own part
            raise ConfigError(
                [f"arch = {self.arch.name!r} cannot be built: {type(error).__name__}: {error}"]
            ) from error
        return found

    def code(self) -> str:
        """The source of the parts that a sweep file defines: another network is another trial, whatever its parameters."""
        parts = (type(getattr(self, kind)) for kind in self.COMPONENTS)
        own = "".join(inspect.getsource(part) for part in parts if not part.is_builtin())
        return own + "".join(trial.code() for trial in self.dependencies().values())

    def dependencies(self) -> dict[str, Trial]:
        """The trials that have to be finished before this one begins, by the task's parameter."""
        found = {name: getattr(self.task, name) for name in self.task.dependency_names}
        return {name: trial for name, trial in found.items() if trial is not None}

    def metric_names(self) -> list[str]:
        """What every epoch of this trial reports."""
        image = torch.zeros(1, *self.task.output_shape(self.dataset.image_shape))
        measured = [
            f"val_{name}"
            for name in ("loss", *self.task.term_names, *self.task.metrics(image, image))
        ]
        return ["train_loss", *measured, "lr", "seconds", "images_per_second"]


def from_flat(flat: Mapping[str, Any]) -> Trial:
    """The trial whose `flat()` this is; parameters left out take their defaults. Raises ConfigError."""
    fields: dict[str, Any] = {}
    strangers = [
        key
        for key in flat
        if key not in Trial.model_fields and key.partition(".")[0] not in Trial.COMPONENTS
    ]
    mistakes = [
        f"{key} is not a parameter of a trial; {_nearest(key, list(Trial.model_fields))}"
        for key in strangers
    ]
    for key in Trial.model_fields:
        if key not in Trial.COMPONENTS:
            if key in flat:
                fields[key] = flat[key]
            continue
        registry = Trial.COMPONENTS[key].registry
        if not _is_known(flat.get(key), registry):
            mistakes.append(_unknown_part(key, flat.get(key), registry))
            continue
        prefix = f"{key}."
        parameters = {
            name.removeprefix(prefix): _tuples(value)
            for name, value in flat.items()
            if name.startswith(prefix)
        }
        part = registry[flat[key]]
        try:
            for need in part.dependency_names:
                if inner := _below(flat, f"{prefix}{need}"):
                    parameters = {
                        name: value
                        for name, value in parameters.items()
                        if not name.startswith(f"{need}.")
                    }
                    parameters[need] = from_flat(inner)
            fields[key] = part(**parameters)
        except ValidationError as error:
            mistakes += explain(error, prefix)
        except ConfigError as error:
            mistakes += [f"{prefix}{need}: {message}" for message in error.messages]
    if not mistakes:
        try:
            return Trial(**fields)
        except ValidationError as error:
            mistakes += explain(error, "")
    else:  # the bare numbers are judged too, so that all mistakes are told at once
        numbers = {key: value for key, value in fields.items() if key not in Trial.COMPONENTS}
        try:
            Trial.model_validate(numbers)
        except ValidationError as error:
            mistakes += explain(error, "", skip=set(Trial.COMPONENTS))
    raise ConfigError(mistakes)


def known_names(flat: Mapping[str, Any]) -> list[str]:
    """Every dotted name that can be set, given which parts are chosen."""
    names = list(Trial.model_fields)
    for kind, part in Trial.COMPONENTS.items():
        names += [f"{kind}.{name}" for name in part.registry[flat[kind]].model_fields]
    return names


def _below(flat: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The flat configuration that stands under a dotted name."""
    return {
        key.removeprefix(f"{name}."): value
        for key, value in flat.items()
        if key.startswith(f"{name}.")
    }


def _nested(
    flat: Mapping[str, Any], changes: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Changes of a trial itself, and those of each trial that it needs (`task.encoder.epochs`)."""
    task = Task.registry.get(str(flat.get("task")))
    dependency_names = [
        f"task.{name}"
        for name in (task.dependency_names if task else ())
        if f"task.{name}.dataset" in flat
    ]
    nested = {need: inner for need in dependency_names if (inner := _below(changes, need))}
    own = {
        key: value
        for key, value in changes.items()
        if not any(key.startswith(f"{need}.") for need in dependency_names)
    }
    return own, nested


def fingerprint_of(trial: Trial, images: Callable[[Dataset], str]) -> str:
    """What a trial's images are, and those of the trials that it needs: a part of its identity. `images`: one data set's fingerprint."""
    return " ".join(
        [
            images(trial.dataset),
            *(
                fingerprint_of(dependencies, images)
                for dependencies in trial.dependencies().values()
            ),
        ]
    )


def identity(flat: Mapping[str, Any], fingerprint: str, code: str = "") -> str:
    """The hash that is a trial's identity: 12 hexadecimal digits over its whole configuration, its images, and its own `code`."""
    canonical = json.dumps(
        [fingerprint, dict(flat), *filter(None, [code])], sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _assign(flat: dict[str, Any], known: list[str], key: str, value: Any) -> None:
    parent, _, element = key.rpartition(".")
    if key in known:
        flat[key] = _plain(_tuples(value))
    elif element.isdecimal() and parent in known:
        items = flat.get(parent, _default(flat, parent))
        if not isinstance(items, list | tuple) or not 1 <= int(element) <= len(items):
            raise ConfigError(
                [
                    f"{key} is not there: {parent} is {_plain(items)!r}, and its elements count from 1"
                ]
            )
        flat[parent] = [*items[: int(element) - 1], value, *items[int(element) :]]
    else:
        kind = key.split(".")[0]
        owner = f"{kind} = {flat[kind]!r}" if kind in Trial.COMPONENTS else "a trial"
        raise ConfigError([f"{key} is not a parameter of {owner}; {_nearest(key, known)}"])


def _default(flat: Mapping[str, Any], dotted: str) -> Any:
    kind, _, name = dotted.partition(".")
    return Trial.COMPONENTS[kind].registry[flat[kind]].model_fields[name].default if name else None


def _nearest(wrong: str, valid: list[str]) -> str:
    alike = (
        [name for name in valid if "." in name] if "." in wrong else valid
    )  # arch.zzz is not to be told of arch
    close = difflib.get_close_matches(wrong, alike, n=1)
    if not close:  # a bare name whose part was forgotten: kernel_size for arch.kernel_size
        close = [name for name in valid if name.rpartition(".")[2] == wrong.rpartition(".")[2]]
    same_part = [name for name in valid if name.startswith(wrong.split(".")[0] + ".")]
    return (
        f"did you mean {' or '.join(close)}?"
        if close
        else f"there are {', '.join(same_part or valid)}"
    )


def _is_known(chosen: Any, registry: Mapping[str, type[Component]]) -> bool:
    return isinstance(chosen, str) and chosen in registry


def _unknown_part(kind: str, chosen: Any, registry: Mapping[str, type[Component]]) -> str:
    close = difflib.get_close_matches(str(chosen), registry, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{kind} = {chosen!r} is not known; {hint}there are {', '.join(sorted(registry))}"


def explain(
    error: ValidationError, prefix: str, skip: Collection[str] = (), valid: Collection[str] = ()
) -> list[str]:
    """What pydantic found wrong, a message per mistake: name (behind `prefix`), value, rule, and the nearest of `valid`."""
    messages = []
    for item in error.errors():
        name, *inner = (str(step) for step in item["loc"]) if item["loc"] else ("",)
        if name in skip:
            continue
        if not name:  # a rule over several parameters of the part: its own words name them
            messages.append(item["msg"].removeprefix("Value error, "))
        elif item["type"] == "extra_forbidden":
            messages.append(
                f"{prefix}{name} is not a parameter here"
                + (f"; {_nearest(name, list(valid))}" if valid else "")
            )
        else:
            position = f" (element {int(inner[0]) + 1})" if inner and inner[0].isdigit() else ""
            rule = item["msg"].replace("Input should be", "should be").removeprefix("Value error, ")
            messages.append(f"{prefix}{name}{position} = {item['input']!r}: {rule}{_closest(item)}")
    return list(dict.fromkeys(messages))


def _closest(item: Any) -> str:
    if item["type"] != "literal_error":
        return ""
    choices = [
        choice.strip("' ") for choice in item["ctx"]["expected"].replace(" or ", ", ").split(",")
    ]
    close = difflib.get_close_matches(str(item["input"]), choices, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
