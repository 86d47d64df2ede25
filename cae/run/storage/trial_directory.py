"""The directory of a trial, as the worker that trains it uses it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO, NamedTuple

from cae.files import write_whole
from cae.run.lock import cannot_lock, release_in_children
from cae.run.storage.process import is_alive
from cae.run.storage.store import RETRY_SECONDS, Bucket, StorageError, is_url

LOG = "log.txt"
OWNER = "owner"
"""The object that names the worker that trains the trial."""
TEMPORARY_PREFIX = "cae-sweep-"
LOCK_POLL_SECONDS = 0.1


class FileVersion(NamedTuple):
    """What changes when a file is written, and stays when it is renamed."""

    inode: int
    modified_ns: int
    size: int


class TrialDirectory:
    """The directory of a trial.

    For a run in a folder this is the trial's folder itself. For a run in a bucket it is a temporary
    folder of this host: `pull` downloads files to it and `push` uploads what has changed.
    """

    def __init__(self, location: str, first: str, *, write: bool = True) -> None:
        """Open the directory at a path or a URL.

        Args:
            location: The trial's folder or URL.
            first: The file that `push` uploads before others that were written at the same time:
                they can be made from it.
            write: Whether this worker trains the trial; False: it only reads the files.

        Raises StorageError if another worker holds the trial or the bucket cannot be used.
        """
        self.path = Path(location)
        self._first = first
        self._bucket: Bucket | None = None
        self._token = secrets.token_hex(8)
        self._pushed: dict[str, FileVersion] = {}
        self._locked_log: IO[bytes] | None = None
        if is_url(location):
            self._bucket = Bucket(location)
            _delete_abandoned_directories()
            self.path = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY_PREFIX}{os.getpid()}-"))
            if write:
                self._bucket.write(OWNER, self._token.encode())
        elif write:
            self.path.mkdir(parents=True, exist_ok=True)
            self._locked_log = _lock(self.path / LOG)

    def pull(self, *names: str) -> None:
        """Download files from the bucket, if they exist."""
        if self._bucket is None:
            return
        for name in self._bucket.list(""):
            if name in names:
                write_whole(self.path / name, self._bucket.read(name))
        self._pushed = self._files()

    def push(self) -> None:
        """Upload the files that have changed. A file that was only renamed is copied in the bucket.

        Files are uploaded in the order in which they were written: if this process dies in between,
        the bucket contains what the folder of a process that dies while it writes would contain.

        Raises StorageError if the bucket cannot be used, or if another worker has started to train
        the trial: it was assumed that this one is dead, and it must not overwrite the files of the
        other one.
        """
        if self._bucket is None:
            return
        files = self._files()
        if files == self._pushed:
            return
        owner = self._bucket.read(OWNER).decode()
        if owner != self._token:
            raise StorageError(f"{self._bucket} is now trained by another worker ({owner})")
        names_by_version = {version: name for name, version in self._pushed.items()}
        renamed: dict[str, str] = {}
        written: list[str] = []
        for name, version in files.items():
            if self._pushed.get(name) == version:
                continue
            if version in names_by_version:
                renamed[name] = names_by_version[version]
            else:
                written.append(name)
        # Copies first, before the objects that they are copied from are overwritten.
        for name, earlier_name in renamed.items():
            self._bucket.copy(earlier_name, name)
        written.sort(key=lambda name: (files[name].modified_ns, name != self._first))
        for name in written:
            self._bucket.write(name, (self.path / name).read_bytes())
        self._pushed = files

    def close(self) -> None:
        """Release the trial and delete the temporary folder."""
        if self._locked_log is not None:
            self._locked_log.close()
        if self._bucket is not None:
            shutil.rmtree(self.path, ignore_errors=True)

    def _files(self) -> dict[str, FileVersion]:
        files: dict[str, FileVersion] = {}
        for path in self.path.iterdir():
            if not path.name.startswith("."):
                stat = path.stat()
                files[path.name] = FileVersion(stat.st_ino, stat.st_mtime_ns, stat.st_size)
        return files


def _lock(log: Path) -> IO[bytes]:
    """Open a trial's log and lock it until it is closed or this process ends.

    A worker whose driver was killed may still be in the middle of an epoch. It must not overwrite
    what this worker will write, so this waits for it to end. Raises StorageError if it does not.
    """
    file = log.open("ab")
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            release_in_children(file)
            return file
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.close()
                message = (
                    f"{log.parent} has been locked by another worker for {RETRY_SECONDS:.0f} s"
                )
                raise StorageError(message) from None
        except OSError as error:
            file.close()
            raise StorageError(cannot_lock(str(log), error)) from error
        time.sleep(LOCK_POLL_SECONDS)


def _delete_abandoned_directories() -> None:
    """Delete temporary folders on this host whose workers were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{TEMPORARY_PREFIX}*-*"):
        pid = folder.name.removeprefix(TEMPORARY_PREFIX).partition("-")[0]
        if not pid.isdecimal():
            continue
        with contextlib.suppress(OSError, OverflowError):  # a number may be no process id
            is_own = folder.stat().st_uid == os.getuid()
            if is_own and not is_alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)
