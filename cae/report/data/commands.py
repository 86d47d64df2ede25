"""Commands that add trials to a run."""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace

from cae.report.data.results import Run
from cae.run.json_values import JsonObject
from cae.run.records import Record
from cae.run.selection import Condition
from cae.run.sweep_json import SweepDescription

FULL_BUDGET = "full"
ONE_CONFIGURATION = "--set space=none"


def run_command(sweep: SweepDescription) -> str:
    """Return the command of a run with its budget and its folder, without other options."""
    budget = ""
    if sweep.budget and sweep.budget != FULL_BUDGET:
        budget = f" --budget {shlex.quote(sweep.budget)}"
    return f"cae-sweep run {shlex.quote(sweep.file)}{budget}{_out_option(sweep.command)}"


def commands_of(run: Run) -> list[str]:
    """Return the different commands of a run, in the order of their first use.

    Only that of sweep.json, if the journal does not have it: it is that of an older version.
    """
    commands = [session.start.command for session in run.sessions if session.start.command]
    if run.sweep.command not in commands:
        return [run.sweep.command]
    return list(dict.fromkeys(commands))


def sweep_command(run: Run) -> str:
    """Return the newest command that ran the whole sweep, and not only single trials of it."""
    for command in reversed(commands_of(run)):
        if command and ONE_CONFIGURATION not in command:
            return command
    return run_command(run.sweep)


def with_seeds(run: Run, seeds: int, conditions: Sequence[Condition] = ()) -> str:
    """Return the command that ran the sweep, with more seeds; finished trials are kept.

    Args:
        run: The run.
        seeds: How many seeds each configuration has then.
        conditions: Only trials that meet them get more seeds. They replace those of the command
            about the same parameters.
    """
    command = sweep_command(run)
    command = re.sub(r" --set seeds=\d+", "", command)
    flags = f" --set seeds={seeds}"
    command = _without_conditions(command, {condition.name for condition in conditions})
    for condition in conditions:
        flags += f" --where {shlex.quote(str(condition))}"
    points = _sampled_points(run.sweep)
    if points:
        command = re.sub(r" --max-trials[ =]\d+", "", command)
        flags = f" --max-trials {points * seeds}{flags}"
    return f"{command}{flags}"


def where_conditions(command: str) -> list[str]:
    """Return the KEY=VALUE of each `--where` of a command."""
    with contextlib.suppress(ValueError):  # of a damaged or foreign sweep.json
        words = shlex.split(command)
        found = []
        for word, following in itertools.pairwise([*words, ""]):
            if word == "--where":
                found.append(following)
            elif word.startswith("--where="):
                found.append(word.removeprefix("--where="))
        return found
    return []


def _without_conditions(command: str, names: Collection[str]) -> str:
    """A command without its `--where` about some parameters."""
    try:
        words = shlex.split(command)
    except ValueError:  # of a damaged or foreign sweep.json
        return command
    kept: list[str] = []
    for word in words:
        condition = word.removeprefix("--where=")
        is_condition = condition != word or (kept and kept[-1] == "--where")
        if not is_condition or condition.partition("=")[0] not in names:
            kept.append(word)
        elif condition == word:
            kept.pop()
    if kept == words:
        return command
    return shlex.join(kept)


def _sampled_points(sweep: SweepDescription) -> int:
    """How many points of the search space the sweep uses; 0 if it uses all that are possible.

    `--max-trials` counts seeds, so more seeds of the same points need a larger number.
    """
    if sweep.examined is None or sweep.space is None or sweep.search is not None:
        return 0
    if sweep.examined >= sweep.space:
        return 0
    impossible = sum(int(group["points"]) for group in sweep.left_out)
    return sweep.examined - impossible


def seeds_command(run: Run, number: int, first_seed: int, count: int) -> str:
    """Return the command that adds seeds of the configuration of one trial to its run.

    Args:
        run: The run.
        number: The trial.
        first_seed: The first of the new seeds; the others follow it.
        count: How many seeds to add.
    """
    record = run.records[number]
    with_seed = replace(record, config=record.config | {"seed": first_seed})
    if "seed" in record.axes:
        with_seed = replace(with_seed, axes=record.axes | {"seed": first_seed})
    flags = set_flags(with_seed, run.sweep.base, run.sweep.defaults, seeds=count)
    return f"{run_command(run.sweep)} {flags}"


def _out_option(command: str) -> str:
    """Return the `--out` of the command that made the run; empty if it had none."""
    try:
        words = shlex.split(command)
    except ValueError:  # of a damaged or foreign sweep.json
        return ""
    for word, following in itertools.pairwise([*words, ""]):
        if word == "--out":
            return f" --out {shlex.quote(following)}"
        if word.startswith("--out="):
            return f" {shlex.quote(word)}"
    return ""


COMPONENTS = ("dataset", "task", "arch", "optimizer", "schedule", "augmentation")
"""The parameters of a trial that select a component."""
OLD_DEFAULTS: JsonObject = {"precision": "float32"}
"""Defaults that configurations leave out, for runs that do not record them."""


def set_flags(
    record: Record, base: JsonObject, defaults: JsonObject | None = None, *, seeds: int = 1
) -> str:
    """Return the flags with which `cae-sweep run SWEEP_FILE` plans exactly one trial.

    They leave out the search space and set everything in which the trial differs from the base
    trial, the parameters of its axes, and the seed.

    Args:
        record: The trial.
        base: The base trial of the sweep by dotted name.
        defaults: Of the parameters that configurations leave out while they have them.
        seeds: Plan so many trials, with the trial's seed and those that follow it.
    """
    settings: dict[str, object] = {"space": "none", "seeds": seeds}
    for name in _names_to_set(record, base):
        if name in record.config:
            settings[name] = record.config[name]
    for name, default in (OLD_DEFAULTS | (defaults or {})).items():
        kind = name.partition(".")[0]
        has_same_component = kind == name or record.config.get(kind) == base.get(kind)
        if name in base and name not in record.config and has_same_component:
            settings[name] = default
    for name, value in record.axes.items():
        parameter, _, element = name.rpartition(".")
        is_element = element.isdecimal() and parameter in record.config
        if name not in record.config and not is_element:
            settings[name] = value  # a default that the configuration leaves out
    flags = []
    for name, value in settings.items():
        flags.append(f"--set {shlex.quote(f'{name}={setting_text(value)}')}")
    return " ".join(flags)


def _names_to_set(record: Record, base: JsonObject) -> list[str]:
    """The parameters of a configuration that have to be set, in its order."""
    config = record.config
    other_components: list[str] = []  # all of their parameters have to be set
    for name, value in config.items():
        is_component = name.rpartition(".")[2] in COMPONENTS
        if is_component and base.get(name) != value:
            other_components.append(f"{name}.")
    axes = set(record.axes)
    for name in record.axes:
        parameter, _, element = name.rpartition(".")
        if element.isdecimal():
            axes.add(parameter)
    names: list[str] = []
    for name, value in config.items():
        is_below_other = name.startswith(tuple(other_components))
        is_different = name not in base or base[name] != value
        if is_different or is_below_other or name in axes or name == "seed":
            names.append(name)
    return names


def setting_text(value: object) -> str:
    """Return a value as --set reads it: text is quoted if it would be read as something else."""
    if not isinstance(value, str):
        return json.dumps(value)
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            read(value.strip())
            return json.dumps(value)
    return value
