"""The command `cae-sweep`, also as `python -m cae`."""

import errno
import gc
import sys
from typing import NoReturn


def main() -> None:
    """Run the command line. Ctrl-C ends it quietly at any time, also during the imports."""
    # torch, Ray and pandas create a million objects, none of which is garbage. Scanning them again
    # and again would take a second of each command during the imports, and another one at its end.
    gc.set_threshold(100_000, 50, 50)
    try:
        from cae.cli.app import app
        from cae.cli.output import open_missing_output

        open_missing_output()
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:  # typer prints the help without our consoles
        if error.errno != errno.ENOSPC:
            raise
        _exit_without_output(error)
    finally:
        gc.freeze()
        _flush_output()


def _flush_output() -> None:
    """Write what is buffered.

    Exits with 141 if the reader is gone, and with 2 if the output is a file on a full disk.
    """
    from cae.cli.output import BROKEN_PIPE, discard_output

    # typer exits with 1 if it meets a closed pipe, and replaces sys.stdout by this wrapper.
    is_broken = type(sys.stdout).__name__ == "PacifyFlushWrapper"
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        is_broken = True
    except OSError as error:
        _exit_without_output(error)
    if is_broken:
        discard_output()
        sys.exit(BROKEN_PIPE)


def _exit_without_output(error: OSError) -> NoReturn:
    from cae.cli.output import discard_output

    print(f"error: standard output cannot be written: {error.strerror}", file=sys.stderr)
    discard_output()
    sys.exit(2)


if __name__ == "__main__":
    main()
