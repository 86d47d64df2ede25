"""What the commands print: plans, runs, rankings, logs."""

from __future__ import annotations

import ast
import csv
import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cae.errors import RunError
from cae.files import write_whole
from cae.run.locate import find_runs
from cae.run.paths import RunDir
from cae.run.ranking import ranking
from cae.run.status import axes_shown, duration, progress, shown

if TYPE_CHECKING:  # torch comes with them, and `status` has to be quick
    from cae.sweep.engine.session import Prepared
    from cae.sweep.places.local import Resources

PIPE_WIDTH = 160
"""Of a table that goes to no terminal: wide enough that nothing is cut."""
MOST_COLUMNS = 7
"""Axes beyond these share one column."""


def show_plan(prepared: Prepared, resources: Resources, file: Path | None) -> None:
    """Prints a plan; `file` takes the list as CSV."""
    from cae.sweep.engine.retention import disk
    from cae.sweep.spec.cost import estimate

    plan = prepared.plan
    console = Console() if Console().is_terminal else Console(width=PIPE_WIDTH)
    costs = estimate(plan, resources)
    axes = list(plan.axes)
    merged = len(axes) > MOST_COLUMNS
    batch_norm = any("total_parameters" in planned.sizes for planned in plan.trials)
    table = Table(box=None, header_style="bold", padding=(0, 2))
    names = (
        ["settings"] if merged else [axis.split(".", 1)[-1].replace("_", "_\n") for axis in axes]
    )
    counted = ["parameters", *(["with running\nstatistics"] if batch_norm else [])]
    for column in ("trial", "state", *names, *counted, "code", "MFLOP", "epochs", "s/epoch"):
        table.add_column(escape(column), justify="left" if column == "settings" else "right")
    rows = []
    for planned, seconds in zip(plan.trials, costs.seconds_per_epoch, strict=True):
        state = (planned.record.state if planned.record else "new") + (
            " (needed)" if planned.is_dependency else ""
        )
        point = [shown(planned.axes.get(axis, "")) for axis in axes]
        if merged:
            settings = (
                f"{axis.split('.', 1)[-1]} {shown(value) or 'none'}"
                for axis, value in planned.axes.items()
            )
            point = [", ".join(settings) or "the base itself"]
        sizes = planned.sizes
        total = [f"{sizes.get('total_parameters', sizes['parameters']):,}"] if batch_norm else []
        cells = [
            f"{sizes['parameters']:,}",
            *total,
            shown(sizes.get("latent_values", "")),
            shown(sizes["megaflops"]),
            str(planned.trial.epochs),
        ]
        table.add_row(str(planned.number), state, *map(escape, point), *cells, f"{seconds:.2g}")
        row = {
            "trial": planned.number,
            "hash": planned.hash,
            "state": state,
            "seconds_per_epoch": round(seconds, 3),
        }
        rows.append(row | planned.trial.flat() | planned.axes | sizes)
    console.print(table)
    done = len(plan.trials) - len(plan.remaining)
    sample = (
        f" of {plan.space_size:,} points of the space"
        if plan.space_size != len(plan.trials)
        else ""
    )
    counts = (
        f"{len(plan.trials)} trials{sample}, {done} done, {plan.duplicates} duplicates left out"
    )
    console.print(f"\n[bold]{escape(prepared.file.title)}[/]: {counts}")
    if plan.overrides:
        told = ", ".join(
            f"{key} {shown(change['here'])} (full: {shown(change['full'])})"
            for key, change in plan.overrides.items()
        )
        console.print(f"budget {prepared.selection.budget}: {escape(told)}", highlight=False)
    if plan.sweep.scheduler and plan.rungs:
        share = f"about 1 in {plan.sweep.scheduler.reduction_factor:g} goes on"
        console.print(
            f"early stopping: judged at epochs {', '.join(map(str, plan.rungs))}; {share}"
        )
    console.print(
        f"time: about {duration(costs.seconds)} on {resources.slots} at a time"
        + (
            f" ({duration(costs.seconds_without_stopping)} without early stopping)"
            if plan.rungs
            else ""
        )
        + f", from {costs.probed} networks timed here for a moment; expect a factor of two either way"
    )
    needed = disk(plan, resources.slots)
    free = shutil.disk_usage(_existing(prepared.run.path)).free
    console.print(
        f"disk: up to {needed / 1e6:,.0f} MB in {escape(str(prepared.run))} ({free / 1e9:,.0f} GB free)",
        highlight=False,
    )
    if file:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(
            {key: shown(value) if isinstance(value, list) else value for key, value in row.items()}
            for row in rows
        )
        write_whole(file, text.getvalue())
        console.print(f"written: {escape(str(file))}")


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.resolve().parent)


def status(run: RunDir) -> dict[str, Any]:
    """How a run stands, as plain values."""
    sweep = run.read_sweep()
    records = run.records()
    now = progress(
        [record for record in records.values() if record.is_requested],
        sweep.metric,
        sweep.mode,
        sweep.slots,
    )
    best = dict(zip(("trial", "epoch", "value"), now.best, strict=True)) if now.best else None
    failures = {
        record.number: record.reason
        for record in records.values()
        if record.state in ("failed", "oom")
    }
    return {
        "run": str(run),
        "title": sweep.title,
        "running": run.in_use(),
        "trials": now.requested,
        "ended": now.ended,
        "states": now.counts,
        "metric": sweep.metric,
        "best": best,
        "seconds_left": now.seconds_left,
        "failures": failures,
    }


