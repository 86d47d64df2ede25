"""A run in a bucket: its local copy, its lock, and the thread that uploads its journal."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from typing_extensions import override

from cae.errors import RunError
from cae.files import write_whole
from cae.run.lock import UNKNOWN_OWNER, in_use_message
from cae.run.paths import RunDir
from cae.run.storage.process import is_alive, pid_namespace
from cae.run.storage.store import (
    FIRST_RETRY_SECONDS,
    RETRY_SECONDS,
    Bucket,
    StorageError,
    join_location,
)

HEARTBEAT_SECONDS = 5.0
"""A process that runs a sweep writes its lock object this often."""
LEASE_SECONDS = 30.0
"""A process whose lock object is older than this, by the store's clock, counts as dead."""
MAX_CLOCK_DIFFERENCE_SECONDS = 1000.0
"""S3 refuses requests of hosts whose clocks differ by more than 900 seconds."""
POLL_SECONDS = 0.5
"""Pause between two looks at the journal for new lines to upload."""
JOURNAL_PART_BYTES = 256_000
"""A part of the journal is written again with each upload until it is this large: milliseconds."""
PARALLEL_DOWNLOADS = 16
JOURNAL_PARTS = ".pieces"
"""Folder of the local copy with the parts of the journal."""


class BucketRun(RunDir):
    """A run in a bucket.

    Its `path` is a local copy, which the constructor downloads. While the lock is held, `path` is
    another copy, which only the process that runs the sweep uses: processes on the same machine
    that read the run must not replace the journal to which it appends.
    """

    def __init__(self, url: str) -> None:
        self.bucket = Bucket(url, FIRST_RETRY_SECONDS)
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        name = self.bucket.root.rpartition("/")[2]
        url_hash = hashlib.sha256(self.bucket.url.encode()).hexdigest()[:12]
        self._abandoned: dict[str, float] = {}
        """Lock objects that stayed the same for a heartbeat, and when they were written."""
        self._first_seen: dict[str, tuple[float, float]] = {}
        """When each lock object was written, and when this process saw that first, by the monotonic
        clock."""
        self.copies = cache / "cae-sweep" / "runs" / url_hash
        super().__init__(self.copies / "read" / name)
        self.refresh()

    @override
    def __str__(self) -> str:
        return urlunsplit(urlsplit(self.bucket.url)._replace(query=""))

    @override
    def location(self, number: int | None = None) -> str:
        if number is None:
            return self.bucket.url
        return join_location(self.bucket.url, f"trials/{number:04d}")

    @override
    def in_use(self) -> bool:
        """Whether a process runs this sweep.

        Its lock object has a time by the store's clock, from which this host's clock may differ by
        minutes. If it does not seem to be new by this host's clock, only the next heartbeat shows
        whether the process is alive: this waits for it, once for each lock object that stays.
        """
        locks = self._lock_times()
        if any(self._seems_new(name, written) for name, written in locks.items()):
            return True
        unknown = {
            name: written
            for name, written in locks.items()
            if self._abandoned.get(name) != written
            and time.time() - written < MAX_CLOCK_DIFFERENCE_SECONDS
        }
        if not unknown:
            return False
        time.sleep(HEARTBEAT_SECONDS + 1)
        later = self._lock_times()
        for name, written in later.items():
            self._first_seen_at(name, written)
        if any(later.get(name, written) != written for name, written in unknown.items()):
            return True
        self._abandoned |= unknown
        return False

    @override
    def in_use_message(self, owner: str) -> str:
        return in_use_message(str(self), owner, self.bucket.url)

    @override
    def lock_owner(self) -> str:
        locks = self._lock_times()
        if not locks:  # it has ended meanwhile
            return UNKNOWN_OWNER
        return max(locks, key=lambda name: locks[name]).rpartition("/")[2]

    def _lock_times(self) -> dict[str, float]:
        """When each lock object was written, by the store's clock."""
        return {name: written for name, (_, written) in self.bucket.list("lock").items()}

    def _seems_new(self, name: str, written: float) -> bool:
        """Whether a lock object was written within LEASE_SECONDS, by this host's clock.

        Not if this process has seen it unchanged for longer than that.
        """
        if time.monotonic() - self._first_seen_at(name, written) > LEASE_SECONDS:
            return False
        return 0 <= time.time() - written < LEASE_SECONDS

    def _first_seen_at(self, name: str, written: float) -> float:
        """When this process first saw a lock object as it was written then."""
        known, first_seen = self._first_seen.get(name, (None, 0.0))
        if known != written:
            first_seen = time.monotonic()
            self._first_seen[name] = (written, first_seen)
        return first_seen

    @override
    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        super().__init__(self.copies / "run" / self.path.name)
        with super().lock():
            self._acquire_lock()
            self.bucket.retry_seconds = RETRY_SECONDS
            sync: BucketSync | None = None
            try:
                self.refresh()
                sync = BucketSync(self)
                sync.start()
                yield
            finally:
                if sync is not None:
                    sync.finish()
                self.bucket.delete(self.lock_name)

    @override
    def clear_requests(self) -> None:
        super().clear_requests()
        for name in self.bucket.list("control"):
            self.bucket.delete(name)

    @override
    def refresh(self) -> None:
        """Download sweep.json and the journal if they have changed."""
        self.path.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            content = self.bucket.read(self.sweep_json.name)
            write_whole(self.sweep_json, content, durable=False)
        parts = self.bucket.list("journal")
        folder = self.path / JOURNAL_PARTS
        changed = {
            name: modified
            for name, (size, modified) in parts.items()
            if _size_and_time(folder / name) != (size, modified)
        }
        total_bytes = sum(size for size, _ in parts.values())
        if not changed and _size(self.journal) == total_bytes:
            return
        self._download(changed, folder)
        content = b"".join((folder / name).read_bytes() for name in sorted(parts))
        write_whole(self.journal, content, durable=False)

    @override
    def fetch(self, *names: str, number: int | None = None) -> None:
        """Download files of one trial, or of all, if they have changed."""
        folder = "trials"
        if number is not None:
            folder = f"trials/{number:04d}"
        changed: dict[str, float] = {}
        for name, (size, modified) in self.bucket.list(folder).items():
            is_wanted = name.rpartition("/")[2] in names
            if is_wanted and _size_and_time(self.path / name) != (size, modified):
                changed[name] = modified
        self._download(changed, self.path)

    @override
    def publish(self, *paths: Path) -> None:
        """Upload files of the run's folder."""
        for path in paths:
            if path.exists():
                name = path.relative_to(self.path).as_posix()
                self.bucket.write(name, path.read_bytes())

    @override
    def request(self, name: str) -> None:
        self.bucket.write(f"control/{name}", b"")

    @override
    def delete_trial_files(self, number: int, *names: str) -> None:
        super().delete_trial_files(number, *names)
        for name in names:
            self.bucket.delete(f"trials/{number:04d}/{name}")

    @override
    def trials_with(self, name: str) -> set[int]:
        folders: list[str] = []
        for path in self.bucket.list("trials"):
            _, folder, file = path.split("/", 2)
            if file == name:
                folders.append(folder)
        return {int(folder) for folder in folders if folder.isdecimal()}

    @override
    def delete_trial(self, number: int) -> None:
        super().delete_trial(number)
        for name in self.bucket.list(f"trials/{number:04d}"):
            self.bucket.delete(name)

    @property
    def lock_name(self) -> str:
        """The object by which this process shows that it runs the sweep."""
        return f"lock/{self.owner}"

    def write_heartbeat(self) -> None:
        """Write the lock object: its time shows that this process is alive."""
        self.bucket.write(self.lock_name, f"{pid_namespace()} {os.getpid()}".encode())

    def _acquire_lock(self) -> None:
        """Take the lock of the bucket. Raises RunError if another process holds it.

        Every process first writes its own lock object and then lists those of the others: of two
        processes at least one sees the other. It is alive if it writes its object again while this
        process waits for a heartbeat.
        """
        previous: dict[str, float] = {}
        while True:
            self.write_heartbeat()
            others, now = self._other_locks()
            if not others:
                return
            other = next(iter(others)).rpartition("/")[2]
            if any(written > previous.get(name, now) for name, written in others.items()):
                self.bucket.delete(self.lock_name)
                raise RunError(self.in_use_message(other))
            if not previous:
                message = f"{self} was in use by {other} recently: waiting to see if it still is"
                print(message, file=sys.stderr)
            previous = others
            time.sleep(HEARTBEAT_SECONDS + 1)

    def _other_locks(self) -> tuple[dict[str, float], float]:
        """When other living processes wrote their lock objects, by name, and the store's time now.

        The objects of dead processes are deleted.
        """
        locks = self._lock_times()
        now = locks.pop(self.lock_name, time.time())
        for name, written in list(locks.items()):
            if now - written > LEASE_SECONDS or self._has_died_here(name):
                self.bucket.delete(name)
                del locks[name]
        return locks, now

    def _has_died_here(self, lock_name: str) -> bool:
        """Whether the owner of a lock object was a process of this machine and has ended."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            namespace, pid = self.bucket.read(lock_name).decode().split(" ")
            return namespace == pid_namespace() and not is_alive(int(pid))
        return False

    def _download(self, modified: dict[str, float], folder: Path) -> None:
        """Download objects to a local folder and give the files the times of the objects."""

        def download(name: str) -> None:
            target = folder / name
            write_whole(target, self.bucket.read(name), durable=False)
            os.utime(target, (modified[name], modified[name]))

        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
            list(pool.map(download, modified))  # list: raises the errors of the threads


class BucketSync(threading.Thread):
    """Runs beside a sweep: writes heartbeats, uploads the journal and downloads requests."""

    def __init__(self, run: BucketRun) -> None:
        super().__init__(daemon=True, name="bucket-sync")
        self._bucket_run = run
        self._stop_requested = threading.Event()
        self._last_heartbeat = time.monotonic()
        stems = [Path(name).stem for name in run.bucket.list("journal")]
        self._part = max((int(stem) for stem in stems if stem.isdecimal()), default=0) + 1
        """Number of the part of the journal that is written now."""
        self._part_start = _size(run.journal)
        """Where that part starts in the journal, in bytes."""
        self._uploaded = self._part_start
        """How many bytes of the journal are in the bucket."""

    @override
    def run(self) -> None:
        while not self._stop_requested.wait(POLL_SECONDS):
            try:
                self._sync()
            except StorageError as error:
                self._bucket_run.abort_reason = str(error)
                return
            except Exception as error:  # of the local copy: its disk is full, or it was deleted
                self._bucket_run.abort_reason = f"{self._bucket_run.path}: {error}"
                return

    def finish(self) -> None:
        """End the thread and upload what it has not uploaded yet."""
        self._stop_requested.set()
        self.join()
        if not self._bucket_run.abort_reason:
            self._upload_journal()

    def _sync(self) -> None:
        silence = time.monotonic() - self._last_heartbeat
        if silence > HEARTBEAT_SECONDS:
            if silence > LEASE_SECONDS:
                self._check_lock()
            self._bucket_run.write_heartbeat()
            self._last_heartbeat = time.monotonic()
            self._download_requests()
        self._upload_journal()

    def _check_lock(self) -> None:
        """Raises StorageError if another process took the lock while this one did not write it."""
        for name in self._bucket_run.bucket.list("lock"):
            if name != self._bucket_run.lock_name:
                other = name.rpartition("/")[2]
                cause = "while this process could not reach it"
                raise StorageError(f"{self._bucket_run} was taken over by {other} {cause}")

    def _download_requests(self) -> None:
        for name in self._bucket_run.bucket.list("control"):
            write_whole(self._bucket_run.path / name, "")
            self._bucket_run.bucket.delete(name)

    def _upload_journal(self) -> None:
        """Upload the current part of the journal if it has new whole lines."""
        journal = self._bucket_run.journal
        if _size(journal) <= self._uploaded:
            return
        with journal.open("rb") as file:
            file.seek(self._part_start)
            content = file.read()
        content = content[: content.rfind(b"\n") + 1]
        if self._part_start + len(content) <= self._uploaded:
            return
        self._bucket_run.bucket.write(f"journal/{self._part:06d}.jsonl", content)
        self._uploaded = self._part_start + len(content)
        if len(content) > JOURNAL_PART_BYTES:
            self._part += 1
            self._part_start = self._uploaded


def _size(path: Path) -> int:
    """Bytes of a file; 0 if it does not exist."""
    if not path.exists():
        return 0
    return path.stat().st_size


def _size_and_time(path: Path) -> tuple[int, float] | None:
    """Bytes of a file and when it was written; None if it does not exist."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size, path.stat().st_mtime
    return None
