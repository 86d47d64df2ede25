"""A local server that follows running sweeps: an open page reloads itself and keeps its selection.

Nothing runs in the background. The page requests the newest version every two seconds; the server
then rebuilds it if a journal has grown. It serves report.html as it is in the folder, with two
changes: the page may connect to the server, and contains its version.
"""

from __future__ import annotations

import hashlib
import http.server
import math
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from markupsafe import escape
from typing_extensions import override

from cae.errors import UserError
from cae.report.page import build
from cae.run.paths import RunDir

HOST = "127.0.0.1"
PORTS = range(8420, 8440)
MAX_BUILD_SHARE = 0.2
"""Largest share of the time spent on building: if it takes 2 s, it happens at most every 10 s."""


READER_SECONDS = 10.0
"""A page that is open requests its version every 2 seconds, and less often in a hidden tab."""


class ServedPage(NamedTuple):
    content: bytes
    version: str


class JournalState(NamedTuple):
    """If it has not changed, the page has not changed either."""

    size: int
    is_running: bool


class PageSource:
    """The newest page of some runs, rebuilt on request if their journals have changed."""

    def __init__(
        self, runs: list[RunDir], out: Path | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.runs = runs
        self.out = out
        self.clock = clock
        self.lock = threading.Lock()
        self.page: ServedPage | None = None
        self.journal_states: list[JournalState] = []
        self.next_build = 0.0
        """Time of the clock before which the page is not rebuilt."""
        self.last_request = -math.inf
        """Time of the clock of the last request."""
        self.sent_version = ""
        """Version of the page that was sent last."""

    def has_reader(self) -> bool:
        """Whether the page is open in a browser, which requests its version all the time."""
        return self.clock() - self.last_request < READER_SECONDS

    def newest(self) -> ServedPage:
        """Return the newest page. Raises UserError or OSError if a run cannot be read."""
        with self.lock:  # two tabs may request it at the same time
            for run in self.runs:
                run.refresh()
            journal_states = [_journal_state(run) for run in self.runs]
            has_changed = journal_states != self.journal_states
            if self.page is None or (has_changed and self.clock() >= self.next_build):
                start = self.clock()
                self.page = self._build()
                self.journal_states = journal_states
                end = self.clock()
                self.next_build = end + (end - start) / MAX_BUILD_SHARE
            return self.page

    def _build(self) -> ServedPage:
        text = build.build_all(self.runs, self.out).read_text(encoding="utf-8")
        version = hashlib.sha256(text.encode()).hexdigest()[:16]
        policy = build.CONTENT_SECURITY_POLICY
        text = text.replace(escape(policy), escape(f"{policy}; connect-src 'self'"), 1)
        text = text.replace("<html ", f'<html data-version="{version}" ', 1)
        return ServedPage(text.encode(), version)


def _journal_state(run: RunDir) -> JournalState:
    size = 0
    if run.journal.exists():
        size = run.journal.stat().st_size
    return JournalState(size, run.in_use())


class PageServer(http.server.ThreadingHTTPServer):
    """Serves one page on this machine. Raises OSError if the port is in use."""

    def __init__(self, source: PageSource, port: int) -> None:
        super().__init__((HOST, port), RequestHandler)
        self.source = source


class RequestHandler(http.server.BaseHTTPRequestHandler):
    """Answers requests for the page and its version, and refuses all others."""

    server: PageServer

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").partition(":")[0]
        if host not in (HOST, "localhost"):  # a page of another site could name this machine
            self.respond(HTTPStatus.FORBIDDEN, b"only for this machine", "text/plain")
            return
        if self.path not in ("/", "/version"):
            self.respond(HTTPStatus.NOT_FOUND, b"not found", "text/plain")
            return
        source = self.server.source
        source.last_request = source.clock()
        try:
            page = source.newest()
        except (UserError, OSError) as error:
            # A bucket may be unavailable for a while; an open page requests the version again.
            self.respond(HTTPStatus.SERVICE_UNAVAILABLE, str(error).encode(), "text/plain")
            return
        if self.path == "/version":
            self.respond(HTTPStatus.OK, page.version.encode(), "text/plain")
        else:
            self.respond(HTTPStatus.OK, page.content, "text/html; charset=utf-8")
            source.sent_version = page.version

    def respond(self, status: HTTPStatus, content: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: there is a request every two seconds."""


def start_server(source: PageSource, ports: range = PORTS) -> PageServer:
    """Listen on the first free port. Raises UserError if no port is free."""
    for port in ports:
        try:
            return PageServer(source, port)
        except OSError:
            continue
    raise UserError(f"no port from {ports.start} to {ports.stop - 1} is free on {HOST}")


def serve(runs: list[RunDir], out: Path | None) -> None:
    """Serve the page until interrupted. Raises UserError if a run cannot be read."""
    source = PageSource(runs, out)
    source.newest()
    with start_server(source) as server:
        address = f"http://{HOST}:{server.server_port}/"
        print(f"{address} shows the page and follows the run; stop with Ctrl-C", flush=True)
        server.serve_forever()
