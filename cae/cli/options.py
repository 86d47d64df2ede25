"""Arguments and options that several commands share, with their help texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

SELECTION_PANEL = "Which trials"
EXECUTION_PANEL = "Where and how"
SWEEPS_PANEL = "Sweeps"
RESULTS_PANEL = "Results"
IMAGES_PANEL = "Images"

Location = TypeVar("Location", Path, str, Path | None, str | None, list[Path], list[str] | None)


def expand_home(location: Location) -> Location:
    """Replace `~` at the start of a path: shells leave it in `--out=~/x`."""
    if isinstance(location, list):
        return [expand_home(item) for item in location]
    if location is None or not str(location).startswith("~"):
        return location
    try:
        expanded = Path(location).expanduser()
    except RuntimeError:  # no such user: a name like any other
        return location
    return type(location)(expanded)


def expand_output(path: Path | None) -> Path | None:
    """As `expand_home`, for the short option -o, of which `-o=FILE` would give `=FILE`."""
    if path is not None and str(path).startswith("="):
        path = Path(str(path)[1:])
    return expand_home(path)


_RUN_HELP = "Folder of the run, its name under runs/, or s3://BUCKET/PATH."

RunArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN]",
        help=f"{_RUN_HELP} Default: the newest run.",
        callback=expand_home,
    ),
]
RequiredRun = Annotated[str, typer.Argument(metavar="RUN", help=_RUN_HELP, callback=expand_home)]
TrialArgument = Annotated[int, typer.Argument(metavar="TRIAL", help="Number of the trial.")]


def complete_sweep(incomplete: str) -> list[str]:
    """The names of the package's sweeps, and the sweep files, that begin with a text."""
    from cae.sweep.spec.packaged_sweeps import packaged_sweeps

    files = sorted(str(path) for path in Path().glob("*.py"))
    return [name for name in [*packaged_sweeps(), *files] if name.startswith(incomplete)]


def complete_source(incomplete: str) -> list[str]:
    """What `new --from` accepts, and begins with a text."""
    from cae.cli.new import sources

    return [name for name in sources() if name.startswith(incomplete)]


SweepArgument = Annotated[
    Path,
    typer.Argument(
        help="A sweep file, or a sweep of the package by its name, such as quickstart (cae-sweep "
        "list shows all).",
        callback=expand_home,
        autocompletion=complete_sweep,
    ),
]

