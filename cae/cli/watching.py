"""`run --watch`: serves the page of a running sweep.

The server is a process of its own, `python -m cae.cli.watching RUN`: building the page takes
seconds, in which the sweep has to react. It ends when its standard input is closed, as it is when
the process of the sweep ends in any way. If the page is open in a browser then, the server waits
until the browser has the last version.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable

from cae.cli.output import echo
from cae.errors import UserError
from cae.run.paths import RunDir

LAST_VERSION_SECONDS = 30.0
"""How long the server waits at the end for a browser that reads the page."""


def check_watch(address: str | None) -> None:
    """Raise UserError if the sweep runs elsewhere: the page is served on this machine only."""
    if address is not None and address.startswith(("http://", "https://")):
        raise UserError(
            f"--watch with --address {address}: the sweep runs in a job on the cluster; use "
            "`cae-sweep report RUN --watch` on a machine that has the run's folder"
        )


class WatchedPage:
    """The page of a sweep, and the process that serves it."""

    def __init__(self, run: RunDir, print_line: Callable[[str], None]) -> None:
        """print_line: prints a line for the user, from any thread."""
        self._run = run
        self._print = print_line

    def start(self) -> threading.Thread:
        """Start the server. Returns the thread that prints the address of the page."""
        command = [sys.executable, "-m", "cae.cli.watching", self._run.location()]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is for the sweep
        )
        thread = threading.Thread(target=self._print_address, args=(process,), daemon=True)
        thread.start()
        return thread

    def _print_address(self, process: subprocess.Popen[str]) -> None:
        """Print the first line of the server, and what it prints if it fails."""
        if process.stdout is None:
            return
        last = ""
        with process.stdout as lines:
            for line in lines:
                last = line.strip()
                if last.startswith("http://"):
                    self._print(f"page: {last} (follows the sweep)")
        if process.wait():
            self._print(f"--watch: the page is not served: {last}")


def main() -> None:
    """Serve the page of a run until standard input is closed."""
    from cae.report.page.server import HOST, PageSource, start_server
    from cae.run.storage import run_at

    source = PageSource([run_at(sys.argv[1])], None)
    try:
        server = start_server(source)
    except UserError as error:
        sys.exit(str(error))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    echo(f"http://{HOST}:{server.server_port}/")
    sys.stdin.read()
    if source.has_reader():
        source.next_build = 0.0
        last = source.newest().version
        end = time.monotonic() + LAST_VERSION_SECONDS
        while source.sent_version != last and time.monotonic() < end:
            time.sleep(0.1)


if __name__ == "__main__":
    main()
