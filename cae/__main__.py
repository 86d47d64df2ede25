"""`cae-sweep`, and `python -m cae` where only Python is known, as on a cluster."""

import sys


def main() -> None:
    """The command line. Ctrl-C is no fault of ours in any moment, that of the imports included."""
    try:
        from cae.cli import app

        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
