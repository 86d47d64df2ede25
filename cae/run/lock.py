"""The lock of a run's folder: one process at a time runs a sweep. Standard library only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import socket
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from cae.errors import RunError
from cae.files import check_regular

RETRY_SECONDS = 0.2
"""Pause before the second attempt: `status` takes the lock for a moment to test it."""

UNKNOWN_OWNER = "another process"
"""The owner of a lock whose file does not name one."""

_locked_files: weakref.WeakSet[IO[Any]] = weakref.WeakSet()


def release_in_children(file: IO[Any]) -> None:
    """Close a locked file in every child that this process forks.

    A lock belongs to all processes that have the file open: a data loader that outlives its killed
    worker would keep the trial locked.
    """
    _locked_files.add(file)


def _close_locked_files() -> None:
    for file in _locked_files:
        with contextlib.suppress(OSError):
            os.close(file.fileno())


os.register_at_fork(after_in_child=_close_locked_files)


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock for this process; it ends with the process, however that ends.

    Raises RunError if another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        if not try_lock(file):
            time.sleep(RETRY_SECONDS)
            if not try_lock(file):
                raise RunError(in_use_message(str(path.parent), _owner(file)))
        release_in_children(file)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock now."""
    try:
        check_regular(path)
        with path.open("r", encoding="utf-8") as file:
            return not try_lock(file, fcntl.LOCK_SH)
    except (OSError, RunError):  # without locks no process runs a sweep there
        return False


def owner_of(path: Path) -> str:
    """The process that took the lock last, in words."""
    try:
        with path.open("r", encoding="utf-8") as file:
            return _owner(file)
    except OSError:  # the run was deleted meanwhile
        return UNKNOWN_OWNER


def in_use_message(run: str, owner: str, location: str = "") -> str:
    """Why a command cannot run a sweep, and what to do.

    Args:
        run: The run, as messages name it.
        owner: The process that runs the sweep.
        location: How commands name the run, if that is another text.
    """
    fix = f"stop it with `cae-sweep stop {shlex.quote(location or run)}`, or choose another --out"
    return f"{run} is in use by {owner}: {fix}"


def try_lock(file: IO[str], kind: int = fcntl.LOCK_EX) -> bool:
    """Whether a file could be locked; it stays so until it is closed.

    Raises RunError if its file system has no locks.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise RunError(cannot_lock(file.name, error)) from error
    return True


def cannot_lock(path: str, error: OSError) -> str:
    """Why a file cannot be locked, and what to do."""
    return (
        f"{path} cannot be locked ({error.strerror}), so nothing would keep two processes from "
        "writing the same files: choose an --out on another file system or in a bucket "
        "(s3://BUCKET/PATH), or mount this one with locks (Lustre: -o flock; NFS 3: without nolock)"
    )


def _owner(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or UNKNOWN_OWNER
