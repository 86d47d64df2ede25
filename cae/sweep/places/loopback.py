"""Makes a Ray on one machine listen on the loopback interface only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""If it is 0, Ray uses the address 127.0.0.1, as on macOS and Windows. Its processes listen on the
loopback interface only then; with any other address they listen on all network interfaces."""


@contextlib.contextmanager
def loopback_only() -> Iterator[None]:
    """Let a Ray that is started in this block listen on the loopback interface only.

    The processes that Ray starts inherit the environment variable. In this process Ray reads the
    variable when it is imported, so its constant is set, too.
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
