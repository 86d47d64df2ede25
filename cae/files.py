"""Atomic and durable writes of files, and pausing garbage collection. Standard library only.

Atomic: a reader, and a process that continues after a kill, sees the old or the new content.
Durable: the same holds after a power cut, because the content is on the disk before the name is.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from cae.errors import UserError

MAX_SYNC_SHARE = 0.02
"""`SyncSchedule` spends at most this part of the time on syncing, on a disk that syncs quickly."""
MAX_UNSYNCED_SECONDS = 5.0
"""Files of a `SyncSchedule` are synced if the last sync was so long ago, whatever it costs."""
_CANNOT_SYNC_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.ENOSYS)


def write_whole(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Write a file atomically: a reader sees the old or the new content, never a part of it.

    Missing parent folders are created. Two writers of the same file, in threads or on hosts, do not
    disturb each other: the last one wins.

    Args:
        path: The file.
        content: Its new content.
        durable: Whether the file has to survive a power cut; False: only a killed process.
    """
    if isinstance(content, str):
        # File names whose bytes are not UTF-8 contain characters that cannot be encoded.
        content = content.encode(errors="backslashreplace")
    _create_folder(path.parent, durable=durable)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        sync_folder(path.parent)


def check_output(path: Path) -> None:
    """Raise UserError if the folder of a file that the user named does not exist.

    Commands call it before they work: a misspelled folder is neither created, nor found at the end.
    """
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist: create it first")


def check_is_no_input(path: Path, inputs: Iterable[Path]) -> None:
    """Raise UserError if a file to write is one of the files that are read: it would be lost."""
    if not path.exists():
        return
    for file in inputs:
        if file.exists() and path.samefile(file):
            raise UserError(f"{path}: is one of the images that are read: choose another name")


def write_output(path: Path, content: str | bytes) -> None:
    """Write a file that the user named: as `write_whole`, but never in place of something else.

    The target of a link is written. Devices and pipes, such as /dev/stdout, are written to; they
    are not replaced by a file. Raises OSError with the path, also for a folder, and UserError if
    the folder of the file does not exist.
    """
    check_output(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if stat.S_ISREG(mode):
        write_whole(path.resolve(), content)
        return
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")
    try:
        with path.open("wb") as file:
            file.write(content)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def check_regular(path: Path, max_bytes: int | None = None) -> None:
    """Raise OSError if a file is missing, not a regular file, or larger than `max_bytes`.

    Reading a named pipe, a socket or a device of somebody else's folder could block forever, or
    never reach an end.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if max_bytes is not None and status.st_size > max_bytes:
        message = f"it has {status.st_size:,} bytes: should have at most {max_bytes:,}"
        raise OSError(errno.EFBIG, message, str(path))


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk. Nothing to do if it does not exist."""
    with contextlib.suppress(FileNotFoundError):
        _sync(path)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk.

    Some file systems cannot sync folders; they write names at once.
    """
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_FOLDERS:
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create_folder(folder: Path, *, durable: bool) -> None:
    """Create a folder and its parents where they are missing."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        _create_folder(folder.parent, durable=durable)
    folder.mkdir(exist_ok=True)
    if durable:
        sync_folder(folder.parent)


class SyncSchedule:
    """Writes files again and again, durably at a bounded cost.

    A sync takes milliseconds, or a tenth of a second on a slow disk: after each short epoch that
    would be too much. So writes are durable when MAX_SYNC_SHARE of the time since the last durable
    ones is as long as those took, and after MAX_UNSYNCED_SECONDS in any case.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        """Create a schedule.

        Args:
            enabled: Whether files have to survive a power cut at all.
        """
        self._enabled = enabled
        self._synced_at = time.monotonic()
        self._sync_seconds = 0.0
        """How long the last durable writes took."""
        self._unsynced: set[Path] = set()
        self.is_durable = True
        """Whether the present group of writes is durable."""

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A group of calls of `write`: all are durable, or none."""
        pause = min(self._sync_seconds / MAX_SYNC_SHARE, MAX_UNSYNCED_SECONDS)
        started = time.monotonic()
        self.is_durable = self._enabled and started - self._synced_at >= pause
        yield
        if self.is_durable:
            self.sync()
            self._sync_seconds = self._synced_at - started

    def write(self, path: Path, content: bytes) -> None:
        """Write a file atomically, and durably if it is time for that."""
        write_whole(path, content, durable=self.is_durable)
        if self.is_durable:
            self._unsynced.discard(path)
        else:
            self._unsynced.add(path)

    def has_durable(self, path: Path) -> bool:
        """Whether the present content of a file would survive a power cut, if that is needed."""
        return not self._enabled or path not in self._unsynced

    def sync(self) -> None:
        """Make everything durable that was written."""
        if not self._enabled:
            return
        for path in self._unsynced:
            sync_file(path)
        for folder in {path.parent for path in self._unsynced}:
            with contextlib.suppress(FileNotFoundError):  # the trial was deleted
                sync_folder(folder)
        self._unsynced.clear()
        self._synced_at = time.monotonic()


@contextlib.contextmanager
def pause_garbage_collection() -> Iterator[None]:
    """Turn Python's cyclic garbage collector off for a while.

    While millions of objects that stay are created, the collector would scan them again and again.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def reserve_space(file: int, nbytes: int) -> None:
    """Give an open file this size, with space on the disk for all of it where the system can do so.

    Without it, writing to the file through memory ends the process if the disk has become full.
    Raises OSError if there is not enough space; nothing is reserved then: the system would fill the
    disk before it reports the error.
    """
    status = os.fstatvfs(file)
    if nbytes > status.f_bavail * status.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if not hasattr(os, "posix_fallocate"):  # macOS
        os.ftruncate(file, nbytes)
        return
    try:
        os.posix_fallocate(file, 0, nbytes)
    except OSError:
        os.ftruncate(file, 0)
        raise
