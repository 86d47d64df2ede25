"""The comparability group of a trial, as the journal describes it (see cae/run/groups.py).

Trials are comparable if they have the same images in the same splits, the same task with the same
parameters, and the same code of the user's in the task. Parameters that change only the training,
such as the share of epochs with a frozen encoder, do not separate groups: which value of them is
best is a question for the ranking.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cae.run.groups import CODE, DATA, KINDS, group_key
from cae.trial.component import Component
from cae.trial.config import Trial
from cae.trial.datasets import Dataset
from cae.trial.identity import fingerprint_of
from cae.trial.metrics import TRIAL_METRICS, Direction
from cae.trial.tasks import Task

FINGERPRINT_DIGITS = 8
"""Printed digits of a fingerprint."""
_PLAIN_TYPES = (bool, int, float, str, tuple, list, dict, type(None))
_PACKAGE_FOLDER = Path(__file__).resolve().parents[2]


def describe_group(trial: Trial, images: Callable[[Dataset], str]) -> dict[str, Any]:
    """Return the description of a trial's comparability group, for the journal.

    `images` returns the fingerprint of a data set.
    """
    task = trial.task
    flat = trial.flat()
    parameters: dict[str, Any] = {}
    for name, value in flat.items():
        if name.partition(".")[0] in KINDS and not _is_below(name, task.training_parameters):
            parameters[name] = value
    dependencies = [
        dependency
        for name, dependency in trial.dependencies().items()
        if name not in task.training_parameters
    ]
    fingerprints = [images(trial.dataset)]
    fingerprints += [fingerprint_of(dependency, images) for dependency in dependencies]
    code = own_source(type(task)) + loss_source(task)
    code += "".join(dependency.code() for dependency in dependencies)
    task_parameters = {
        name: value for name, value in parameters.items() if name.partition(".")[0] == "task"
    }
    key = group_key(fingerprints, task_parameters, code)
    fingerprint = fingerprints[0]
    if len(fingerprints) > 1:
        fingerprint = group_key(fingerprints)
    parameters[DATA] = fingerprint[:FINGERPRINT_DIGITS]
    if code:
        parameters[CODE] = group_key(code)[:FINGERPRINT_DIGITS]
    description = {"key": key, "parameters": parameters, "metrics": metric_definitions(trial)}
    defaults = {
        name: value
        for name, value in trial.omitted_defaults().items()
        if name.partition(".")[0] in KINDS and not _is_below(name, task.training_parameters)
    }
    if defaults:
        description["defaults"] = defaults
    return description


def metric_definitions(trial: Trial) -> dict[str, str]:
    """Return a key of the definition of each metric, by its name without the split.

    Equal keys mean equal formulas, units and ranges. The images over which a metric is the mean are
    not part of it.
    """
    task = trial.task
    flat = trial.flat()
    definitions: dict[str, str] = {}
    for name, metric in TRIAL_METRICS.items():
        definitions[name] = group_key(dataclasses.asdict(metric))
    for name, metric in trial.latent_metrics().items():
        if metric.direction != Direction.NONE:  # no trial is ranked by the others
            definitions[name] = group_key(dataclasses.asdict(metric))
    task_code = own_source(type(task))
    loss_code = loss_source(task)
    code = task_code + loss_code
    for name, metric in task.declared_metrics().items():
        content: list[object] = [dataclasses.asdict(metric)]
        defining = task.defining_parameters(name)
        if not task.is_common_metric(name):
            own_code = task_code
            if "loss" in defining:
                own_code += loss_code
            content += [task.name, own_code]
        elif name == "loss" and loss_code:
            content.append(loss_code)
        parameters: dict[str, Any] = {}
        for parameter in defining:
            parameters |= {key: flat[key] for key in flat if _is_below(key, (parameter,))}
        definitions[name] = group_key(*content, parameters)
    for metric_name in trial.metric_names():
        name = metric_name.removeprefix("val_").removeprefix("train_")
        if name not in definitions:  # not declared
            definitions[name] = group_key(name, task.name, code, task.parameters())
    return definitions


def _is_below(name: str, parameters: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of these parameters of the task, or a part of one."""
    for parameter in parameters:
        if name == f"task.{parameter}" or name.startswith(f"task.{parameter}."):
            return True
    return False


def loss_source(task: Task) -> str:
    """Return the source of the losses of a task that the user defined."""
    return "".join(own_source(type(term.loss)) for term in task.losses())


def own_source(component: type[Component]) -> str:
    """Return the source of a component that the user defined, with all that it uses of theirs.

    These are base classes, functions and plain constants, in the sweep file and in modules that are
    not installed. Empty for built-in components.
    """
    if component.is_builtin():
        return ""
    parts: dict[str, str] = {}
    waiting: list[Any] = [component]
    while waiting:
        user_object = waiting.pop()
        name = f"{user_object.__module__}.{user_object.__qualname__}"
        if name in parts:
            continue
        source = textwrap.dedent(inspect.getsource(user_object))
        parts[name] = source
        if inspect.isclass(user_object):
            waiting += [base for base in user_object.__bases__ if _is_users(base)]
        names_in_module = _module_names(user_object)
        for used in _used_names(source):
            value = names_in_module.get(used)
            if (inspect.isclass(value) or inspect.isfunction(value)) and _is_users(value):
                waiting.append(value)
            elif inspect.ismodule(value) and _is_users(value):
                parts[value.__name__] = inspect.getsource(value)
            elif used in names_in_module and isinstance(value, _PLAIN_TYPES):
                parts[f"{user_object.__module__}.{used}"] = repr(value)
    return "\n".join(parts[name] for name in sorted(parts))


def _module_names(user_object: Any) -> dict[str, Any]:
    module = sys.modules.get(user_object.__module__)
    if module is not None:
        return vars(module)
    functions = [user_object]
    if inspect.isclass(user_object):
        functions = list(vars(user_object).values())
    for function in functions:
        if inspect.isfunction(function):
            return function.__globals__
    return {}


def _used_names(source: str) -> list[str]:
    """Return the names that a source uses, each once, sorted."""
    with contextlib.suppress(SyntaxError):
        nodes = ast.walk(ast.parse(source))
        return sorted({node.id for node in nodes if isinstance(node, ast.Name)})
    return []


def _is_users(value: Any) -> bool:
    """Whether a class, function or module is neither of this package nor of an installed one."""
    try:
        file = Path(inspect.getfile(value)).resolve()
    except (TypeError, OSError):
        return False
    installed = {Path(path).resolve() for path in sysconfig.get_paths().values()}
    is_installed = any(folder in file.parents for folder in installed)
    return not is_installed and _PACKAGE_FOLDER not in file.parents
