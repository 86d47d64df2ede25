"""A Ray on one machine listens where only this machine reaches it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Where it is 0, Ray announces 127.0.0.1, as it does on macOS and Windows. A process of Ray that
announces it listens there alone; otherwise it listens on all network interfaces."""


@contextlib.contextmanager
def loopback_only() -> Iterator[None]:
    """Let a Ray that is started in this block listen on the loopback interface only.

    The processes that Ray starts inherit the variable. This process has read it already if Ray was
    imported before.
    """
    from ray._private import ray_constants

    value_before = os.environ.get(VARIABLE)
    constant_before = ray_constants.ENABLE_RAY_CLUSTER
    os.environ[VARIABLE] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = constant_before
        if value_before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = value_before
