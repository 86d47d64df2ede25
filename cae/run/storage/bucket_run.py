"""A run in a bucket: its local copy, who may run it, and what is carried while it runs."""

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

from cae.errors import RunError
from cae.files import write_whole
from cae.run.paths import RunDir
from cae.run.storage.process import kernel, runs
from cae.run.storage.store import FIRST_PATIENCE_S, PATIENCE_S, Bucket, StorageError, below

BEAT_S, LEASE_S = 5.0, 30.0
"""A process that runs a sweep says so every BEAT_S; one that has not for LEASE_S is dead. Ages are told by the store's own clock."""
POLL_S = 0.5
PIECE_BYTES = 256_000
"""A piece of the journal is written anew with each event until it is so large: a few milliseconds' worth."""
AT_ONCE = 16
"""Objects fetched at a time."""


class BucketRun(RunDir):
    """A run in a bucket. Its `path` is a local copy, brought up to date when it is built, or when its lock is taken: then it is
    another one, of the process that runs the sweep alone. Whoever reads the run on the same machine must not replace its journal."""

    def __init__(self, url: str) -> None:
        self.bucket = Bucket(url, FIRST_PATIENCE_S)
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        name = self.bucket.root.rpartition("/")[2]
        self.copies = (
            cache / "cae-sweep" / "runs" / hashlib.sha256(self.bucket.url.encode()).hexdigest()[:12]
        )
        super().__init__(self.copies / "read" / name)
        self.refresh()

    def __str__(self) -> str:
        return urlunsplit(urlsplit(self.bucket.url)._replace(query=""))

    def location(self, number: int | None = None) -> str:
        return self.bucket.url if number is None else below(self.bucket.url, f"trials/{number:04d}")

    def in_use(self) -> bool:
        """Whether a process has run this sweep within the last LEASE_S, by this host's clock."""
        return any(
            time.time() - written < LEASE_S for _, written in self.bucket.list("lock").values()
        )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        super().__init__(self.copies / "run" / self.path.name)
        with super().lock():
            self._take()
            self.bucket.patience_s = PATIENCE_S
            carrier = None
            try:
                self.refresh()
                carrier = Carrier(self)
                carrier.start()
                yield
            finally:
                if carrier:
                    carrier.finish()
                self.bucket.delete(f"lock/{self.owner}")

    def clear_requests(self) -> None:
        super().clear_requests()
        for name in self.bucket.list("control"):
            self.bucket.delete(name)

    def refresh(self) -> None:
        """sweep.json and the journal as the bucket has them."""
        self.path.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            write_whole(self.sweep_json, self.bucket.read(self.sweep_json.name))
        pieces = self.bucket.list("journal")
        stale = [
            name for name, said in pieces.items() if _stat(self.path / ".pieces" / name) != said
        ]
        whole = sum(size for size, _ in pieces.values())
        if not stale and (self.journal.stat().st_size if self.journal.exists() else 0) == whole:
            return
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda name: self._bring(name, pieces[name][1], ".pieces"), stale))
        write_whole(
            self.journal,
            b"".join((self.path / ".pieces" / name).read_bytes() for name in sorted(pieces)),
        )

    def fetch(self, *names: str, number: int | None = None) -> None:
        found = self.bucket.list("trials" if number is None else f"trials/{number:04d}")
        wanted = [name for name in found if name.rpartition("/")[2] in names]
        stale = [name for name in wanted if _stat(self.path / name) != found[name]]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda name: self._bring(name, found[name][1]), stale))

    def publish(self, *paths: Path) -> None:
        for path in paths:
            if path.exists():
                self.bucket.write(path.name, path.read_bytes())

    def request(self, name: str) -> None:
        self.bucket.write(f"control/{name}", b"")

    def delete_trial_files(self, number: int, *names: str) -> None:
        super().delete_trial_files(number, *names)
        for name in names:
            self.bucket.delete(f"trials/{number:04d}/{name}")

    def delete_trial(self, number: int) -> None:
        super().delete_trial(number)
        for name in self.bucket.list(f"trials/{number:04d}"):
            self.bucket.delete(name)

    def _take(self) -> None:
        """Every contender writes its own object and then looks who else is there: of two, at least one sees the other."""
        ours, before = f"lock/{self.owner}", dict[str, float]()
        while True:
            self.sign()
            found = {name: written for name, (_, written) in self.bucket.list("lock").items()}
            now = found.pop(ours, time.time())
            for name in [
                name
                for name, written in found.items()
                if now - written > LEASE_S or self._died_here(name)
            ]:
                self.bucket.delete(name)
                del found[name]
            if not found:
                return
            other = next(iter(found)).rpartition("/")[2]
            if any(
                written > before.get(name, now) for name, written in found.items()
            ):  # it has given a sign of life meanwhile
                self.bucket.delete(ours)
                raise RunError(
                    f"{self} is in use by {other}: stop it with `cae-sweep stop '{self.bucket.url}'`, or choose another --out"
                )
            if not before:
                print(
                    f"{self} was in use by {other} a moment ago: waiting to see whether it still is",
                    file=sys.stderr,
                )
            before = found
            time.sleep(BEAT_S + 1)

    def sign(self) -> None:
        """A sign of life of the process that runs the sweep."""
        self.bucket.write(f"lock/{self.owner}", f"{kernel()} {os.getpid()}".encode())

    def _died_here(self, name: str) -> bool:
        """Whether it was of this machine, and is no more: then nobody has to wait."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            machine, pid = self.bucket.read(name).decode().split(" ")
            return machine == kernel() and not runs(int(pid))
        return False

    def _bring(self, name: str, written: float, folder: str = "") -> None:
        target = self.path / folder / name
        write_whole(target, self.bucket.read(name))
        os.utime(target, (written, written))


def _stat(path: Path) -> tuple[int, float] | None:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size, path.stat().st_mtime
    return None


class Carrier(threading.Thread):
    """Beside a running sweep: says that it lives, carries what is new in its journal to the bucket, and requests from there."""

    def __init__(self, run: BucketRun) -> None:
        super().__init__(daemon=True, name="carrier")
        self.owned, self.stopped, self.beaten = run, threading.Event(), time.monotonic()
        taken = [
            int(Path(name).stem)
            for name in run.bucket.list("journal")
            if Path(name).stem.isdecimal()
        ]
        self.piece = max(taken, default=0) + 1
        self.begins = self.carried = _length(run.journal)

    def run(self) -> None:
        while not self.stopped.wait(POLL_S):
            try:
                self.tick()
            except StorageError as error:
                self.owned.abort_reason = str(error)
                return

    def tick(self) -> None:
        bucket = self.owned.bucket
        if (silent := time.monotonic() - self.beaten) > BEAT_S:
            others = (
                [name for name in bucket.list("lock") if name != f"lock/{self.owned.owner}"]
                if silent > LEASE_S
                else []
            )
            if others:
                raise StorageError(
                    f"{self.owned} was taken over by {others[0].rpartition('/')[2]} while this process was cut off from it"
                )
            self.owned.sign()
            self.beaten = time.monotonic()
            for name in bucket.list("control"):
                write_whole(self.owned.path / name, "")
                bucket.delete(name)
        self.carry()

    def carry(self) -> None:
        """Whole lines that are new, as the current piece of the journal with all that it holds already."""
        with (
            self.owned.journal.open("rb")
            if self.owned.journal.exists()
            else contextlib.nullcontext() as lines
        ):
            if lines is None or _length(self.owned.journal) <= self.carried:
                return
            lines.seek(self.begins)
            content = lines.read()
        content = content[: content.rfind(b"\n") + 1]
        if self.begins + len(content) <= self.carried:
            return
        self.owned.bucket.write(f"journal/{self.piece:06d}.jsonl", content)
        self.carried = self.begins + len(content)
        if len(content) > PIECE_BYTES:
            self.piece, self.begins = self.piece + 1, self.carried

    def finish(self) -> None:
        self.stopped.set()
        self.join()
        if not self.owned.abort_reason:
            self.carry()


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
