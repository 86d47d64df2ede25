"""`cae-sweep`, and `python -m cae` where only Python is known, as on a cluster."""

import gc
import sys


def main() -> None:
    """The command line. Ctrl-C is no fault of ours in any moment, that of the imports included."""
    gc.set_threshold(
        100_000, 50, 50
    )  # torch, Ray and pandas are a million objects, none of them garbage: looked through again and
    try:  # again while they are imported, they took a second of each command, and another one when it ended
        from cae.cli.app import app

        app()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
