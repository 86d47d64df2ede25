"""The app, and the commands about sweeps: parse, call, print.

Heavy imports are inside the commands, so that `--help` needs none of them.
"""

from __future__ import annotations

import contextlib
import functools
import shlex
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cae.cli.data import data_app
from cae.cli.errors import (
    INTERRUPTED,
    USAGE_ERROR,
    exit_immediately_on_signals,
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
    Yes,
    expand_home,
)
from cae.cli.output import echo
from cae.cli.result_commands import find_run, results_app
from cae.errors import ENVIRONMENT_ERROR, gather
from cae.run.events import ABORTED, GAVE_UP, REACHED

if TYPE_CHECKING:
    from cae.run.status import Progress

MAX_GROUP_LINES = 20
"""Comparability groups whose best trials `run` prints."""
CONFIRM_TRIALS = 100
"""`run` asks for confirmation before it starts more trials than this."""

app = typer.Typer(
    help=(
        "Hyperparameter sweeps of PyTorch convolutional autoencoders: run a sweep file, "
        "read the report."
    ),
    epilog="Start with: cae-sweep run sweeps/quickstart.py. The same command resumes a sweep.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data", rich_help_panel=IMAGES_PANEL)


@app.command(rich_help_panel=SWEEPS_PANEL)
def run(
    sweep: SweepArgument,
    budget: Budget = "full",
    set_: Set = None,
    max_trials: MaxTrials = None,
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
    quiet: Quiet = False,
    yes: Yes = False,
) -> None:
    """Run a sweep or resume it: finished epochs are never trained again. Ctrl-C saves and stops."""
    with report_errors():
        with exit_immediately_on_signals():
            from cae.sweep.places.auth_token import use_private_token

            if address is None:
                use_private_token()  # before Ray is imported
            from cae.cli import live_table, plan_text
            from cae.cli.console import Console
            from cae.cli.following import follow
            from cae.cli.notify import notify_user
            from cae.sweep.engine import session
            from cae.sweep.engine.limits import Limits
            from cae.sweep.engine.sweep_stops import StopRules
            from cae.sweep.places.base import ResourceOptions
            from cae.sweep.places.choose import choose_place
        options = ResourceOptions(gpus, gpus_per_trial, cpus_per_trial, slots)
        place = choose_place(address, options)
        exit_code = place.delegate(sweep, out, sys.argv[1:])
        if exit_code is not None:
            raise typer.Exit(exit_code)
        _, prepared = gather(
            place.check_options,
            lambda: session.prepare(
                session.select(sweep, out, budget, set_, max_trials, data_dir, retry, strict=strict)
            ),
        )
        for note in prepared.plan.image_notes:
            echo(f"images: {note}", to_stderr=True)
        for line in plan_text.note_lines(prepared.plan):
            echo(line, to_stderr=True)
        if not yes:
            _confirm(len(prepared.plan.remaining) + prepared.plan.to_come)
        console = Console(stderr=True)
        display = live_table.display(prepared, console=console, quiet=quiet)
        notify_if_asked = functools.partial(notify_user, notify, prepared.run)
        with follow(prepared, display, console, track, notify_if_asked) as followed_display:
            reason = session.execute(
                prepared,
                place,
                command=shlex.join(["cae-sweep", *sys.argv[1:]]),
                display=followed_display,
                before_exit=notify_if_asked,
                limits=Limits(epoch_timeout, max_failures),
                rules=StopRules(hours=max_hours, epochs=max_epochs),
            )
    with report_errors(ENVIRONMENT_ERROR):
        # Imported only now: pandas and plotly would delay the first trial.
        from cae.report.page import build

        try:
            page = build.build_all([prepared.run])
            progress = session.outcome(prepared.run)
        except Exception:
            notify_if_asked(reason, ENVIRONMENT_ERROR)
            raise
        exit_code = _exit_code(progress, reason)
        notify_if_asked(reason, exit_code)  # before printing: the reader of the output may be gone
        _print_outcome(progress, prepared.file.sweep.metric, reason, page)
    raise typer.Exit(exit_code)


def _confirm(trials: int) -> None:
    if trials > CONFIRM_TRIALS and sys.stdin.isatty():
        question = f"{trials} trials will be trained (see `cae-sweep plan`). Start?"
        if not typer.confirm(question):
            raise typer.Exit(USAGE_ERROR)


def _print_outcome(progress: Progress, metric: str, reason: str, page: Path) -> None:
    counts = ", ".join(f"{count} {state}" for state, count in progress.counts.items())
    if progress.earlier:
        counts += f"; {progress.earlier} of earlier sweeps"
    if reason != "complete":
        counts += f" ({reason})"
    echo(counts)
    for group in progress.bests[:MAX_GROUP_LINES]:
        trial, epoch, value = group.best
        label = ""
        if progress.groups > 1:
            label = f" at {group.label}"
        note = ""
        if group.is_earlier:
            note = " (of an earlier sweep)"
        echo(f"best{label}: trial {trial}, epoch {epoch}, {metric} {value:.6g}{note}")
    if len(progress.bests) > MAX_GROUP_LINES:
        echo(f"... and of {len(progress.bests) - MAX_GROUP_LINES} more groups: cae-sweep best")
    echo(f"report: {page}")
    hints: list[str] = []
    if reason.startswith(REACHED):
        if progress.ended < progress.requested:
            hints.append("trials remain: raise or remove the limit to continue")
    elif reason != "complete":
        hints.append("run the same command to resume")
    failures = [str(state) for state in progress.counts if state.is_failure]
    if failures:
        hints.append(f"add --retry {','.join(failures)} to re-run failed trials")
    if hints:
        echo("; ".join(hints), to_stderr=True)


def _exit_code(progress: Progress, reason: str) -> int:
    if reason == "complete" or reason.startswith(REACHED):
        return int(any(state.is_failure for state in progress.counts))
    if reason.startswith(GAVE_UP):
        return 1
    if reason.startswith(ABORTED):
        return ENVIRONMENT_ERROR
    return INTERRUPTED


@app.command(rich_help_panel=SWEEPS_PANEL)
def plan(
    sweep: SweepArgument,
    budget: Budget = "full",
    set_: Set = None,
    max_trials: MaxTrials = None,
    strict: Strict = False,
    retry: Retry = "",
    out: Out = None,
    gpus: Gpus = None,
    gpus_per_trial: GpusPerTrial = None,
    cpus_per_trial: CpusPerTrial = 1,
    slots: Slots = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    csv: Csv = None,
) -> None:
    """List the trials of a sweep with their parameters, state, time and disk. Trains nothing.

    --csv has a row per trial.
    """
    with report_errors():
        from cae.cli import machine_output, plan_rows, plan_text

        machine_output.check_outputs(as_json=as_json, csv_file=csv)
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
                        sweep, out, budget, set_, max_trials, data_dir, retry, strict=strict
                    )
                ),
            )
            cost = estimate(prepared.plan, resources)
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
    template: Annotated[
        Literal["digits", "photos", "arrays", "denoise", "network", "search"],
        typer.Option(
            "--from",
            help="digits: small networks on embedded images. photos: a folder of your images. "
            "arrays: npy, npz, safetensors or TIFF. denoise: removing noise. network: a network of "
            "your own. search: points that depend on results.",
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

        write_sweep_file(name, template, images)


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
