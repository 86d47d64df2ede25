"""The app, and the commands about sweeps: parse, call, print.

Heavy imports are inside the commands, so that `--help` needs none of them.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cae.cli.data import data_app
from cae.cli.errors import (
    USAGE_ERROR,
    report_errors,
)
from cae.cli.options import (
    IMAGES_PANEL,
    SWEEPS_PANEL,
    Address,
    AsJson,
    Budget,
    CpusPerTrial,
    Csv,
    DataDir,
    EpochTimeout,
    Gpus,
    GpusPerTrial,
    MaxEpochs,
    MaxFailures,
    MaxHours,
    MaxTrials,
    Notify,
    Out,
    Quiet,
    RequiredRun,
    Retry,
    RunArgument,
    Set,
    Slots,
    Strict,
    SweepArgument,
    Track,
    TrialArgument,
    Watch,
    Where,
    Yes,
    complete_source,
    expand_home,
)
from cae.cli.output import echo
from cae.cli.result_commands import find_run, results_app
from cae.errors import ENVIRONMENT_ERROR, UserError, gather
from cae.version import __version__

if TYPE_CHECKING:
    from cae.sweep.engine.session import Selection

CONFIRM_TRIALS = 100
"""`run` asks for confirmation before it starts more trials than this."""

app = typer.Typer(
    epilog="Start with: cae-sweep run quickstart. The same command resumes a sweep.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data", rich_help_panel=IMAGES_PANEL)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        echo(f"cae-sweep {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
]


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Hyperparameter sweeps of PyTorch convolutional autoencoders: run a sweep file, read the
    report."""
    del version


@app.command(rich_help_panel=SWEEPS_PANEL)
def run(
    sweep: SweepArgument,
    budget: Budget = "full",
    set_: Set = None,
    max_trials: MaxTrials = None,
    where: Where = None,
    strict: Strict = False,
    retry: Retry = "",
    out: Out = None,
    gpus: Gpus = None,
    gpus_per_trial: GpusPerTrial = None,
    cpus_per_trial: CpusPerTrial = 1,
    slots: Slots = None,
    data_dir: DataDir = None,
    epoch_timeout: EpochTimeout = None,
    max_failures: MaxFailures = 10,
    max_hours: MaxHours = None,
    max_epochs: MaxEpochs = None,
    address: Address = None,
    track: Track = None,
    notify: Notify = None,
    watch: Watch = False,
    quiet: Quiet = False,
    yes: Yes = False,
) -> None:
    """Run a sweep or resume it: finished epochs are never trained again. Ctrl-C saves and stops."""
    from cae.cli import running
    from cae.sweep.run_request import RunOptions

    command = shlex.join(["cae-sweep", *sys.argv[1:]])
    options = RunOptions(
        gpus=gpus,
        gpus_per_trial=gpus_per_trial,
        cpus_per_trial=cpus_per_trial,
        slots=slots,
        address=address,
        epoch_timeout=epoch_timeout,
        max_failures=max_failures,
        max_hours=max_hours,
        max_epochs=max_epochs,
        track=track,
        notify=notify,
        watch=watch,
        quiet=quiet,
        command=command,
        arguments=tuple(sys.argv[1:]),
    )

    def select() -> Selection:
        from cae.sweep.engine import session

        return session.select(
            sweep, out, budget, set_, max_trials, data_dir, retry, where=where, strict=strict
        )

    confirm: Callable[[int], None] | None = None
    if not yes:
        confirm = _confirm
    with report_errors():
        try:
            ended = running.run_trials(select, options, sweep_file=sweep, out=out, confirm=confirm)
        except running.Delegated as delegated:
            raise typer.Exit(delegated.exit_code) from None
        except KeyboardInterrupt:  # before the first trial; afterwards, the session ends in order
            echo("interrupted: the same command starts again", to_stderr=True)
            raise
    with report_errors(ENVIRONMENT_ERROR):
        exit_code = running.conclude(ended)
    raise typer.Exit(exit_code)


def _confirm(trials: int) -> None:
    if trials > CONFIRM_TRIALS and sys.stdin.isatty():
        question = f"{trials} trials will be trained (see `cae-sweep plan`). Start?"
        if not typer.confirm(question):
            raise typer.Exit(USAGE_ERROR)


