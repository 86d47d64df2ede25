"""The commands: parse, call, print.

Heavy imports are inside the commands, so that `--help` needs none of them.
"""

from __future__ import annotations

import functools
import shlex
import sys
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
    RESULTS_PANEL,
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
    expand_output,
)
from cae.cli.output import echo
from cae.errors import ENVIRONMENT_ERROR, UserError, gather
from cae.run.events import ABORTED, GAVE_UP, REACHED

if TYPE_CHECKING:
    from cae.run.paths import RunDir
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

        page = build.build_all([prepared.run])
        progress = session.outcome(prepared.run)
        _print_outcome(progress, prepared.file.sweep.metric, reason, page)
        exit_code = _exit_code(progress, reason)
        notify_if_asked(reason, exit_code)
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
    if reason.startswith(REACHED) and progress.ended == progress.requested:
        return
    if reason.startswith(REACHED):
        echo("trials remain: raise or remove the limit to continue", to_stderr=True)
    elif reason != "complete":
        hint = "run the same command to resume"
        if any(state.is_failure for state in progress.counts):
            hint += "; add --retry failed to re-run failed trials"
        echo(hint, to_stderr=True)


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
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the list of trials to a CSV file.", callback=expand_home
        ),
    ] = None,
) -> None:
    """List the trials of a sweep with their parameters, state, time and disk. Trains nothing."""
    with report_errors():
        from cae.cli import plan_text
        from cae.sweep.engine import session
        from cae.sweep.places.base import ResourceOptions
        from cae.sweep.places.local import LocalPlace

        place = LocalPlace(ResourceOptions(gpus, gpus_per_trial, cpus_per_trial, slots))
        resources, prepared = gather(
            place.resources,
            lambda: session.prepare(
                session.select(sweep, out, budget, set_, max_trials, data_dir, retry, strict=strict)
            ),
        )
        plan_text.print_plan(prepared, resources, csv)


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

        echo(tables.request_stop(_find_run(run)))


@app.command(rich_help_panel=SWEEPS_PANEL)
def kill(run: RequiredRun, trial: TrialArgument) -> None:
    """End one trial of a running sweep; it stays in all tables with the state `killed`."""
    with report_errors():
        from cae.cli import tables

        echo(tables.request_kill(_find_run(run), trial))


@app.command(rich_help_panel=RESULTS_PANEL)
def status(
    run: RunArgument = None,
    as_json: AsJson = False,
    csv: Csv = None,
) -> None:
    """Show trials by state, the best one and the time left. Exit code 1 if trials failed.

    --csv has a row per trial.
    """
    with report_errors():
        from cae.cli import machine_output, tables
        from cae.run.status import run_status

        folder = _find_run(run)
        status = run_status(folder)
        if as_json:
            machine_output.echo_json(status.to_json())
        if csv is not None:
            machine_output.write_csv(tables.trial_rows(folder), csv)
        if not as_json and csv is None:
            echo(tables.status_text(status))
    raise typer.Exit(int(status.has_failures))


@app.command(rich_help_panel=RESULTS_PANEL)
def best(
    run: RunArgument = None,
    metric: Annotated[
        str, typer.Option(help="Metric to rank by. Default: the metric of the sweep.")
    ] = "",
    mode: Annotated[
        str | None,
        typer.Option(metavar="min|max", help="Default: the direction of the metric."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of trials (of each group).")] = 1,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Only trials with this value of a parameter, such as task.noise_factor=0.5; "
            "repeatable.",
        ),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(metavar="N", help="Show or export this trial instead.")
    ] = None,
    across_groups: Annotated[
        bool,
        typer.Option(
            "--across-groups",
            help="Rank the trials of all groups together, by a metric that has the same formula in "
            "all of them (val_psnr for several losses). Trials of different groups differ in their "
            "data, their task or its loss: a better value may only mean an easier task.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            metavar="DIR",
            help="Export weights, configuration and metrics.",
            callback=expand_output,
        ),
    ] = None,
    sweep: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Sweep file that you trust; it is executed for the components of the trial.",
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify", help="Evaluate the weights again before they are exported."
        ),
    ] = True,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print only the path of each model or checkpoint.")
    ] = False,
    as_json: AsJson = False,
    csv: Csv = None,
    data_dir: DataDir = None,
) -> None:
    """Show the best trials; with -o, re-evaluate and export their weights.

    Only trials with the same data, task and loss are compared; these are a group.

    A sweep over noise levels has a best trial for each level, and all are shown.

    With several groups -o needs a choice: --where or --trial.
    """
    with report_errors():
        from cae.cli.best import BestOptions, print_best

        match mode:
            case None | "min" | "max":
                options = BestOptions(
                    metric=metric,
                    mode=mode,
                    top=top,
                    where=where or (),
                    trial=trial,
                    across_groups=across_groups,
                    out=out,
                    data_dir=data_dir,
                    quiet=quiet,
                    as_json=as_json,
                    csv=csv,
                    sweep_file=sweep,
                    verify=verify,
                )
                print_best(_find_run(run), options)
            case _:
                raise UserError(f"--mode {mode}: should be min or max")


