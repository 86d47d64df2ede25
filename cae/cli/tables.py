"""What the commands print: plans, status, rankings, lists, logs."""

from __future__ import annotations

import ast
import csv
import io
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.markup import escape
from rich.table import Table

from cae.cli.console import Console
from cae.errors import RunError
from cae.files import write_whole
from cae.run.formatting import count_of, format_duration, format_value
from cae.run.groups import differences_text, parse_group
from cae.run.locate import find_runs
from cae.run.metric_direction import Mode
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.status import RunStatus, best_text, run_status
from cae.run.trial_state import TrialState

if TYPE_CHECKING:  # these import torch, and `status` has to be quick
    from cae.sweep.engine.session import Prepared
    from cae.sweep.places.base import Resources
    from cae.sweep.spec.cost import Cost
    from cae.sweep.spec.plan import Plan, PlannedTrial

PIPE_WIDTH = 160
"""Characters per line of a plan that is not printed to a terminal: wide enough to cut nothing."""
BETTER_VALUES: dict[Mode, str] = {"min": "lower", "max": "higher"}
MAX_GROUP_LINES = 20
"""Comparability groups whose best trials `status` prints."""
MAX_AXIS_COLUMNS = 7
"""If the search space has more axes, they share one column."""


# `cae-sweep plan`


def print_plan(prepared: Prepared, resources: Resources, csv_file: Path | None) -> None:
    """Print the trials of a plan and their costs, and write them to `csv_file`, if any."""
    from cae.sweep.spec.cost import estimate

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    cost = estimate(prepared.plan, resources)
    console.print(_plan_table(prepared.plan, cost))
    _print_plan_summary(console, prepared, resources, cost)
    if csv_file:
        _write_plan_csv(prepared.plan, cost, csv_file)
        console.print(f"written: {escape(str(csv_file))}")


@dataclass(frozen=True)
class _Column:
    name: str
    cells: list[str]
    """One per trial."""
    justify: Literal["left", "right"] = "right"


def _plan_table(plan: Plan, cost: Cost) -> Table:
    trials = plan.trials
    columns = [
        _Column("trial", [str(trial.number) for trial in trials]),
        _Column("state", [_planned_state(trial) for trial in trials]),
        *_axis_columns(plan),
        *_seed_column(plan),
        _Column("parameters", [f"{trial.sizes['parameters']:,}" for trial in trials]),
    ]
    if any("total_parameters" in trial.sizes for trial in trials):
        totals = [f"{_total_parameters(trial):,}" for trial in trials]
        columns.append(_Column("with running\nstatistics", totals))
    latent_sizes = [format_value(trial.sizes.get("latent_values", "")) for trial in trials]
    columns += [
        _Column("latent\nsize", latent_sizes),
        _Column("MFLOP", [format_value(trial.sizes["megaflops"]) for trial in trials]),
        _Column("epochs", [str(trial.trial.epochs) for trial in trials]),
        _Column("s/epoch", [f"{seconds:.2g}" for seconds in cost.seconds_per_epoch]),
    ]
    table = Table(box=None, header_style="bold", padding=(0, 2))
    for column in columns:
        table.add_column(escape(column.name), justify=column.justify)
    for row in range(len(trials)):
        table.add_row(*[escape(column.cells[row]) for column in columns])
    return table


def _total_parameters(trial: PlannedTrial) -> int:
    """Number of parameters and of running statistics of batch normalization."""
    total: int = trial.sizes.get("total_parameters", trial.sizes["parameters"])
    return total


def _axis_columns(plan: Plan) -> list[_Column]:
    """A column per axis of the search space, or one for all axes if there are many."""
    if len(plan.axes) > MAX_AXIS_COLUMNS:
        return [_Column("settings", [_settings(trial) for trial in plan.trials], justify="left")]
    columns: list[_Column] = []
    for axis in plan.axes:
        narrow_name = _without_component(axis).replace("_", "_\n")
        cells = [format_value(trial.axes.get(axis, "")) for trial in plan.trials]
        columns.append(_Column(narrow_name, cells))
    return columns


def _without_component(axis: str) -> str:
    """`kernel_size` for the axis `arch.kernel_size`."""
    _, dot, parameter = axis.partition(".")
    if not dot:
        return axis
    return parameter


def _seed_column(plan: Plan) -> list[_Column]:
    """The seeds, if a configuration runs with several."""
    if plan.sweep.seeds == 1 or "seed" in plan.axes:
        return []
    return [_Column("seed", [str(trial.trial.seed) for trial in plan.trials])]


def _settings(trial: PlannedTrial) -> str:
    """The values of all axes that the trial has, in one text."""
    if not trial.axes:
        return "the base trial"
    parts: list[str] = []
    for axis, value in trial.axes.items():
        parts.append(f"{_without_component(axis)} {format_value(value) or 'none'}")
    return ", ".join(parts)


