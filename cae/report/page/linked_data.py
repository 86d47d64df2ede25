"""Data for the scripts of the page: the keys and flags of the trials, and trials.csv itself."""

from __future__ import annotations

import ast
import base64
import contextlib
import gzip
import json
import shlex
from typing import TypedDict

from cae.report.data.results import Results
from cae.report.data.tables import csv_text
from cae.run.json_values import JsonObject
from cae.run.records import Record


class TrialKeys(TypedDict):
    """Lists by row of trials.csv, as selection.js reads them."""

    keys: list[str]
    """Name of the trial in the address: its number, or RUN.NUMBER if runs are joined."""
    flags: list[str]
    """Flags of `cae-sweep run SWEEP_FILE` that plan exactly the trial."""
    ranges: bool
    """Whether the address may shorten keys to ranges like 3-7."""


def trial_keys(results: Results) -> TrialKeys:
    keys: list[str] = []
    flags: list[str] = []
    for run_number, run in enumerate(results.runs, start=1):
        for record in run.records.values():
            key = str(record.number)
            if results.joined:
                key = f"{run_number}.{record.number}"
            keys.append(key)
            flags.append(set_flags(record, run.sweep.base, run.sweep.defaults))
    return {"keys": keys, "flags": flags, "ranges": not results.joined}


COMPONENTS = ("dataset", "task", "arch", "optimizer", "schedule", "augmentation")
"""The parameters of a trial that select a component."""
OLD_DEFAULTS: JsonObject = {"precision": "float32"}
"""Defaults that configurations leave out, for runs that do not record them."""


def set_flags(record: Record, base: JsonObject, defaults: JsonObject | None = None) -> str:
    """Return the flags with which `cae-sweep run SWEEP_FILE` plans exactly one trial.

    They leave out the search space and set everything in which the trial differs from the base
    trial, the parameters of its axes, and the seed.

    Args:
        record: The trial.
        base: The base trial of the sweep by dotted name.
        defaults: Of the parameters that configurations leave out while they have them.
    """
    settings: dict[str, object] = {"space": "none", "seeds": 1}
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
        flags.append(f"--set {shlex.quote(f'{name}={_setting(value)}')}")
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


def _setting(value: object) -> str:
    """A value as --set reads it: text is quoted if it would be read as something else."""
    if not isinstance(value, str):
        return json.dumps(value)
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            read(value.strip())
            return json.dumps(value)
    return value


def packed_csv(results: Results) -> str:
    """Return trials.csv as a compressed JSON list of its records."""
    text = csv_text(results, results.trials)
    return compress(json.dumps(split_csv(text)).encode())


def split_csv(text: str) -> list[str]:
    """Split CSV into records with their line ends. A quoted value may contain line ends."""
    records: list[str] = []
    record = ""
    for line in text.splitlines(keepends=True):
        record += line
        is_quotation_closed = record.count('"') % 2 == 0
        if is_quotation_closed and line.endswith("\n"):
            records.append(record)
            record = ""
    if record:
        records.append(record)
    return records


def compress(content: bytes) -> str:
    """Compress with gzip without a time stamp, so that equal contents give equal text (base64)."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
