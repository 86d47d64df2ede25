"""The page of a run that goes on, served on this machine and to it alone; it loads itself anew and keeps what was chosen.

Nothing runs in the background: the page asks every two seconds for the version it should be, and that builds it where the journal
has grown. What is served is report.html as it lies in the folder, but that it may ask this server and knows its version.
"""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from collections.abc import Callable
from pathlib import Path

from markupsafe import escape

from cae.errors import UserError
from cae.report.page import build as page
from cae.run.paths import RunDir

HOST = "127.0.0.1"
PORTS = range(8420, 8440)
AT_MOST = 0.2
"""The share of the time that may be spent on building: a page that takes 2 s is built at most every 10 s."""


class Page:
    """The newest page of some runs, built when it is asked for and something has happened."""

    def __init__(
        self, runs: list[RunDir], out: Path | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.runs, self.out, self.clock = runs, out, clock
        self.lock = threading.Lock()
        self.seen: object = None
        self.rests_until = 0.0
        self.content, self.version = b"", ""

    def newest(self) -> Page:
        with self.lock:  # two tabs ask at once
            for run in self.runs:
                run.refresh()
            now = [
                (run.journal.stat().st_size if run.journal.exists() else 0, run.in_use())
                for run in self.runs
            ]
            if not self.content or (now != self.seen and self.clock() >= self.rests_until):
                began = self.clock()
                text = page.build_all(self.runs, self.out).read_text(encoding="utf-8")
                self.version, self.seen = hashlib.sha256(text.encode()).hexdigest()[:16], now
                allowed = text.replace(
                    escape(page.POLICY), escape(f"{page.POLICY}; connect-src 'self'"), 1
                )
                self.content = allowed.replace(
                    "<html ", f'<html data-version="{self.version}" ', 1
                ).encode()
                self.rests_until = self.clock() + (self.clock() - began) / AT_MOST
        return self


def server(shown: Page, ports: range = PORTS) -> http.server.ThreadingHTTPServer:
    """Listens on the first free port. Raises UserError where none is."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = self.headers.get("Host", "").partition(":")[0]
            if host not in (
                HOST,
                "localhost",
            ):  # another name for this machine: a page elsewhere would be asking
                return self.answer(403, b"only for this machine", "text/plain")
            if self.path not in ("/", "/version"):
                return self.answer(404, b"not here", "text/plain")
            try:
                newest = shown.newest()
            except (
                UserError,
                OSError,
            ) as error:  # a bucket that is down for a while; an open page asks again
                return self.answer(503, str(error).encode(), "text/plain")
            if self.path == "/version":
                return self.answer(200, newest.version.encode(), "text/plain")
            return self.answer(200, newest.content, "text/html; charset=utf-8")

        def answer(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(content)),
                "Cache-Control": "no-store",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a line every two seconds helps nobody."""

    for port in ports:
        try:
            return http.server.ThreadingHTTPServer((HOST, port), Handler)
        except OSError:
            continue
    raise UserError(f"no port from {ports.start} to {ports.stop - 1} is free on {HOST}")


def serve(runs: list[RunDir], out: Path | None) -> None:
    """Serves until it is interrupted."""
    shown = Page(runs, out).newest()  # what is wrong with a run is told before anybody looks
    with server(shown) as listening:
        print(
            f"http://{HOST}:{listening.server_port}/ shows the page and follows the run; Ctrl-C ends it",
            flush=True,
        )
        listening.serve_forever()