Budget = Annotated[
    str,
    typer.Option(
        help="Named settings of the sweep file: full (as published), cpu, smoke, ...",
        rich_help_panel=SELECTION_PANEL,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help=(
            "Override a parameter of the sweep file, seeds or samples; may be repeated: "
            "--set epochs=3. --set space=none leaves out the search space."
        ),
        rich_help_panel=SELECTION_PANEL,
    ),
]
MaxTrials = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help=(
            "Run only N trials, seeds included; their points are sampled with a fixed seed "
            "(a larger N extends a smaller one). Default: all."
        ),
        rich_help_panel=SELECTION_PANEL,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help=(
            "Of these, run only trials with this value of a parameter, such as arch.kernel_size=3; "
            "may be repeated, for other parameters or further values. Default: all."
        ),
        rich_help_panel=SELECTION_PANEL,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Refuse a search space with impossible combinations instead of leaving them out.",
        rich_help_panel=SELECTION_PANEL,
    ),
]
Retry = Annotated[
    str,
    typer.Option(
        metavar="STATES",
        help="Re-run trials that ended in these states: failed,oom,diverged,killed; lost-weights: "
        "finished trials whose best weights were deleted; latent: measure the latent code of "
        "finished trials without its measures, from their checkpoints.",
        rich_help_panel=SELECTION_PANEL,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="DIR",
        callback=expand_home,
        help="Folder of the run, or s3://BUCKET/PATH. Default: runs/NAME or runs/NAME-BUDGET.",
        rich_help_panel=EXECUTION_PANEL,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDR",
        help=(
            "Ray cluster to use: auto or HOST:PORT on one of its hosts; http://HOST:8265 submits "
            "the sweep as a job and follows its output (Ctrl-C detaches, the same command "
            "attaches again). Default: this machine."
        ),
        rich_help_panel=EXECUTION_PANEL,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        callback=expand_home,
        help="Folder of the data sets. Default: $CAE_DATA, else the user's cache folder.",
        rich_help_panel=EXECUTION_PANEL,
    ),
]
Gpus = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Number of GPUs to use. Default: all that PyTorch finds.",
        rich_help_panel=EXECUTION_PANEL,
    ),
]
GpusPerTrial = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="F",
        help="GPUs per trial; 0.5: two trials share a GPU. Default: 1 if there are GPUs.",
        rich_help_panel=EXECUTION_PANEL,
    ),
]
Slots = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Trials at the same time on this machine. Default: as many as the CPUs (affinity, "
        "container quota, SLURM) and GPUs allow.",
        rich_help_panel=EXECUTION_PANEL,
    ),
]
CpusPerTrial = Annotated[
    float,
    typer.Option(
        min=0.1,
        metavar="N",
        help="CPU cores, and training threads, per trial.",
        rich_help_panel=EXECUTION_PANEL,
    ),
]
EpochTimeout = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help=(
            "Treat a trial as hung if one epoch takes longer than this; 0: never. "
            "Default: 20x the estimate."
        ),
        rich_help_panel=EXECUTION_PANEL,
    ),
]
MaxFailures = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Stop the sweep after N consecutive failed trials; 0: never.",
        rich_help_panel=EXECUTION_PANEL,
    ),
]
MaxHours = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="H",
        help="End the sweep after H hours; the same command resumes it.",
        rich_help_panel=EXECUTION_PANEL,
    ),
]
MaxEpochs = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="End the sweep when the run has N epochs, of all trials and commands.",
        rich_help_panel=EXECUTION_PANEL,
    ),
]
Track = Annotated[
    Literal["mlflow", "wandb", "tensorboard"] | None,
    typer.Option(
        help="Send each trial and epoch to an experiment tracker while the sweep runs: to "
        "MLFLOW_TRACKING_URI, to Weights & Biases (WANDB_MODE=offline: to files), or into the "
        "run's folder.",
        rich_help_panel=EXECUTION_PANEL,
    ),
]
Watch = Annotated[
    bool,
    typer.Option(
        "--watch",
        help="Serve the report page on this machine while the sweep runs, and print its address.",
        rich_help_panel=EXECUTION_PANEL,
    ),
]
Notify = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="Run a shell command when the sweep has ended; its input is the status as JSON, "
        "$CAE_SWEEP_REASON why it ended, $CAE_SWEEP_RUN the run.",
        rich_help_panel=EXECUTION_PANEL,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Csv = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write a CSV file; - for the standard output.",
        callback=expand_home,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        help="Print only the final lines, no live table.",
        rich_help_panel=EXECUTION_PANEL,
    ),
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes",
        "-y",
        help="Do not ask for confirmation before a large sweep.",
        rich_help_panel=EXECUTION_PANEL,
    ),
]

ModelArgument = Annotated[
    Path, typer.Argument(help="Folder that `best -o` wrote.", callback=expand_home)
]
ImagesArgument = Annotated[
    list[Path],
    typer.Argument(
        help=(
            "Images of any size and format, arrays (.npy, .npz, .safetensors), or folders of "
            "images; each is resized and cropped for the network."
        ),
        callback=expand_home,
    ),
]
Invert = Annotated[
    bool, typer.Option("--invert", help="Invert the images first: black becomes white.")
]
FitImages = Annotated[
    Literal["crop", "pad", "stretch"],
    typer.Option(
        help=("crop: to the center. pad: keep all, with the color of the border. stretch: distort.")
    ),
]
MaxValue = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Value of white in gray images and arrays of more than 8 bits. Default: as in "
        "training.",
    ),
]
SkipDamaged = Annotated[
    bool, typer.Option("--skip-damaged", help="Leave out images that cannot be read.")
]
ModelSweep = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Sweep file that defines components of the model.",
        callback=expand_home,
    ),
]
