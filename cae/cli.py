"""The command line: parse, call, print. Heavy imports stay inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import contextlib
import functools
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cae.errors import UserError, gather

app = typer.Typer(
    help="Hyperparameter sweeps of convolutional autoencoders: a sweep file goes in, a page that answers comes out.",
    epilog="Begin with: cae-sweep run sweeps/quickstart.py. The same command again goes on where the last one ended.",
    no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
data_app = typer.Typer(help="The images: what is there, where, and how to get what is not.", no_args_is_help=True)
app.add_typer(data_app, name="data", rich_help_panel="Images")

WHICH, WHERE, RESULTS, IMAGES = "Which trials", "Where and how", "Results", "Images"

_which, _where = (functools.partial(typer.Option, rich_help_panel=panel) for panel in (WHICH, WHERE))

RunArgument = Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Its folder, or its name under runs/. Default: the newest.")]
SweepArgument = Annotated[Path, typer.Argument(help="A sweep file, such as sweeps/quickstart.py.")]
Budget = Annotated[str, _which(help="One of the sweep's budgets: full (the report's own), cpu, smoke, ...")]
SetOption = _which("--set", metavar="KEY=VALUE", help="Overrides the sweep file; repeatable: epochs=3, optimizer.lr=1e-4.")
Set = Annotated[list[str] | None, SetOption]
MaxTrials = Annotated[int | None, _which(min=1, help="A sample of the space. It is seeded: 48 begin with the same 24.")]
Retry = Annotated[str, _which(metavar="STATES", help="Trials that ended so run again: failed,oom,diverged,killed.")]
Out = Annotated[Path | None, _where("--out", metavar="DIR", help="The run's folder. Default: runs/NAME or runs/NAME-BUDGET.")]
DataDir = Annotated[Path | None, _where(metavar="DIR", help="Where the images are; else $CAE_DATA, else the user's cache.")]
Gpus = Annotated[int | None, _where(min=0, metavar="N", help="GPUs to use. Default: all that torch sees.")]
GpusPerTrial = Annotated[float | None, _where(min=0, metavar="F", help="0.5: two trials share a GPU. Default: 1, if any.")]
CpusPerTrial = Annotated[float, _where(min=0.1, metavar="N", help="CPU cores, and training threads, of each trial.")]
EpochTimeout = Annotated[float | None, _where(min=0, metavar="S", help="An epoch of more seconds hangs. Default: 20 times the expected.")]
MaxFailures = Annotated[int, _where(min=0, metavar="N", help="Give up after N failures one after another; 0: never.")]


@contextlib.contextmanager
def _mistakes_told() -> Iterator[None]:
    """What a user can mend is one line per mistake and exit code 2."""
    try:
        yield
    except UserError as error:
        for message in error.messages:
            print(f"error: {message}", file=sys.stderr)
        raise typer.Exit(2) from None
    except OSError as error:  # a path that cannot be written, a disk that is full
        print(f"error: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command(rich_help_panel="Sweeps")
def run(sweep: SweepArgument, out: Out = None, budget: Budget = "full", set_: Set = None, max_trials: MaxTrials = None, retry: Retry = "",
        gpus: Gpus = None, gpus_per_trial: GpusPerTrial = None, cpus_per_trial: CpusPerTrial = 1, data_dir: DataDir = None,
        epoch_timeout: EpochTimeout = None, max_failures: MaxFailures = 10,
        quiet: Annotated[bool, typer.Option("--quiet", help="No table; only the last lines.", rich_help_panel=WHERE)] = False,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a large sweep.", rich_help_panel=WHERE)] = False
) -> None:  # fmt: skip
    """Run a sweep, or go on with it: what is finished is never trained again. Ctrl-C once saves and stops."""
    from rich.console import Console

    with _mistakes_told():
        from cae.sweep import session
        from cae.sweep.connect import local_resources

        resources, prepared = gather(
            lambda: local_resources(gpus, gpus_per_trial, cpus_per_trial),
            lambda: session.prepare(session.select(sweep, out, budget, set_, max_trials, data_dir, retry)),
        )
        ask = len(prepared.plan.remaining) > 100 and not yes and sys.stdin.isatty()
        if ask and not typer.confirm(f"{len(prepared.plan.remaining)} trials are to be trained (see `cae-sweep plan`). Start?"):
            raise typer.Exit(2)
        console, command = Console(stderr=True), shlex.join(["cae-sweep", *sys.argv[1:]])
        limits = session.Limits(epoch_timeout, max_failures)
        reason = session.execute(prepared, resources, command=command, console=console, quiet=quiet, limits=limits)
        from cae.report import page  # only now: pandas and plotly would be in the way of the first trial

        built = page.build(prepared.run)
        now = session.outcome(prepared, resources)
    print(", ".join(f"{count} {state}" for state, count in now.counts.items()) + ("" if reason == "complete" else f" ({reason})"))
    if now.best:
        print(f"best: trial {now.best[0]}, epoch {now.best[1]}, {prepared.file.sweep.metric} {now.best[2]:.6g}")
    print(f"report: {built}")
    if reason != "complete":
        print("the same command goes on from here; with --retry failed, trials that failed run again", file=sys.stderr)
        raise typer.Exit(1 if reason.startswith("given up") else 130)
    raise typer.Exit(1 if now.counts.get("failed") or now.counts.get("oom") else 0)


@app.command(rich_help_panel="Sweeps")
def plan(sweep: SweepArgument, out: Out = None, budget: Budget = "full", set_: Set = None, max_trials: MaxTrials = None, retry: Retry = "",
         gpus: Gpus = None, gpus_per_trial: GpusPerTrial = None, cpus_per_trial: CpusPerTrial = 1, data_dir: DataDir = None,
         csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the list to a file.")] = None) -> None:  # fmt: skip
    """List the trials of a sweep: parameters, what is done already, rungs, time and disk. Trains nothing, writes no run."""
    with _mistakes_told():
        from cae.sweep import listing, session
        from cae.sweep.connect import local_resources

        resources, prepared = gather(
            lambda: local_resources(gpus, gpus_per_trial, cpus_per_trial),
            lambda: session.prepare(session.select(sweep, out, budget, set_, max_trials, data_dir, retry)),
        )
        listing.show_plan(prepared, resources, csv)


@app.command(rich_help_panel=RESULTS)
def status(run: RunArgument = None, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """How a run stands: trials by state, the best so far, time left. Exit code 1 when trials have failed."""
    with _mistakes_told():
        stands = _listing().status(_run(run))
    print(json.dumps(stands, indent=2) if as_json else _listing().status_text(stands))
    raise typer.Exit(1 if stands["states"].get("failed") or stands["states"].get("oom") else 0)


@app.command(rich_help_panel=RESULTS)
def best(run: RunArgument = None, metric: Annotated[str, typer.Option(help="What counts. Default: the sweep's own.")] = "",
         mode: Annotated[str | None, typer.Option(metavar="min|max", help="Default: what suits the metric.")] = None,
         top: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
         out: Annotated[Path | None, typer.Option("-o", metavar="DIR", help="Export weights, configuration and metrics.")] = None,
         quiet: Annotated[bool, typer.Option("--quiet", help="Print only the path of each model (or checkpoint).")] = False,
         data_dir: DataDir = None) -> None:  # fmt: skip
    """Show the best trials; with -o, export their weights, re-evaluated before they are written."""
    with _mistakes_told():
        if mode not in (None, "min", "max"):
            raise UserError(f"--mode {mode}: should be min or max")
        _listing().show_best(_run(run), metric, mode, top, out, data_dir, quiet=quiet)


@app.command(rich_help_panel=RESULTS)
def report(runs: Annotated[list[Path] | None, typer.Argument(metavar="[RUN]...", help="One or several.")] = None,
           out: Annotated[Path | None, typer.Option("-o", metavar="DIR", help="For several. Default: runs/joined.")] = None,
           text: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Only this: published beside ours.")] = None,
           follow: Annotated[bool, typer.Option("--watch", help="Serve the page to this machine, and follow the run.")] = False
) -> None:  # fmt: skip
    """Build trials.csv, epochs.csv and report.html from the journal; also while the sweep runs."""
    with _mistakes_told():
        from cae.report import markdown, page, watch

        found = [_run(path) for path in (runs or (None,))]
        if follow:
            watch.serve(found, out)
        built = markdown.write(found, text) if text else page.build_all(found, out)
    print(f"report: {built}")


@app.command(rich_help_panel=RESULTS)
def export(run: RunArgument = None,
           to: Annotated[Literal["tensorboard", "mlflow"], typer.Option(help="Whose files.")] = "tensorboard",
           out: Annotated[Path | None, typer.Option("-o", metavar="DIR", help="Default: a folder in the run's.")] = None
) -> None:  # fmt: skip
    """Write a run as TensorBoard's event files or MLflow's tracking folder, for `tensorboard` and `mlflow ui`."""
    with _mistakes_told():
        from cae.report import export as exports

        print(exports.write(_run(run), to, out))


@app.command("list", rich_help_panel=RESULTS)
def list_() -> None:
    """The runs under runs/ and the sweeps under sweeps/."""
    with _mistakes_told():
        _listing().show_all(Path("runs"), Path("sweeps"))


@app.command(rich_help_panel=RESULTS)
def logs(run: Annotated[Path, typer.Argument(metavar="RUN")], trial: Annotated[int, typer.Argument(metavar="TRIAL")]) -> None:
    """A trial's output, why it ended, and its traceback."""
    with _mistakes_told():
        print(_listing().trial_log(_run(run), trial))