def _planned_state(trial: PlannedTrial) -> str:
    """The state of the trial in the run; "new" if it is not in the run yet."""
    state = "new"
    if trial.record is not None:
        state = str(trial.record.state)
        if trial.retry:
            state += ", continues"
        elif not trial.finished and trial.trial.epochs > trial.record.config["epochs"]:
            state += f", extended from {trial.record.config['epochs']}"
    if trial.is_dependency:
        state += " (dependency)"
    return state


def _print_plan_summary(
    console: Console, prepared: Prepared, resources: Resources, cost: Cost
) -> None:
    plan = prepared.plan
    console.print(f"\n[bold]{escape(prepared.file.title)}[/]: {_trial_counts(plan)}")
    if plan.overrides:
        budget = f"budget {prepared.selection.budget}: {escape(_overrides(plan))}"
        console.print(budget, highlight=False)
    for note in plan.image_notes:
        console.print(f"images: {escape(note)}", highlight=False)
    for line in change_lines(plan):
        console.print(escape(line), highlight=False, soft_wrap=True)
    better_values = BETTER_VALUES[plan.mode]
    console.print(f"ranked by: {escape(plan.sweep.metric)}, {better_values} is better")
    _print_groups(console, plan)
    if plan.sweep.scheduler and plan.rungs:
        rungs = ", ".join(map(str, plan.rungs))
        summary = plan.sweep.scheduler.summary()
        console.print(f"early stopping: at epochs {rungs}; {summary}")
    console.print(_time_estimate(plan, resources, cost))
    console.print(_disk_estimate(prepared, resources), highlight=False)


def _trial_counts(plan: Plan) -> str:
    trials = count_of(len(plan.trials), "trial")
    if plan.space_size != len(plan.trials):
        trials += f" of {plan.space_size:,} points of the search space"
    done = len(plan.trials) - len(plan.remaining)
    counts = f"{trials}, {done} done"
    if plan.duplicates:
        counts += f", {count_of(plan.duplicates, 'duplicate')} left out"
    return counts


def _overrides(plan: Plan) -> str:
    """The settings of the budget and the command that differ from the sweep file."""
    overrides: list[str] = []
    for key, override in plan.overrides.items():
        here = _setting(override["here"])
        full = _setting(override["full"])
        overrides.append(f"{key} {here} (full: {full})")
    return ", ".join(overrides)


def _time_estimate(plan: Plan, resources: Resources, cost: Cost) -> str:
    networks = count_of(cost.probed, "network")
    time = f"about {format_duration(cost.seconds)} with {resources.slots} trials at a time"
    if plan.rungs:
        time += f" ({format_duration(cost.seconds_without_stopping)} without early stopping)"
    return (
        f"time: {time}, estimated from {networks} timed on this machine; it may take "
        "half or twice as long"
    )


def _disk_estimate(prepared: Prepared, resources: Resources) -> str:
    from cae.sweep.engine.retention import plan_bytes

    needed_mb = plan_bytes(prepared.plan, resources.slots) / 1e6
    free_gb = shutil.disk_usage(_existing_parent(prepared.run.path)).free / 1e9
    return (
        f"disk: up to {needed_mb:,.0f} MB in {escape(str(prepared.run))} ({free_gb:,.0f} GB free)"
    )


def _print_groups(console: Console, plan: Plan) -> None:
    """Print in how many comparability groups the trials are, if there are several."""
    groups = {
        parse_group(planned.group, {}): None for planned in plan.trials if not planned.is_dependency
    }
    if len(groups) > 1:
        console.print(
            f"{len(groups)} groups of trials are not comparable with each other: they differ in "
            f"{escape(differences_text(groups))}; each has a best trial of its own"
        )


def _setting(value: Any) -> str:
    """A setting as `--set` takes it; None is a value too."""
    return format_value(value) or "none"


REASONS = {
    "code": "the source code of the components, or of what they use, changed",
    "images": "the images changed",
    "code and images": "the source code and the images changed",
    "code or images": "the images changed, or the source code of the components",
    "epochs": "the first epochs depend on the number of epochs, so that they cannot be extended",
    "diverged": "with more epochs it diverged after the epochs that are requested",
    "weights": "other trials depend on the weights, which differ with more epochs",
}
"""Why trials are trained anew, by the `Reason` of their plan."""
MAX_LISTED_TRIALS = 12


