"""What is printed: never a control character, and to an output whose reader may be gone.

Imports neither rich nor pandas.
"""

from __future__ import annotations

import os
import sys

from cae.errors import RunError
from cae.run.formatting import visible

BROKEN_PIPE = 141
"""Exit code if the reader of the output is gone: 128 + SIGPIPE, as shells report it."""


def echo(text: str, *, to_stderr: bool = False) -> None:
    """Print text that may contain names and reasons of others: control characters are shown.

    Raises BrokenPipeError if the reader is gone, and RunError if the output cannot be written.
    """
    if to_stderr:
        print(visible(text), file=sys.stderr)
        return
    try:
        print(visible(text), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:  # the output is a file on a full disk
        raise RunError(f"standard output cannot be written: {error.strerror}") from error


def discard_output() -> None:
    """Write to nowhere from now on: Python flushes its output once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def open_missing_output() -> None:
    """Open /dev/null as standard output and error if the caller has closed them."""
    if sys.stdout is None or sys.stderr is None:
        for descriptor in (1, 2):
            try:
                os.fstat(descriptor)
            except OSError:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
