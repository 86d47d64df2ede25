"""What the commands print: status, lists, logs."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from cae.cli.console import Console
from cae.errors import RunError
from cae.run.formatting import count_of, format_duration, format_value
from cae.run.left_out import left_out_lines
from cae.run.locate import find_runs
from cae.run.metric_direction import Mode
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.status import RunStatus, best_text, run_status
from cae.run.trial_state import TrialState
from cae.sweep.spec.packaged_sweeps import packaged_folder, packaged_sweeps

BETTER_VALUES: dict[Mode, str] = {"min": "lower", "max": "higher"}
MAX_LOG_BYTES = 2**24
"""Of a larger log the end is printed."""
MAX_GROUP_LINES = 20
"""Comparability groups whose best trials `status` prints."""


# `cae-sweep status`


def status_text(status: RunStatus) -> str:
    """The status of a run in words."""
    progress = status.progress
    running = "not running"
    if status.is_running:
        running = "running"
    lines = [
        f"{status.title} ({status.run}), {running}",
        f"{progress.ended} of {count_of(progress.requested, 'trial')} ended: "
        f"{_state_counts(progress.counts)}",
    ]
    if status.session_end not in ("", "complete") and not status.is_running:
        lines.append(f"the last session ended: {status.session_end}")
    if progress.earlier:
        lines.append(
            f"{count_of(progress.earlier, 'trial')} of earlier sweeps: "
            f"{_state_counts(progress.earlier_counts)}"
        )
    lines += left_out_lines(status.left_out, status.examined)
    lines += _best_lines(status)
    if progress.seconds_left:
        time_left = f"about {format_duration(progress.seconds_left)} left"
        if not status.is_running:
            time_left += " once it is resumed"
        lines.append(time_left)
    for number, reason in status.failures.items():
        lines.append(f"trial {number} failed: {reason}")
    for number, text in status.restarts.items():
        lines.append(f"trial {number}: {text}")
    for number in status.undefined_trials:
        lines.append(
            f"trial {number} is left out: the line of the journal that defines it is damaged"
        )
    return "\n".join(lines)


def _best_lines(status: RunStatus) -> list[str]:
    """The best trial of each comparability group; no line without a value."""
    progress = status.progress
    better = f"{BETTER_VALUES[status.mode]} is better"
    lines: list[str] = []
    if progress.groups > 1 and progress.bests:
        lines.append(
            f"best {status.metric} of each of {progress.groups} groups that are not comparable "
            f"with each other ({better}):"
        )
    for group in progress.bests[:MAX_GROUP_LINES]:
        location = f"trial {group.best.trial}, epoch {group.best.epoch}"
        if group.is_earlier:
            location += ", of an earlier sweep"
        value = format_value(group.best.value)
        if progress.groups > 1:
            lines.append(f"  {group.label}: {value} ({location})")
        else:
            lines.append(f"best {status.metric}: {value} ({location}; {better})")
    if len(progress.bests) > MAX_GROUP_LINES:
        lines.append(f"  ... and {len(progress.bests) - MAX_GROUP_LINES} more: cae-sweep best")
    return lines


def _state_counts(counts: Mapping[TrialState, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items())


# `cae-sweep list`, `cae-sweep data list`


def print_runs_and_sweeps(runs_root: Path, sweeps_root: Path) -> None:
    """Print the runs, the newest last, and the sweep files with the first line of each."""
    console = Console()
    runs = _runs_table(runs_root)
    if runs.row_count:
        console.print(runs)
    else:
        console.print(f"no runs under {runs_root}/ yet")
    console.print()
    rows = packaged_sweep_rows()
    if sweeps_root.resolve() != packaged_folder().resolve():
        rows = sweep_rows(sweeps_root) + rows
    console.print(_sweeps_table(rows))


def run_rows(root: Path) -> list[dict[str, Any]]:
    """A row per run under a folder, for programs; the newest last."""
    rows: list[dict[str, Any]] = []
    for run in find_runs(root):
        row: dict[str, Any] = {"run": run.name, "folder": str(run.path)}
        try:
            values = run_status(run).to_json()
        except RunError as error:
            rows.append(row | {"error": str(error)})
            continue
        best = values["best"] or {}
        rows.append(
            row
            | {
                "title": values["title"],
                "running": values["running"],
                "trials": values["trials"],
                "earlier_trials": values["earlier_trials"],
                "ended": values["ended"],
                **{str(state): count for state, count in values["states"].items()},
                "metric": values["metric"],
                "best": best.get("value"),
                "best_trial": best.get("trial"),
            }
        )
    return rows


def sweep_rows(root: Path) -> list[dict[str, Any]]:
    """A row per sweep file in a folder, for programs."""
    return [
        {"file": str(path), "description": _first_docstring_line(path)}
        for path in sorted(root.glob("*.py"))
    ]


def packaged_sweep_rows() -> list[dict[str, Any]]:
    """A row per sweep of the package, which `run` finds by its name, for programs."""
    return [
        {"name": name, "description": _first_docstring_line(path)}
        for name, path in packaged_sweeps().items()
    ]


def trial_rows(run: RunDir) -> list[dict[str, Any]]:
    """A row per trial of a run, for programs: its state, and its best epoch by the sweep's metric.

    trials.csv, which `report` writes, has many more columns.
    """
    sweep = run.read_sweep()
    rows: list[dict[str, Any]] = []
    for record in run.records().values():
        row: dict[str, Any] = {
            "trial": record.number,
            "state": str(record.state),
            "in_current_sweep": record.is_requested,
            "epochs_done": record.last_epoch,
            "epochs": record.config["epochs"],
            "best_epoch": None,
            sweep.metric: None,
        }
        best = record.best(sweep.metric, sweep.mode)
        if best is not None:
            row["best_epoch"] = best.epoch
            row[sweep.metric] = best.value
        rows.append(row | {"reason": record.reason, **record.axes})
    return rows


def _runs_table(root: Path) -> Table:
    columns = ("run", "sweep", "trials", "states", "best")
    table = Table(*columns, box=None, header_style="bold", padding=(0, 2))
    for run in find_runs(root):
        try:
            status = run_status(run)
        except RunError as error:
            table.add_row(escape(run.name), escape(str(error)))
            continue
        progress = status.progress
        best = best_text(progress, status.metric).removeprefix("best ")
        if progress.best:
            value = format_value(progress.best.value)
            best = f"{status.metric} {value} (trial {progress.best.trial})"
            if progress.best_is_earlier:
                best += ", of an earlier sweep"
        trials = str(progress.requested)
        if progress.earlier:
            trials += f" + {progress.earlier} earlier"
        table.add_row(
            escape(run.name),
            escape(status.title),
            trials,
            _state_counts(progress.counts),
            escape(best),
        )
    return table


def _sweeps_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("sweep", "description", box=None, header_style="bold", padding=(0, 2))
    for row in rows:
        table.add_row(escape(row.get("file") or row["name"]), escape(row["description"]))
    return table


def _first_docstring_line(path: Path) -> str:
    try:
        docstring = ast.get_docstring(ast.parse(path.read_bytes()))
    except (SyntaxError, ValueError) as error:
        return f"cannot be read: {error}"
    if not docstring:
        return ""
    return docstring.splitlines()[0]


def print_datasets(data_dir: Path | None) -> None:
    """Print every data set: where it is, or how to get it."""
    from cae.trial.datasets import data_folders, list_datasets

    folders = data_folders(data_dir)
    console = Console()
    columns = ("data set", "images", "shape", "how to use or get it", "location")
    table = Table(*columns, box=None, header_style="bold", padding=(0, 2))
    for dataset in list_datasets(folders):
        images = ""
        if dataset.images:
            images = f"{dataset.images:,}"
        shape = "x".join(map(str, dataset.image_shape or ()))
        location = ""
        if dataset.folder is not None:
            location = str(dataset.folder)
        table.add_row(escape(dataset.name), images, shape, escape(dataset.hint), escape(location))
    console.print(table)
    searched = ", ".join(map(str, folders))
    console.print(f"searched: {searched}", highlight=False, soft_wrap=True, markup=False)


# `cae-sweep logs`, `stop`, `kill`


def trial_log(run: RunDir, number: int) -> str:
    """The output of a trial, why it ended, and its traceback if the output does not contain it."""
    records = run.records()
    if number not in records:
        raise _unknown_trial(run, records, number)
    run.fetch("log.txt", number=number)
    record = records[number]
    log_file = run.trial_file(number, "log.txt")
    log = "nothing was printed"
    if log_file.exists():
        log = _end_of(log_file, MAX_LOG_BYTES)
    end = str(record.state)
    if record.reason:
        end = f"{record.state}: {record.reason}"
    parts = [log, end]
    reason = record.suggestion.get("reason")
    if reason:
        parts.insert(0, f"suggested: {reason}")
    error = record.error.strip()
    if error and error not in log:
        parts.append(record.error)
    return "\n".join(parts)


def _end_of(file: Path, max_bytes: int) -> str:
    """The text of a file without white space at its end; of a larger one the last `max_bytes`."""
    with file.open("rb") as lines:
        size = lines.seek(0, os.SEEK_END)
        lines.seek(max(0, size - max_bytes))
        text = lines.read(max_bytes).decode(errors="replace").rstrip()
    if size > max_bytes:
        return f"... (the last {max_bytes:,} of {size:,} bytes of {file})\n{text}"
    return text


def _unknown_trial(run: RunDir, records: Mapping[int, Record], number: int) -> RunError:
    trials = "it has no trials yet"
    if records:
        trials = f"it has trials {min(records)} to {max(records)}"
    return RunError(f"trial {number} is not in {run}: {trials}")


def request_stop(run: RunDir) -> str:
    """Request a stop from the process that runs a sweep."""
    if not run.in_use():
        raise RunError(f"{run} is not running: there is nothing to stop")
    run.request("stop")
    return f"{run}: stop requested; run the same `cae-sweep run` command to resume"


def request_kill(run: RunDir, number: int) -> str:
    """Request from the process that runs a sweep that it kills one trial."""
    if not run.in_use():
        raise RunError(f"{run} is not running: there is nothing to kill")
    records = run.records()
    if number not in records:
        raise _unknown_trial(run, records, number)
    record = records[number]
    if record.state.is_final or not record.is_requested:
        raise RunError(f"trial {number} has ended already: {record.state}")
    run.request(run.kill_request(number).name)
    return f"{run}: kill of trial {number} requested"
