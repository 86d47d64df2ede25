"""Whether the Ray that this process started still lives: where one of its own processes is gone, Ray itself hangs, or ends this
process without a word."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import ray

NEEDED = ("raylet", "gcs_server")
POLL_SECONDS = 1.0


def gone() -> str:
    """Which process of a Ray that was started here has ended; "" where none has, or where Ray was not started here."""
    node = ray._private.worker._global_node
    return next((kind for kind, _ in node.dead_processes() if kind in NEEDED), "") if node else ""


def end_ray() -> None:
    """Ends what is left of it. Its workers end by themselves when their raylet is gone."""
    node = ray._private.worker._global_node
    if node:
        node.kill_all_processes(check_alive=False, allow_graceful=False)


@contextlib.contextmanager
def watched(lost: Callable[[str], None]) -> Iterator[None]:
    """Calls `lost`, from a thread of its own, with the name of the process that has ended."""
    left = threading.Event()

    def watch() -> None:
        while not left.wait(POLL_SECONDS):
            if kind := gone():
                lost(kind)
                return

    thread = threading.Thread(target=watch, name="lifeline", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
