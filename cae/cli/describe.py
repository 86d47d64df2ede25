"""`cae-sweep describe`: components, their parameters and metrics."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from cae.cli.console import Console
from cae.errors import UserError
from cae.sweep.spec.catalog import (
    Entry,
    Parameter,
    catalog,
    metrics_of_the_latent_code,
    trial_metrics,
)
from cae.sweep.spec.catalog_markdown import HEADINGS, direction_text, range_text, render
from cae.sweep.spec.sweep_file import load_components
from cae.trial.metrics import Metric

ALL_METRICS = "metrics"
PIPE_WIDTH = 200
"""Columns of output that does not go to a terminal."""


def describe(name: str | None, *, as_markdown: bool, sweep: Path | None = None) -> None:
    """Print the whole catalog, one entry, one parameter or one metric; `metrics`: all metrics.

    With `sweep`, a sweep file, its components are part of the catalog.
    """
    if sweep is not None:
        load_components(sweep)
    if as_markdown:
        sys.stdout.write(render())
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    entries = catalog()
    if name is None:
        _print_list(console, entries)
        return
    if name == ALL_METRICS:
        _print_metrics(console, entries)
        return
    if not _print_matches(console, entries, name):
        own = ""
        if sweep is None:
            own = "; one of your own needs --sweep FILE"
        raise UserError(
            f"{name} is not a component, parameter or metric{_hint(name, entries)}{own}"
        )


def _print_list(console: Console, entries: Sequence[Entry]) -> None:
    for kind, heading in HEADINGS.items():
        table = Table(box=None, show_header=False, padding=(0, 2))
        for entry in entries:
            if entry.kind == kind:
                table.add_row(escape(entry.name), escape(entry.meaning))
        console.print(f"[bold]{heading}[/]")
        console.print(table)
    console.print(
        "cae-sweep describe NAME shows parameters: a component, arch.kernel_size, val_psnr; "
        "cae-sweep describe metrics shows all metrics"
    )


def _print_metrics(console: Console, entries: Sequence[Entry]) -> None:
    """Print all metrics: of every trial, of the latent code, and of each task."""
    console.print("[bold]Every trial[/]")
    console.print(_metric_table(trial_metrics()))
    console.print("[bold]The latent code[/] (once, at the end of a trial: test_probe_accuracy)")
    console.print(_metric_table(metrics_of_the_latent_code()))
    for entry in entries:
        if entry.metrics:
            console.print(f"[bold]Task {escape(entry.name)}[/] (train_, val_ and test_)")
            console.print(_metric_table(entry.metrics))


def _print_matches(console: Console, entries: Sequence[Entry], name: str) -> bool:
    """Print everything with this name; whether there is anything."""
    matching = [entry for entry in entries if name in (entry.name, entry.class_name)]
    for entry in matching:
        _print_entry(console, entry)
    found = bool(matching)
    for entry, parameter in _parameters(entries, name):
        console.print(f"[bold]{escape(entry.class_name)}.{escape(parameter.name)}[/]")
        console.print(_parameter_table([parameter]))
        found = True
    metrics = _metrics(entries, name)
    if metrics:
        console.print(_metric_table(metrics))
        found = True
    return found


def _print_entry(console: Console, entry: Entry) -> None:
    console.print(f"[bold]{escape(entry.class_name)}[/] ({escape(entry.name)}): ", end="")
    console.print(escape(entry.meaning), highlight=False)
    if entry.parameters:
        console.print(_parameter_table(entry.parameters))
    if entry.metrics:
        console.print(_metric_table(entry.metrics))


def _parameters(entries: Sequence[Entry], name: str) -> list[tuple[Entry, Parameter]]:
    """Parameters of a dotted name (`arch.kernel_size`) or of a trial (`epochs`)."""
    kind, dot, parameter_name = name.partition(".")
    matches: list[tuple[Entry, Parameter]] = []
    for entry in entries:
        is_dotted = bool(dot) and entry.kind == kind
        is_trial = not dot and entry.name == "Trial"
        for parameter in entry.parameters:
            if (is_dotted and parameter.name == parameter_name) or (
                is_trial and parameter.name == name
            ):
                matches.append((entry, parameter))
    return matches


def _metrics(entries: Sequence[Entry], name: str) -> list[Metric]:
    """Declarations of a metric, with or without its split; equal ones once."""
    for split in ("train_", "val_", "test_"):
        name = name.removeprefix(split)
    metrics = {metric: None for entry in entries for metric in entry.metrics}
    metrics |= dict.fromkeys([*trial_metrics(), *metrics_of_the_latent_code()])
    return [metric for metric in metrics if metric.name == name]


def _parameter_table(parameters: Sequence[Parameter]) -> Table:
    table = Table("parameter", "type", "default", "meaning", box=None, padding=(0, 2))
    for parameter in parameters:
        cells = (parameter.name, parameter.type, parameter.default or "required", parameter.meaning)
        table.add_row(*map(escape, cells))
    return table


def _metric_table(metrics: Sequence[Metric]) -> Table:
    table = Table("metric", "better", "unit", "range", "meaning", box=None, padding=(0, 2))
    for metric in metrics:
        cells = (
            metric.name,
            direction_text(metric),
            metric.unit,
            range_text(metric),
            metric.meaning,
        )
        table.add_row(*map(escape, cells))
    return table


def _hint(name: str, entries: Sequence[Entry]) -> str:
    names: set[str] = set()
    for entry in entries:
        names |= {entry.name, entry.class_name}
        names |= {f"{entry.kind}.{parameter.name}" for parameter in entry.parameters}
        names |= {metric.name for metric in entry.metrics}
    names |= {metric.name for metric in [*trial_metrics(), *metrics_of_the_latent_code()]}
    names.add(ALL_METRICS)
    nearest = difflib.get_close_matches(name, sorted(names), n=3)
    if not nearest:
        return "; `cae-sweep describe` lists all components"
    return f"; did you mean {', '.join(nearest)}?"
