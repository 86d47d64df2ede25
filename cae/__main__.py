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

        app()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