@app.command(rich_help_panel=RESULTS_PANEL)
def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="One run or several.", callback=expand_home),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            metavar="DIR",
            help="Folder for several runs. Default: runs/joined.",
            callback=expand_output,
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=expand_home,
            help="Write only published numbers and claims beside ours, as Markdown.",
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Serve the page on this machine and follow the run.")
    ] = False,
) -> None:
    """Write trials.csv, epochs.csv and report.html; also while the sweep is running."""
    with report_errors():
        from cae.report.exporters import markdown as markdown_exporter
        from cae.report.page import build, server

        if runs:
            folders = [_find_run(run) for run in runs]
        else:
            folders = [_find_run(None)]
        if watch:
            server.serve(folders, out)
        if markdown:
            written = markdown_exporter.write(folders, markdown)
        else:
            written = build.build_all(folders, out)
        echo(f"report: {written}")


@app.command(rich_help_panel=RESULTS_PANEL)
def export(
    run: RunArgument = None,
    to: Annotated[
        Literal["tensorboard", "mlflow"], typer.Option(help="Format of the files.")
    ] = "tensorboard",
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            metavar="DIR",
            help="Default: a subfolder of the run's folder.",
            callback=expand_output,
        ),
    ] = None,
) -> None:
    """Write a run as TensorBoard event files or as an MLflow tracking folder."""
    with report_errors():
        from cae.report.exporters import mlflow, tensorboard

        if to == "mlflow":
            echo(mlflow.write(_find_run(run), out))
        else:
            echo(tensorboard.write(_find_run(run), out))


@app.command("list", rich_help_panel=RESULTS_PANEL)
def list_(as_json: AsJson = False, csv: Csv = None) -> None:
    """List the runs under runs/ and the sweeps under sweeps/. --csv has a row per run."""
    with report_errors():
        from cae.cli import machine_output, tables

        runs = Path("runs")
        sweeps = Path("sweeps")
        if as_json:
            rows = {"runs": tables.run_rows(runs), "sweeps": tables.sweep_rows(sweeps)}
            machine_output.echo_json(rows)
        if csv is not None:
            machine_output.write_csv(tables.run_rows(runs), csv)
        if not as_json and csv is None:
            tables.print_runs_and_sweeps(runs, sweeps)


@app.command(rich_help_panel=RESULTS_PANEL)
def logs(run: RequiredRun, trial: TrialArgument) -> None:
    """Print the output of a trial, why it ended, and its traceback."""
    with report_errors():
        from cae.cli import tables

        echo(tables.trial_log(_find_run(run), trial))


@app.command(rich_help_panel=RESULTS_PANEL)
def prune(
    run: RequiredRun,
    keep: Annotated[
        str,
        typer.Option(
            metavar="best|N",
            help="How many trials of each comparability group keep their best weights.",
        ),
    ] = "best",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be deleted, and delete nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete the checkpoints of ended trials that are not among the best; all numbers stay.

    Finished trials cannot be extended to more epochs afterwards: they start again.
    """
    with report_errors():
        from cae.cli.prune import prune_run

        prune_run(_find_run(run), keep, dry_run=dry_run, yes=yes)


@app.command(rich_help_panel=IMAGES_PANEL)
def reconstruct(
    model: Annotated[
        Path, typer.Argument(help="Folder that `best -o` wrote.", callback=expand_home)
    ],
    images: Annotated[
        list[Path],
        typer.Argument(
            help=(
                "Images of any size and format, arrays (.npy, .npz, .safetensors), or folders of "
                "images; each is resized and cropped for the network."
            ),
            callback=expand_home,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            metavar="FILE",
            help=(
                "File to write; its suffix is its format. .npy, .npz: arrays in the type and range "
                "of the training images."
            ),
            callback=expand_output,
        ),
    ] = Path("reconstructed.png"),
    corrupt: Annotated[
        bool, typer.Option("--corrupt", help="Corrupt the images as in training (noise, ...).")
    ] = False,
    invert: Annotated[
        bool, typer.Option("--invert", help="Invert the images first: black becomes white.")
    ] = False,
    fit: Annotated[
        Literal["crop", "pad", "stretch"],
        typer.Option(
            help=(
                "crop: to the center. pad: keep all, with the color of the border. stretch: "
                "distort."
            )
        ),
    ] = "crop",
    max_value: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Value of white in gray images of more than 8 bits. Default: as in training.",
        ),
    ] = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out images that cannot be read.")
    ] = False,
    sweep: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Sweep file that defines components of the model.",
            callback=expand_home,
        ),
    ] = None,
) -> None:
    """Apply an exported model to your own images; writes inputs beside outputs."""
    with report_errors():
        from cae.sweep.reconstruct import reconstruct_files
        from cae.sweep.user_images import ReadingOptions

        options = ReadingOptions(
            invert=invert, fit=fit, max_value=max_value, skip_damaged=skip_damaged
        )
        lines = reconstruct_files(model, images, out, corrupt=corrupt, sweep=sweep, options=options)
        echo(lines)


def _find_run(location: str | None) -> RunDir:
    from cae.run import storage

    return storage.locate_run(location, Path("runs"))
