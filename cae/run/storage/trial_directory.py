"""A trial's folder, as the worker that trains it has it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO

from cae.files import write_whole
from cae.run.storage.process import runs
from cae.run.storage.store import PATIENCE_S, Bucket, StorageError, is_url

LOG = "log.txt"


class Home:
    """A trial's folder as its worker has it: the folder itself, or one of this host's that is carried to the bucket."""

    def __init__(self, place: str, last: str, *, write: bool = True) -> None:
        """`last`: the file that is carried after all others, for it says that they are there. `write`: whether it is this
        worker's own trial, and not one that it only reads."""
        self.last, self.bucket = last, None
        self.path = Path(place)
        self.known: dict[str, tuple[int, int, int]] = {}
        self.held: IO[bytes] | None = None
        if is_url(place):
            self.bucket, self.token = Bucket(place), secrets.token_hex(8)
            _clear_left_folders()
            self.path = Path(tempfile.mkdtemp(prefix=f"cae-sweep-{os.getpid()}-"))
            if write:
                self.bucket.write("owner", self.token.encode())
        elif write:
            self.path.mkdir(parents=True, exist_ok=True)
            self.held = _held(self.path / LOG)

    def pull(self, *names: str) -> None:
        """Files that the bucket holds; all others are not needed here."""
        if self.bucket:
            for name in self.bucket.list(""):
                if name in names:
                    write_whole(self.path / name, self.bucket.read(name))
            self.known = self._files()

    def push(self) -> None:
        """What has changed since. What was only renamed here is copied there. Raises StorageError, also where another worker
        has taken the trial up: this one was thought dead, and must not write over what that one has written."""
        if not self.bucket:
            return
        if (owner := self.bucket.read("owner").decode()) != self.token:
            raise StorageError(f"{self.bucket} was taken up by another worker ({owner})")
        files = self._files()
        changed = [name for name, said in files.items() if self.known.get(name) != said]
        renamed = {
            name: old for name in changed for old, said in self.known.items() if said == files[name]
        }
        for name in sorted(changed, key=lambda name: (name not in renamed, name == self.last)):
            if name in renamed:
                self.bucket.copy(renamed[name], name)
            else:
                self.bucket.write(name, (self.path / name).read_bytes())
        self.known = files

    def leave(self) -> None:
        if self.held:
            self.held.close()
        if self.bucket:
            shutil.rmtree(self.path, ignore_errors=True)

    def _files(self) -> dict[str, tuple[int, int, int]]:
        stats = {
            path.name: path.stat() for path in self.path.iterdir() if not path.name.startswith(".")
        }
        return {name: (stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in stats.items()}


def _held(log: Path) -> IO[bytes]:
    """The trial's log, locked by this process until it lets go or ends. A worker whose driver was killed may still be at the end of an
    epoch, and must not write over what this one will have written: it is waited for. Raises StorageError where it never ends."""
    file, end = log.open("ab"), time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > end:
                raise StorageError(
                    f"{log.parent} is held by another worker, and has been for {PATIENCE_S:.0f} s"
                ) from None
        except OSError:  # a file system without locks
            return file
        time.sleep(0.1)


def _clear_left_folders() -> None:
    """Folders on this host of workers that were killed."""
    for folder in Path(tempfile.gettempdir()).glob("cae-sweep-*-*"):
        pid = folder.name.split("-")[2]
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.getuid() and not runs(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)
