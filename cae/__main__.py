"""The command `cae-sweep`, also as `python -m cae`."""

import gc
import sys


def main() -> None:
    """Run the command line. Ctrl-C ends it quietly at any time, also during the imports."""
    # torch, Ray and pandas create a million objects, none of which is garbage. Scanning them again
    # and again would take a second of each command during the imports, and another one at its end.
    gc.set_threshold(100_000, 50, 50)
    try:
        from cae.cli.app import app
        from cae.cli.output import escape_unprintable_characters, open_missing_output

        open_missing_output()
        escape_unprintable_characters()
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        gc.freeze()
        _flush_output()


def _flush_output() -> None:
    """Write what is buffered; exit with 141 if the reader is gone."""
    from cae.cli.output import BROKEN_PIPE, discard_output

    # typer exits with 1 if it meets a closed pipe, and replaces sys.stdout by this wrapper.
    is_broken = type(sys.stdout).__name__ == "PacifyFlushWrapper"
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        is_broken = True
    if is_broken:
        discard_output()
        sys.exit(BROKEN_PIPE)


if __name__ == "__main__":
    main()
