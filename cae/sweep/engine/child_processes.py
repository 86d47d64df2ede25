"""Processes that a trial starts, such as data loaders, must not hide the death of their worker.

Ray notices that a worker has died when its connection is closed. A forked child has a copy of the
connection and keeps it open, and the sweep would wait for a worker that no longer exists.
"""

from __future__ import annotations

import contextlib
import os
import stat


def close_connections_in_children() -> None:
    """Close the sockets that are open now in every child that this process forks.

    Call it before the user's code runs, so that only Ray's sockets are open.
    """
    sockets = _open_sockets()

    def close_them() -> None:
        for descriptor, inode in sockets.items():
            with contextlib.suppress(OSError):
                if os.fstat(descriptor).st_ino == inode:  # not another file of the same number
                    os.close(descriptor)

    os.register_at_fork(after_in_child=close_them)


def _open_sockets() -> dict[int, int]:
    """The inode of each open socket by its descriptor."""
    sockets: dict[int, int] = {}
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # of the listing itself
            status = os.fstat(int(name))
            if stat.S_ISSOCK(status.st_mode):
                sockets[int(name)] = status.st_ino
    return sockets