@app.command(rich_help_panel="Sweeps")
def stop(run: RunArgument = None) -> None:
    """End a running sweep gently: everything is saved, and the same `run` goes on with it."""
    with _mistakes_told():
        print(_listing().request_stop(_run(run)))


@app.command(rich_help_panel="Sweeps")
def kill(run: Annotated[Path, typer.Argument(metavar="RUN")], trial: Annotated[int, typer.Argument(metavar="TRIAL")]) -> None:
    """End one trial of a running sweep; it stays in all tables, as `killed`."""
    with _mistakes_told():
        print(_listing().request_kill(_run(run), trial))


@app.command(rich_help_panel=IMAGES)
def reconstruct(model: Annotated[Path, typer.Argument(help="A folder that `best -o` wrote.")],
                images: Annotated[list[Path], typer.Argument(help="Pictures of any size; each is fitted to the network.")],
                out: Annotated[Path, typer.Option("-o", metavar="FILE", help="The picture to write.")] = Path("reconstructed.png"),
                corrupt: Annotated[bool, typer.Option("--corrupt", help="First corrupt them as in training (noise, say).")] = False,
                sweep: Annotated[Path | None, typer.Option(metavar="FILE", help="The sweep file that defines its parts.")] = None
) -> None:  # fmt: skip
    """Put your own images through an exported model; writes input beside output."""
    with _mistakes_told():
        from cae.sweep import pictures

        print(pictures.reconstruct_files(model, images, out, corrupt=corrupt, sweep=sweep))


