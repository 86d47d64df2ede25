"""A folder for Ray's files of this process: logs, sockets and the token.

Ray keeps the files of every session it ever started in /tmp/ray. Here they are deleted at the end
of the process; what a killed process has left is deleted by the next one.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import IO

from cae.errors import RunError
from cae.run.lock import release_in_children, try_lock

PREFIX = "cae-"
LOCK = "lock"
RAY = "ray"
MAX_PARENT_LENGTH = 26
"""Characters of the path of its parent. A socket's path has at most 107: 17 are those of
`/cae-12345678/ray`, and 64 those of Ray's sockets in it."""
MIN_FREE_BYTES = 100_000_000
"""What Ray needs for its logs, and for images that do not fit into /dev/shm."""
END_SECONDS = 10.0
"""How long to wait for killed processes of Ray to end."""


@functools.cache
def private_folder() -> Path:
    """The folder of this process, with mode 0700.

    Raises RunError if there is no folder for it with a short path and enough space.
    """
    parent = _parent()
    _delete_leftovers(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    lock = (folder / LOCK).open("w", encoding="utf-8")
    try_lock(lock)
    release_in_children(lock)
    atexit.register(_delete, folder, lock, os.getpid())
    return folder


def ray_folder() -> Path:
    """Where Ray keeps its files: Ray lets everybody write to its folder, but not reach it here."""
    return private_folder() / RAY


def _parent() -> Path:
    wanted = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    parent = wanted
    if len(parent) > MAX_PARENT_LENGTH:
        parent = "/tmp"
    try:
        free = shutil.disk_usage(parent).free
    except OSError as error:
        raise RunError(f"{parent} cannot be used for Ray's files: {error.strerror}") from error
    if free < MIN_FREE_BYTES or not os.access(parent, os.W_OK):
        raise RunError(
            f"{parent} has no room for Ray's files: {free / 1e6:,.0f} MB are free of the "
            f"{MIN_FREE_BYTES / 1e6:,.0f} MB that they need; set RAY_TMPDIR to another folder, "
            f"with a path of at most {MAX_PARENT_LENGTH} characters"
        )
    return Path(parent)


def _delete(folder: Path, lock: IO[str], owner: int) -> None:
    if os.getpid() == owner:  # a forked process has the same handlers
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def _delete_leftovers(parent: Path) -> None:
    """Delete the folders of this user's processes that were killed, and end what Ray left."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.stat(follow_symlinks=False).st_uid != os.getuid():
                continue
            with (folder / LOCK).open("r+", encoding="utf-8") as lock:
                if not try_lock(lock):
                    continue
                if not _end_orphans(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _end_orphans(folder: Path) -> bool:
    """Kill processes of a killed Ray that have files of a folder open.

    Returns whether others are still using it: workers that are about to end.
    """
    is_used = False
    for process in _ray_processes(folder):
        with contextlib.suppress(OSError):
            parent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1]
            if parent == "1":
                os.kill(process, signal.SIGKILL)
            else:
                is_used = True
    return is_used


def _ray_processes(folder: Path) -> list[int]:
    """The processes that have files of Ray in a private folder open."""
    processes: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            targets = [os.readlink(link) for link in (process / "fd").iterdir()]
            if any(target.startswith(f"{folder}/{RAY}/") for target in targets):
                processes.append(int(process.name))
    return processes


def end_ray_processes(folder: Path, *, except_process: int) -> None:
    """Kill the processes of a Ray whose start failed, except the one that started it."""
    deadline = time.monotonic() + END_SECONDS
    while processes := set(_ray_processes(folder)) - {except_process}:
        for process in processes:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        if time.monotonic() > deadline:
            return
        time.sleep(0.1)  # a process that was being started is found next time


def delete_folder(folder: Path) -> None:
    """Delete the private folder of a process that ended without its exit handlers."""
    shutil.rmtree(folder, ignore_errors=True)