def change_lines(plan: Plan) -> list[str]:
    """What a plan changes in a run: trained anew, extended, answered by others, withdrawn, kept."""
    lines: list[str] = []
    for reason, text in REASONS.items():
        anew = [trial for trial in plan.trials if trial.reason == reason]
        if anew:
            numbers = [trial.replaces for trial in anew if trial.replaces is not None]
            kept = f"{_listed(numbers)} of the run {_verb(len(set(numbers)), 'keep')} the values"
            trained = f"{count_of(len(anew), 'trial')} trained anew: {text}"
            lines.append(f"{trained}; {kept}")
    extended = [trial for trial in plan.remaining if _is_extended(trial)]
    if extended:
        lines.append(
            f"{count_of(len(extended), 'trial')} extended to more epochs: "
            f"{_listed([trial.number for trial in extended])}"
        )
    longer = [trial for trial in plan.trials if trial.trial.epochs > trial.requested_epochs]
    if longer:
        lines.append(
            f"{count_of(len(longer), 'trial')} of the run with more epochs "
            f"{_verb(len(longer), 'answer')} for the requested ones: "
            f"{_listed([trial.number for trial in longer])}"
        )
    ended: list[int] = []
    unfinished: list[int] = []
    for record in plan.left:
        if record.state.is_final:
            ended.append(record.number)
        elif record.is_requested:  # otherwise it was withdrawn by an earlier command
            unfinished.append(record.number)
    if unfinished:
        lines.append(
            f"{count_of(len(unfinished), 'unfinished trial')} withdrawn, not requested any more: "
            f"{_listed(unfinished)}"
        )
    if ended:
        lines.append(
            f"{count_of(len(ended), 'trial')} of earlier sweeps {_verb(len(ended), 'keep')} the "
            f"values: {_listed(ended)}"
        )
    return lines


def _is_extended(trial: PlannedTrial) -> bool:
    return trial.record is not None and trial.trial.epochs > trial.record.config["epochs"]


def _verb(count: int, verb: str) -> str:
    """A verb in the third person: "keeps" for one, "keep" for several."""
    if count == 1:
        return f"{verb}s"
    return verb


def _listed(numbers: Iterable[int]) -> str:
    """ "trial 3", "trials 3, 4, 5", "trials 1, 2, 3, ... and 20 more"."""
    distinct = sorted(set(numbers))
    if len(distinct) == 1:
        return f"trial {distinct[0]}"
    text = ", ".join(map(str, distinct[:MAX_LISTED_TRIALS]))
    if len(distinct) > MAX_LISTED_TRIALS:
        text += f", ... and {len(distinct) - MAX_LISTED_TRIALS} more"
    return f"trials {text}"


def _write_plan_csv(plan: Plan, cost: Cost, file: Path) -> None:
    rows: list[dict[str, Any]] = []
    columns: dict[str, None] = {}  # an ordered set: trials may have different parameters
    for trial, seconds in zip(plan.trials, cost.seconds_per_epoch, strict=True):
        row: dict[str, Any] = {
            "trial": trial.number,
            "hash": trial.hash,
            "state": _planned_state(trial),
            "seconds_per_epoch": round(seconds, 3),
        }
        values = trial.trial.flat() | trial.axes | trial.sizes
        for name, value in values.items():
            row[name] = value
            if isinstance(value, list):
                row[name] = format_value(value)
        rows.append(row)
        columns |= dict.fromkeys(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns))
    writer.writeheader()
    writer.writerows(rows)
    write_whole(file, text.getvalue())


def _existing_parent(path: Path) -> Path:
    """The path, or its nearest parent that exists: a new run has no folder yet."""
    if path.exists():
        return path
    return _existing_parent(path.resolve().parent)


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
    if progress.earlier:
        lines.append(
            f"{count_of(progress.earlier, 'trial')} of earlier sweeps: "
            f"{_state_counts(progress.earlier_counts)}"
        )
    lines += _best_lines(status)
    if progress.seconds_left:
        time_left = f"about {format_duration(progress.seconds_left)} left"
        if not status.is_running:
            time_left += " once it is resumed"
        lines.append(time_left)
    for number, reason in status.failures.items():
        lines.append(f"trial {number} failed: {reason}")
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
    sweeps = _sweeps_table(sweeps_root)
    if sweeps.row_count:
        console.print(sweeps)
    else:
        console.print(f"no sweeps under {sweeps_root}/")


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
            best,
        )
    return table


def _sweeps_table(root: Path) -> Table:
    table = Table("sweep", "description", box=None, header_style="bold", padding=(0, 2))
    for path in sorted(root.glob("*.py")):
        table.add_row(escape(str(path)), escape(_first_docstring_line(path)))
    return table


def _first_docstring_line(path: Path) -> str:
    try:
        docstring = ast.get_docstring(ast.parse(path.read_text()))
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
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
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
    console.print(f"searched: {searched}", highlight=False, soft_wrap=True)


# `cae-sweep logs`, `stop`, `kill`


def trial_log(run: RunDir, number: int) -> str:
    """The output of a trial, why it ended, and its traceback if the output does not contain it."""
    records = run.records()
    if number not in records:
        raise _unknown_trial(run, records, number)
    run.fetch("log.txt", number=number)
    record = records[number]
    log_file = run.trial(number) / "log.txt"
    log = "nothing was printed"
    if log_file.exists():
        log = log_file.read_text().rstrip()
    end = str(record.state)
    if record.reason:
        end = f"{record.state}: {record.reason}"
    parts = [log, end]
    error = record.error.strip()
    if error and error not in log:
        parts.append(record.error)
    return "\n".join(parts)


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