def status_text(stands: dict[str, Any]) -> str:
    lines = [
        f"{stands['title']} ({stands['run']}), {'running' if stands['running'] else 'not running'}"
    ]
    counts = ", ".join(f"{count} {state}" for state, count in stands["states"].items())
    lines.append(f"{stands['ended']} of {stands['trials']} trials ended: {counts}")
    if best := stands["best"]:
        lines.append(
            f"best {stands['metric']}: {shown(best['value'])} (trial {best['trial']}, epoch {best['epoch']})"
        )
    if stands["seconds_left"]:
        lines.append(
            f"about {duration(stands['seconds_left'])} left"
            + ("" if stands["running"] else ", once it runs again")
        )
    lines += [f"trial {number} failed: {reason}" for number, reason in stands["failures"].items()]
    return "\n".join(lines)


def show_best(
    run: RunDir,
    metric: str,
    mode: str | None,
    top: int,
    out: Path | None,
    data_dir: Path | None,
    *,
    quiet: bool,
) -> None:
    """Prints the best trials, and exports them where `out` is given (each into a folder of its own where they are several)."""
    sweep = run.read_sweep()
    metric = metric or sweep.metric
    ranked = ranking(run.records().values(), sweep, metric, mode)[:top]
    for one in ranked:
        number = one.record.number
        place = run.trial(number) / "best.safetensors"
        if out:
            from cae.sweep.export import export
            from cae.trial.datasets.base import data_folders

            place = out if top == 1 else out / f"{number:04d}"
            epoch, again = export(run, one, place, data_folders(data_dir))
        if quiet:
            print(place)
            continue
        print(
            f"trial {number}: {metric} {one.value:.6g} at epoch {one.epoch} ({one.record.state}); {axes_shown(one.record.axes)}"
        )
        known = one.record.epochs[one.epoch] | one.record.final_metrics
        print("  " + "  ".join(f"{name} {shown(value)}" for name, value in known.items()))
        if out:
            print(
                f"  exported to {place} (epoch {epoch}); its weights give again "
                + ", ".join(f"{name} {value:.8g}" for name, value in again.items())
            )
        else:
            print(f"  weights: {place} (export them with -o DIR)")


def show_all(runs_root: Path, sweeps_root: Path) -> None:
    """Prints the runs, newest last, and the sweep files with the first line of what they say."""
    console = Console()
    table = Table(
        "run", "sweep", "trials", "states", "best", box=None, header_style="bold", padding=(0, 2)
    )
    for run in find_runs(runs_root):
        try:
            stands = status(run)
        except RunError as error:
            table.add_row(escape(run.name), escape(str(error)))
            continue
        best = (
            f"{stands['metric']} {shown(stands['best']['value'])} (trial {stands['best']['trial']})"
            if stands["best"]
            else ""
        )
        states = ", ".join(f"{count} {state}" for state, count in stands["states"].items())
        table.add_row(
            escape(run.name), escape(stands["title"]), str(stands["trials"]), states, best
        )
    console.print(table if table.row_count else f"no runs under {runs_root}/ yet")
    table = Table("sweep", "what it asks", box=None, header_style="bold", padding=(0, 2))
    for path in sorted(sweeps_root.glob("*.py")):
        try:
            description = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
        except (SyntaxError, ValueError) as error:
            description = [f"cannot be read: {error}"]
        table.add_row(escape(str(path)), escape(description[0] if description else ""))
    console.print()
    console.print(table if table.row_count else f"no sweeps under {sweeps_root}/")


def show_data(data_dir: Path | None) -> None:
    """Prints every data set: where it is, or how to get it."""
    from cae.trial.datasets.base import available, data_folders

    folders = data_folders(data_dir)
    console = Console()
    table = Table(
        "data set", "images", "shape", "where", box=None, header_style="bold", padding=(0, 2)
    )
    for one in available(folders):
        images = f"{one.images:,}" if one.images else ""
        where = str(one.folder) if one.folder else one.how
        table.add_row(
            escape(one.name), images, "x".join(map(str, one.image_shape or ())), escape(where)
        )
    console.print(table)
    console.print(f"looked in {', '.join(map(str, folders))}", highlight=False, soft_wrap=True)


def trial_log(run: RunDir, number: int) -> str:
    """A trial's log, why it ended, and its traceback."""
    records = run.records()
    if number not in records:
        raise RunError(
            f"trial {number} is not in {run}: it has {min(records, default=0)} to {max(records, default=0)}"
        )
    run.fetch("log.txt", number=number)
    record, log = records[number], run.trial(number) / "log.txt"
    parts = [log.read_text().rstrip() if log.exists() else "nothing was printed"]
    parts.append(f"{record.state}: {record.reason}" if record.end else record.state)
    error = record.error
    return "\n".join([*parts, *([error] if error and error.strip() not in parts[0] else [])])


def request_stop(run: RunDir) -> str:
    if not run.in_use():
        raise RunError(f"{run} is not running: there is nothing to stop")
    run.request("stop")
    return f"{run} was asked to stop; the same `cae-sweep run` goes on with it"


def request_kill(run: RunDir, number: int) -> str:
    if not run.in_use():
        raise RunError(f"{run} is not running: there is nothing to kill")
    record = run.records().get(number)
    if not record:
        raise RunError(f"trial {number} is not in {run}")
    if record.state.is_final or not record.is_requested:
        raise RunError(f"trial {number} has ended already: {record.state}")
    run.request(run.kill_request(number).name)
    return f"trial {number} of {run} was asked to end"