@data_app.command("list")
def data_list(data_dir: DataDir = None) -> None:
    """Which data sets are here, where, and how many images they hold."""
    with _mistakes_told():
        _listing().show_data(data_dir)


@data_app.command("fetch")
def data_fetch(name: Annotated[str, typer.Argument(help="mnist, fashion_mnist or cifar10.")], data_dir: DataDir = None) -> None:
    """Download a data set by torchvision."""
    with _mistakes_told():
        from cae.trial import datasets

        print(f"{name}: {datasets.fetch(name, datasets.data_folders(data_dir)[0]) or 'nothing to fetch, it comes with scikit-learn'}")


@data_app.command("import")
def data_import(source: Annotated[Path, typer.Argument(help="A folder of pictures; its subfolders are the classes.")],
                name: Annotated[str, typer.Argument(help="What ImageFolder(path=NAME) shall find it by.")],
                size: Annotated[int, typer.Option(min=1, help="Pixels a side.")] = 64,
                colour: Annotated[bool, typer.Option("--colour/--grey", help="3 channels or 1.")] = True, data_dir: DataDir = None
) -> None:  # fmt: skip
    """Bring in a folder of pictures: read, fitted and stored once."""
    with _mistakes_told():
        from cae.trial import datasets

        channels: Literal[1, 3] = 3 if colour else 1
        print(f"{name}: {datasets.import_folder(source, name, datasets.data_folders(data_dir)[0], size, channels)}")


def _listing() -> Any:
    from cae.sweep import listing

    return listing


def _run(path: Path | None) -> Any:
    from cae.rundir import find_run

    return find_run(path, Path("runs"))
