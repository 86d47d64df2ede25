"""The command line: parse, call, print. Heavy imports stay inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import functools
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cae.cli.data import data_app
from cae.cli.options import (
    IMAGES,
    RESULTS,
    WHERE,
    Address,
    Budget,
    CpusPerTrial,
    DataDir,
    EpochTimeout,
    Gpus,
    GpusPerTrial,
    MaxFailures,
    MaxTrials,
    OneRun,
    Out,
    Retry,
    RunArgument,
    Set,
    SweepArgument,
    ended_at_once,
    mistakes_told,
)
from cae.errors import UserError, gather

app = typer.Typer(
    help="Hyperparameter sweeps of convolutional autoencoders: a sweep file goes in, a page that answers comes out.",
    epilog="Begin with: cae-sweep run sweeps/quickstart.py. The same command again goes on where the last one ended.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data", rich_help_panel="Images")


@app.command(rich_help_panel="Sweeps")
def run(
    sweep: SweepArgument,
    out: Out = None,
    budget: Budget = "full",
    set_: Set = None,
    max_trials: MaxTrials = None,
    retry: Retry = "",
    gpus: Gpus = None,
    gpus_per_trial: GpusPerTrial = None,
    cpus_per_trial: CpusPerTrial = 1,
    data_dir: DataDir = None,
    epoch_timeout: EpochTimeout = None,
    max_failures: MaxFailures = 10,
    address: Address = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No table; only the last lines.", rich_help_panel=WHERE)
    ] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Do not ask before a large sweep.", rich_help_panel=WHERE),
    ] = False,
) -> None:
    """Run a sweep, or go on with it: what is finished is never trained again. Ctrl-C once saves and stops."""
    with mistakes_told():
        with ended_at_once():
            from rich.console import Console

            from cae.cli import live_table
            from cae.sweep.engine import session
            from cae.sweep.places import cluster, jobs
        if address and address.startswith(("http://", "https://")):
            raise typer.Exit(jobs.submit(address, sweep, out, sys.argv[1:]))
        shares = (gpus, gpus_per_trial, cpus_per_trial)
        selected = functools.partial(
            session.select, sweep, out, budget, set_, max_trials, data_dir, retry
        )
        with cluster.begun(address, sweep, selected, shares) as (resources, prepared):
            ask = len(prepared.plan.remaining) > 100 and not yes and sys.stdin.isatty()
            if ask and not typer.confirm(
                f"{len(prepared.plan.remaining)} trials are to be trained (see `cae-sweep plan`). Start?"
            ):
                raise typer.Exit(2)
            command = shlex.join(["cae-sweep", *sys.argv[1:]])
            limits = session.Limits(epoch_timeout, max_failures)
            display = live_table.display(
                prepared, resources, console=Console(stderr=True), quiet=quiet
            )
            reason = session.execute(
                prepared, resources, command=command, display=display, limits=limits
            )
        from cae.report.page import (
            build as page,
        )  # only now: pandas and plotly would be in the way of the first trial

        built = page.build_all([prepared.run])
        now = session.outcome(prepared, resources)
    print(
        ", ".join(f"{count} {state}" for state, count in now.counts.items())
        + ("" if reason == "complete" else f" ({reason})")
    )
    if now.best:
        print(
            f"best: trial {now.best[0]}, epoch {now.best[1]}, {prepared.file.sweep.metric} {now.best[2]:.6g}"
        )
    print(f"report: {built}")
    if reason != "complete":
        print(
            "the same command goes on from here; with --retry failed, trials that failed run again",
            file=sys.stderr,
        )
        raise typer.Exit(1 if reason.startswith("given up") else 130)
    raise typer.Exit(1 if any(state.is_failure for state in now.counts) else 0)


@app.command(rich_help_panel="Sweeps")
def plan(
    sweep: SweepArgument,
    out: Out = None,
    budget: Budget = "full",
    set_: Set = None,
    max_trials: MaxTrials = None,
    retry: Retry = "",
    gpus: Gpus = None,
    gpus_per_trial: GpusPerTrial = None,
    cpus_per_trial: CpusPerTrial = 1,
    data_dir: DataDir = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the list to a file.")
    ] = None,
) -> None:
    """List the trials of a sweep: parameters, what is done already, rungs, time and disk. Trains nothing, writes no run."""
    with mistakes_told():
        from cae.cli import tables
        from cae.sweep.engine import session
        from cae.sweep.places.local import local_resources

        resources, prepared = gather(
            lambda: local_resources(gpus, gpus_per_trial, cpus_per_trial),
            lambda: session.prepare(
                session.select(sweep, out, budget, set_, max_trials, data_dir, retry)
            ),
        )
        tables.show_plan(prepared, resources, csv)


@app.command(rich_help_panel=RESULTS)
def status(
    run: RunArgument = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """How a run stands: trials by state, the best so far, time left. Exit code 1 when trials have failed."""
    with mistakes_told():
        from cae.cli import tables

        stands = tables.status(_run(run))
    print(json.dumps(stands, indent=2) if as_json else tables.status_text(stands))
    raise typer.Exit(1 if stands["states"].get("failed") or stands["states"].get("oom") else 0)


@app.command(rich_help_panel=RESULTS)
def best(
    run: RunArgument = None,
    metric: Annotated[str, typer.Option(help="What counts. Default: the sweep's own.")] = "",
    mode: Annotated[
        str | None, typer.Option(metavar="min|max", help="Default: what suits the metric.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option("-o", metavar="DIR", help="Export weights, configuration and metrics."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print only the path of each model (or checkpoint).")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Show the best trials; with -o, export their weights, re-evaluated before they are written."""
    with mistakes_told():
        from cae.cli import tables

        if mode not in (None, "min", "max"):
            raise UserError(f"--mode {mode}: should be min or max")
        tables.show_best(_run(run), metric, mode, top, out, data_dir, quiet=quiet)