@app.command(rich_help_panel=SWEEPS_PANEL)
def plan(
    sweep: SweepArgument,
    budget: Budget = "full",
    set_: Set = None,
    max_trials: MaxTrials = None,
    where: Where = None,
    strict: Strict = False,
    retry: Retry = "",
    out: Out = None,
    gpus: Gpus = None,
    gpus_per_trial: GpusPerTrial = None,
    cpus_per_trial: CpusPerTrial = 1,
    slots: Slots = None,
    data_dir: DataDir = None,
    for_claims: Annotated[
        bool,
        typer.Option(
            "--for-claims",
            help="List the cheapest trials that would decide the undecided claims of the run "
            "(without a run: of the sweep), with their time and commands.",
        ),
    ] = False,
    as_json: AsJson = False,
    csv: Csv = None,
) -> None:
    """List the trials of a sweep with their parameters, state, time and disk. Trains nothing.

    --csv has a row per trial.
    """
    with report_errors():
        from cae.cli import machine_output, plan_rows, plan_text

        machine_output.check_outputs(as_json=as_json, csv_file=csv)
        if for_claims and csv is not None:
            raise UserError("--for-claims writes no CSV: use --json")
        is_for_programs = as_json or csv == machine_output.STANDARD_OUTPUT
        printing: AbstractContextManager[None] = contextlib.nullcontext()
        if is_for_programs:
            printing = machine_output.prints_to_stderr()
        with printing:
            from cae.sweep.engine import session
            from cae.sweep.places.base import ResourceOptions
            from cae.sweep.places.local import LocalPlace
            from cae.sweep.spec.cost import estimate

            place = LocalPlace(ResourceOptions(gpus, gpus_per_trial, cpus_per_trial, slots))
            resources, prepared = gather(
                place.resources,
                lambda: session.prepare(
                    session.select(
                        sweep,
                        out,
                        budget,
                        set_,
                        max_trials,
                        data_dir,
                        retry,
                        where=where,
                        strict=strict,
                    )
                ),
            )
            cost = estimate(prepared.plan, resources)
        if for_claims:
            from cae.cli import plan_claims

            plan_claims.show(prepared, cost, as_json=as_json)
            return
        if as_json:
            machine_output.echo_json(plan_rows.plan_json(prepared, resources, cost))
        if not is_for_programs:
            plan_text.print_plan(prepared, resources, cost)
        if csv is not None:
            machine_output.write_csv(plan_rows.csv_rows(prepared.plan, cost), csv)
            if not is_for_programs:
                echo(f"written: {csv}")


@app.command(rich_help_panel=SWEEPS_PANEL)
def new(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="The file to write: NAME.py.", callback=expand_home),
    ],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TEMPLATE",
            help="digits: small networks on embedded images. photos: a folder of your images. "
            "arrays: npy, npz, safetensors or TIFF. denoise: removing noise. network: a network of "
            "your own. search: points that depend on results. Or a sweep of the package by its "
            "name, which is copied with its published numbers.",
            autocompletion=complete_source,
        ),
    ] = "digits",
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Your images, for photos and arrays.", callback=expand_home
        ),
    ] = None,
) -> None:
    """Write a sweep file with comments to start from."""
    with report_errors():
        from cae.cli.new import write_sweep_file

        write_sweep_file(name, source, images)


@app.command(rich_help_panel=SWEEPS_PANEL)
def describe(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="A component, a parameter (arch.kernel_size) or a metric."
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print everything as Markdown.")
    ] = False,
    sweep: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Sweep file that you trust; it is executed for its own components.",
            callback=expand_home,
        ),
    ] = None,
) -> None:
    """Explain components and their parameters, and the metrics that are reported."""
    with report_errors():
        from cae.cli import describe as describe_module

        describe_module.describe(name, as_markdown=markdown, sweep=sweep)


@app.command(rich_help_panel=SWEEPS_PANEL)
def stop(run: RunArgument = None) -> None:
    """Stop a running sweep; everything is saved, and `run` resumes it."""
    with report_errors():
        from cae.cli import tables

        echo(tables.request_stop(find_run(run)))


@app.command(rich_help_panel=SWEEPS_PANEL)
def kill(run: RequiredRun, trial: TrialArgument) -> None:
    """End one trial of a running sweep; it stays in all tables with the state `killed`."""
    with report_errors():
        from cae.cli import tables

        echo(tables.request_kill(find_run(run), trial))


# `add_typer` without a name would be the same from typer 0.15 on.
app.registered_commands.extend(results_app.registered_commands)
