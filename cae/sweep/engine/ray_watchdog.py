"""Watches the Ray that this process started.

If one of its processes ends, Ray hangs, or ends this process without a message.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from cae.sweep.engine import ray_compat

POLL_SECONDS = 1.0


@contextlib.contextmanager
def watch_ray(on_death: Callable[[str], None]) -> Iterator[None]:
    """Call `on_death` from a thread with the name of the Ray process that has ended."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(POLL_SECONDS):
            name = ray_compat.dead_ray_process()
            if name:
                on_death(name)
                return

    thread = threading.Thread(target=watch, name="ray-watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