@app.command(rich_help_panel=RESULTS)
def report(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="One or several.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", metavar="DIR", help="For several. Default: runs/joined.")
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="FILE", help="Only this: published beside ours."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--watch", help="Serve the page to this machine, and follow the run.")
    ] = False,
) -> None:
    """Build trials.csv, epochs.csv and report.html from the journal; also while the sweep runs."""
    with mistakes_told():
        from cae.report.exporters import markdown
        from cae.report.page import build as page
        from cae.report.page import server as watch

        found = [_run(place) for place in (runs or (None,))]
        if follow:
            watch.serve(found, out)
        built = markdown.write(found, text) if text else page.build_all(found, out)
    print(f"report: {built}")


@app.command(rich_help_panel=RESULTS)
def export(
    run: RunArgument = None,
    to: Annotated[
        Literal["tensorboard", "mlflow"], typer.Option(help="Whose files.")
    ] = "tensorboard",
    out: Annotated[
        Path | None, typer.Option("-o", metavar="DIR", help="Default: a folder in the run's.")
    ] = None,
) -> None:
    """Write a run as TensorBoard's event files or MLflow's tracking folder, for `tensorboard` and `mlflow ui`."""
    with mistakes_told():
        from cae.report.exporters import experiment_trackers as exports

        print(exports.write(_run(run), to, out))


@app.command("list", rich_help_panel=RESULTS)
def list_() -> None:
    """The runs under runs/ and the sweeps under sweeps/."""
    with mistakes_told():
        from cae.cli import tables

        tables.show_all(Path("runs"), Path("sweeps"))


@app.command(rich_help_panel=RESULTS)
def logs(run: OneRun, trial: Annotated[int, typer.Argument(metavar="TRIAL")]) -> None:
    """A trial's output, why it ended, and its traceback."""
    with mistakes_told():
        from cae.cli import tables

        print(tables.trial_log(_run(run), trial))


@app.command(rich_help_panel="Sweeps")
def stop(run: RunArgument = None) -> None:
    """End a running sweep gently: everything is saved, and the same `run` goes on with it."""
    with mistakes_told():
        from cae.cli import tables

        print(tables.request_stop(_run(run)))


@app.command(rich_help_panel="Sweeps")
def kill(run: OneRun, trial: Annotated[int, typer.Argument(metavar="TRIAL")]) -> None:
    """End one trial of a running sweep; it stays in all tables, as `killed`."""
    with mistakes_told():
        from cae.cli import tables

        print(tables.request_kill(_run(run), trial))


@app.command(rich_help_panel=IMAGES)
def reconstruct(
    model: Annotated[Path, typer.Argument(help="A folder that `best -o` wrote.")],
    images: Annotated[
        list[Path], typer.Argument(help="Pictures of any size; each is fitted to the network.")
    ],
    out: Annotated[Path, typer.Option("-o", metavar="FILE", help="The picture to write.")] = Path(
        "reconstructed.png"
    ),
    corrupt: Annotated[
        bool, typer.Option("--corrupt", help="First corrupt them as in training (noise, say).")
    ] = False,
    sweep: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The sweep file that defines its parts.")
    ] = None,
) -> None:
    """Put your own images through an exported model; writes input beside output."""
    with mistakes_told():
        from cae.sweep import reconstruct as pictures

        print(pictures.reconstruct_files(model, images, out, corrupt=corrupt, sweep=sweep))


def _run(place: str | None) -> Any:
    from cae.run import storage

    return storage.find(place, Path("runs"))
