"""The commands about results: parse, call, print.

Heavy imports are inside the commands, so that `--help` needs none of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cae.cli.errors import report_errors
from cae.cli.options import (
    IMAGES_PANEL,
    RESULTS_PANEL,
    AsJson,
    Csv,
    DataDir,
    FitImages,
    ImagesArgument,
    Invert,
    MaxValue,
    ModelArgument,
    ModelSweep,
    RequiredRun,
    RunArgument,
    SkipDamaged,
    TrialArgument,
    expand_home,
    expand_output,
)
from cae.cli.output import echo
from cae.errors import UserError

if TYPE_CHECKING:
    from cae.run.paths import RunDir

results_app = typer.Typer()
"""Part of the app of all commands (`cae.cli.app`)."""


@results_app.command(rich_help_panel=RESULTS_PANEL)
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

        machine_output.check_outputs(as_json=as_json, csv_file=csv)
        folder = find_run(run)
        status = run_status(folder)
        if as_json:
            machine_output.echo_json(status.to_json())
        if csv is not None:
            machine_output.write_csv(tables.trial_rows(folder), csv, ("trial", "state"))
        if not as_json and csv is None:
            echo(tables.status_text(status))
    raise typer.Exit(int(status.has_failures))


@results_app.command(rich_help_panel=RESULTS_PANEL)
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
            "may be repeated, for other parameters or further values.",
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
    file_format: Annotated[
        Literal["onnx", "torch"] | None,
        typer.Option(
            "--format",
            help="Also export the network, its encoder and its decoder as files for other "
            "programs, and run each again: ONNX (pip install 'cae-sweep[onnx]'), or torch.export.",
        ),
    ] = None,
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
                    file_format=file_format,
                )
                print_best(find_run(run), options)
            case _:
                raise UserError(f"--mode {mode}: should be min or max")


@results_app.command(rich_help_panel=RESULTS_PANEL)
def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...",
            help="One run or several; also archives (NAME.tar.xz), with -o or --markdown.",
            callback=expand_home,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            metavar="DIR",
            help="Folder for several runs or for archives. Default for runs: runs/joined.",
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
        from cae.cli.reports import write_report

        echo(f"report: {write_report(runs or [], out, markdown, watch=watch)}")


@results_app.command(rich_help_panel=RESULTS_PANEL)
def archive(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Ended runs.", callback=expand_home)
    ],
    out: Annotated[
        Path,
        typer.Option("-o", metavar="DIR", help="Folder to write to.", callback=expand_output),
    ],
) -> None:
    """Write sweep.json and the journal of runs as small files: NAME.tar.xz.

    `report` computes all numbers and verdicts from them; weights and images are left out.
    """
    with report_errors():
        from cae.run.archive import write_archive

        for run in runs:
            echo(f"written: {write_archive(find_run(run), out)}")


@results_app.command(rich_help_panel=RESULTS_PANEL)
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
            echo(mlflow.write(find_run(run), out))
        else:
            echo(tensorboard.write(find_run(run), out))


@results_app.command("list", rich_help_panel=RESULTS_PANEL)
def list_(as_json: AsJson = False, csv: Csv = None) -> None:
    """List the runs under runs/, the sweep files under sweeps/, and the sweeps of the package.

    --csv has a row per run.
    """
    with report_errors():
        from cae.cli import machine_output, tables

        machine_output.check_outputs(as_json=as_json, csv_file=csv)
        runs = Path("runs")
        sweeps = Path("sweeps")
        if as_json:
            rows = {
                "runs": tables.run_rows(runs),
                "sweeps": tables.sweep_rows(sweeps),
                "packaged_sweeps": tables.packaged_sweep_rows(),
            }
            machine_output.echo_json(rows)
        if csv is not None:
            machine_output.write_csv(tables.run_rows(runs), csv, ("run", "folder"))
        if not as_json and csv is None:
            tables.print_runs_and_sweeps(runs, sweeps)


@results_app.command(rich_help_panel=RESULTS_PANEL)
def logs(run: RequiredRun, trial: TrialArgument) -> None:
    """Print the output of a trial, why it ended, and its traceback."""
    with report_errors():
        from cae.cli import tables

        echo(tables.trial_log(find_run(run), trial))


@results_app.command(rich_help_panel=RESULTS_PANEL)
def prune(
    run: RequiredRun,
    keep: Annotated[
        str,
        typer.Option(
            metavar="best|N",
            help="How many trials of each comparability group keep their best weights. Those of "
            "the Pareto front of a search with a second objective keep them, too.",
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

        prune_run(find_run(run), keep, dry_run=dry_run, yes=yes)


@results_app.command(rich_help_panel=IMAGES_PANEL)
def reconstruct(
    model: ModelArgument,
    images: ImagesArgument,
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
    invert: Invert = False,
    fit: FitImages = "crop",
    max_value: MaxValue = None,
    skip_damaged: SkipDamaged = False,
    sweep: ModelSweep = None,
) -> None:
    """Apply an exported model to your own images; writes inputs beside outputs."""
    with report_errors():
        from cae.sweep.reconstruct import reconstruct_files
        from cae.trial.user_images import ReadingOptions

        options = ReadingOptions(
            invert=invert, fit=fit, max_value=max_value, skip_damaged=skip_damaged
        )
        lines = reconstruct_files(model, images, out, corrupt=corrupt, sweep=sweep, options=options)
        echo(lines)


@results_app.command(rich_help_panel=IMAGES_PANEL)
def encode(
    model: ModelArgument,
    images: ImagesArgument,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            metavar="FILE",
            help="File to write; its suffix is its format: .npz, .parquet or .csv.",
            callback=expand_output,
        ),
    ],
    invert: Invert = False,
    fit: FitImages = "crop",
    max_value: MaxValue = None,
    skip_damaged: SkipDamaged = False,
    sweep: ModelSweep = None,
) -> None:
    """Write the latent codes of your own images, each beside the name of its image."""
    with report_errors():
        from cae.sweep.encode import encode_files
        from cae.trial.user_images import ReadingOptions

        options = ReadingOptions(
            invert=invert, fit=fit, max_value=max_value, skip_damaged=skip_damaged
        )
        echo(encode_files(model, images, out, sweep=sweep, options=options))


@results_app.command(rich_help_panel=IMAGES_PANEL)
def score(
    model: ModelArgument,
    images: ImagesArgument,
    out: Annotated[
        Path,
        typer.Option("-o", metavar="FILE", help="CSV file to write.", callback=expand_output),
    ] = Path("scores.csv"),
    maps: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write error maps, too: an image with inputs, outputs and error maps, or .npy or "
            ".npz with the error of each pixel.",
            callback=expand_home,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE",
            help="Score above which an image is anomalous. Default: the threshold of the model.",
        ),
    ] = None,
    invert: Invert = False,
    fit: FitImages = "crop",
    max_value: MaxValue = None,
    skip_damaged: SkipDamaged = False,
    sweep: ModelSweep = None,
) -> None:
    """Write the anomaly score of each of your own images, and whether it is above the threshold."""
    with report_errors():
        from cae.sweep.score import score_files
        from cae.trial.user_images import ReadingOptions

        options = ReadingOptions(
            invert=invert, fit=fit, max_value=max_value, skip_damaged=skip_damaged
        )
        echo(
            score_files(
                model,
                images,
                out,
                maps=maps,
                threshold=threshold,
                sweep=sweep,
                options=options,
            )
        )


def find_run(location: str | None) -> RunDir:
    """The run at a location, or the newest one under runs/. Raises RunError."""
    from cae.run import storage

    return storage.locate_run(location, Path("runs"))
