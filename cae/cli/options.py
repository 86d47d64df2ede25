"""What several commands share: their options, with what `--help` says of each, and how a mistake is told."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from cae.errors import UserError

ADDRESS_HELP = (
    "A running Ray cluster: auto or HOST:PORT from one of its hosts; http://HOST:8265 submits the sweep to it and follows "
    "(Ctrl-C leaves it running; the same command follows again). Default: this machine alone."
)
WHICH, WHERE, RESULTS, IMAGES = "Which trials", "Where and how", "Results", "Images"

_which, _where = (
    functools.partial(typer.Option, rich_help_panel=panel) for panel in (WHICH, WHERE)
)

RUN_HELP = "Its folder, its name under runs/, or s3://BUCKET/PATH."
RunArgument = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help=f"{RUN_HELP} Default: the newest.")
]
OneRun = Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)]
SweepArgument = Annotated[Path, typer.Argument(help="A sweep file, such as sweeps/quickstart.py.")]
Budget = Annotated[
    str, _which(help="One of the sweep's budgets: full (the report's own), cpu, smoke, ...")
]
SetOption = _which(
    "--set",
    metavar="KEY=VALUE",
    help="Overrides the sweep file; repeatable: epochs=3, optimizer.lr=1e-4.",
)
Set = Annotated[list[str] | None, SetOption]
MaxTrials = Annotated[
    int | None,
    _which(min=1, help="A sample of the space. It is seeded: 48 begin with the same 24."),
]
Retry = Annotated[
    str,
    _which(metavar="STATES", help="Trials that ended so run again: failed,oom,diverged,killed."),
]
Out = Annotated[
    str | None,
    _where(
        "--out",
        metavar="DIR",
        help="The run's folder, or s3://BUCKET/PATH. Default: runs/NAME or runs/NAME-BUDGET.",
    ),
]
Address = Annotated[str | None, _where(metavar="ADDR", help=ADDRESS_HELP)]
DataDir = Annotated[
    Path | None,
    _where(metavar="DIR", help="Where the images are; else $CAE_DATA, else the user's cache."),
]
Gpus = Annotated[
    int | None, _where(min=0, metavar="N", help="GPUs to use. Default: all that torch sees.")
]
GpusPerTrial = Annotated[
    float | None,
    _where(min=0, metavar="F", help="0.5: two trials share a GPU. Default: 1, if any."),
]
CpusPerTrial = Annotated[
    float, _where(min=0.1, metavar="N", help="CPU cores, and training threads, of each trial.")
]

EpochTimeout = Annotated[
    float | None,
    _where(
        min=0, metavar="S", help="An epoch of more seconds hangs. Default: 20 times the expected."
    ),
]
MaxFailures = Annotated[
    int, _where(min=0, metavar="N", help="Give up after N failures one after another; 0: never.")
]


@contextlib.contextmanager
def mistakes_told() -> Iterator[None]:
    """What a user can mend is one line per mistake and exit code 2."""
    try:
        yield
    except UserError as error:
        for message in error.messages:
            print(f"error: {message}", file=sys.stderr)
        raise typer.Exit(2) from None
    except OSError as error:  # a path that cannot be written, a disk that is full
        print(
            f"error: {error.filename or _place(error)}: {error.strerror or error}", file=sys.stderr
        )
        raise typer.Exit(2) from None
    except (
        KeyboardInterrupt,
        SystemExit,
    ):  # the latter is what Ray makes of SIGTERM while it starts
        raise typer.Exit(130) from None


@contextlib.contextmanager
def ended_at_once() -> Iterator[None]:
    """While modules are imported, Ctrl-C and SIGTERM end the process where it stands: an exception may be swallowed there, and
    leave half a module behind. Afterwards both interrupt it."""
    kinds = (signal.SIGINT, signal.SIGTERM)
    for kind in kinds:
        signal.signal(kind, lambda *_: os._exit(130))
    yield
    for kind in kinds:
        signal.signal(kind, signal.default_int_handler)


def _place(error: OSError) -> str:
    """Where in this package an error arose that names no file: whoever mends it has to begin somewhere."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if "/cae/" in frame.filename
    ]
    return (
        f"the system, at {Path(frames[-1].filename).name}:{frames[-1].lineno}"
        if frames
        else "the system"
    )
