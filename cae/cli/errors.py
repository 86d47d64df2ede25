"""How commands end when something goes wrong: one line per error, and an exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path

import typer

from cae.cli.output import BROKEN_PIPE, discard_output, echo
from cae.errors import ENVIRONMENT_ERROR, SweepAborted, UserError
from cae.signals import stop_signals

USAGE_ERROR = 2
"""Exit code: the command or the sweep file is wrong, or a file cannot be used."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, SIGTERM or SIGHUP."""


@contextlib.contextmanager
def report_errors(exit_code: int = USAGE_ERROR) -> Iterator[None]:
    """Print errors that a user can fix, one line each, and exit with a code.

    Ctrl-C, SIGTERM and SIGHUP exit with code 130, a reader of the output that is gone with 141, a
    sweep that was aborted with 3.
    """
    try:
        yield
    except BrokenPipeError:
        discard_output()
        raise typer.Exit(BROKEN_PIPE) from None
    except UserError as error:
        for message in error.messages:
            echo(f"error: {message}", to_stderr=True)
        if isinstance(error, SweepAborted):
            exit_code = ENVIRONMENT_ERROR
        raise typer.Exit(exit_code) from None
    except OSError as error:  # a path that cannot be written, a full disk
        location = error.filename or _code_location(error)
        echo(f"error: {location}: {error.strerror or error}", to_stderr=True)
        raise typer.Exit(exit_code) from None
    except (KeyboardInterrupt, SystemExit):  # Ray turns SIGTERM into SystemExit while it starts
        raise typer.Exit(INTERRUPTED) from None


@contextlib.contextmanager
def exit_immediately_on_signals() -> Iterator[None]:
    """End the process at Ctrl-C, SIGTERM or SIGHUP while modules are imported.

    An exception may be swallowed during an import and leave half a module behind. Afterwards these
    signals raise KeyboardInterrupt.
    """
    signals = stop_signals()
    for kind in signals:
        signal.signal(kind, _exit_immediately)
    yield
    for kind in signals:
        signal.signal(kind, signal.default_int_handler)


def _exit_immediately(*_: object) -> None:
    with contextlib.suppress(OSError):  # the reader is gone
        os.write(2, b"interrupted before anything was started\n")
    os._exit(INTERRUPTED)


def _code_location(error: OSError) -> str:
    """Where in this package an error without a file name was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    own_frames = [frame for frame in frames if "/cae/" in frame.filename]
    if not own_frames:
        return "the system"
    return f"the system, at {Path(own_frames[-1].filename).name}:{own_frames[-1].lineno}"
