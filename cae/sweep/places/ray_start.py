"""What starting Ray and connecting to it have in common."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import sysconfig
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def ray_session(**options: Any) -> Iterator[None]:
    """`ray.init` and, at the end, `ray.shutdown`. Raises OSError, RuntimeError or ValueError."""
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    # Tune repeats what the journal records about each trial.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    try:
        with _keep_sigterm_handler():
            ray.init(
                log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **options
            )
    except BaseException:
        ray.shutdown()
        raise
    try:
        yield
    finally:
        ray.shutdown()


def job_config_with_own_paths() -> Any:
    """A JobConfig whose workers search first for modules where this process does.

    Ray puts the current folder in front of all others: a `numpy.py` or `cae.py` there would break
    every worker.
    """
    from ray.job_config import JobConfig

    class OwnPaths(JobConfig):
        def _serialize(self) -> str:
            first = _paths_before_standard_library()
            self._py_driver_sys_path = [path for path in self._py_driver_sys_path if path in first]
            return super()._serialize()

    return OwnPaths()


def _paths_before_standard_library() -> set[str]:
    """The folder of the script or the current folder, and those of PYTHONPATH."""
    paths = [os.path.abspath(path) for path in sys.path]
    standard_library = os.path.abspath(sysconfig.get_path("stdlib"))
    if standard_library in paths:
        paths = paths[: paths.index(standard_library)]
    return set(paths)


@contextlib.contextmanager
def _keep_sigterm_handler() -> Iterator[None]:
    """Restore the handler of SIGTERM: Ray's own prints a stack and may abort."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the name of its class if it has none."""
    for line in str(error).splitlines():
        if line.strip():
            return line
    return type(error).__name__
