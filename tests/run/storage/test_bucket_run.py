"""Runs in a bucket: the lock, the journal in parts, and what survives failures.

The S3 server is real, in this process.
"""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cae.errors import RunError
from cae.run.events import TrialPlanned
from cae.run.journal import Journal
from cae.run.paths import RunDir
from cae.run.status import run_status
from cae.run.storage import BucketRun, bucket_run, locate_run, run_at
from tests.faults.driver import wait_until
from tests.run.storage.s3_server import S3Server

DIES_WITH_THE_LOCK = """
import os, sys
from cae.run.storage import run_at
with run_at(sys.argv[1]).lock():
    os._exit(1)
"""


@pytest.fixture
def run(url: str) -> BucketRun:
    """A run in the bucket that has only a sweep.json."""
    run = run_at(url)
    assert isinstance(run, BucketRun)
    sweep = {"sweep": "small", "title": "t", "metric": "val_loss", "mode": "min"}
    run.sweep_json.write_text(json.dumps(sweep))
    run.publish(run.sweep_json)
    return run


def planned(number: int) -> TrialPlanned:
    return TrialPlanned(trial=number, hash=f"{number:x}", config={"epochs": 2}, axes={}, sizes={})


def write(run: RunDir, count: int) -> None:
    journal = Journal(run.journal)
    for number in range(1, count + 1):
        journal.append(planned(number))
    journal.close()


def run_on_another_host(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunDir:
    """The run as a host without a local copy sees it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another host"))
    return run_at(url)


def test_a_journal_in_parts_is_read_as_one(
    run: BucketRun, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bucket_run, "JOURNAL_PART_BYTES", 300)
    monkeypatch.setattr(bucket_run, "POLL_SECONDS", 0.01)
    for _ in range(2):
        with run.lock():
            for _ in range(20):
                write(run, 1)
                time.sleep(0.01)
            with run.journal.open("ab") as journal:
                journal.write(b'{"event":"tr')
    content = run.journal.read_bytes()
    assert len(run.bucket.list("journal")) > 3
    copy = run_on_another_host(url, monkeypatch, tmp_path)
    assert list(copy.events()) == list(run.events())
    assert len(list(copy.events())) == 40
    assert content.startswith(copy.journal.read_bytes()[:1000])


def test_reading_a_run_does_not_replace_the_journal_of_the_process_that_runs_it(
    run: BucketRun, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_run, "POLL_SECONDS", 0.01)
    with run.lock():
        journal = Journal(run.journal)
        for number in range(1, 20):
            journal.append(planned(number))
            time.sleep(0.02)
            assert len(run_at(url).records()) <= number
        journal.close()
    assert len(run.records()) == len(run_at(url).records()) == 19


class StoreClock:
    """The clocks of a store and of this host, which differ; waiting moves both."""

    def __init__(self, difference: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1e9
        self.difference = difference
        self.waits = 0
        self.on_wait: Callable[[], None] = lambda: None
        monkeypatch.setattr(bucket_run, "time", self)

    def time(self) -> float:
        return self.now + self.difference

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits += 1
        self.now += seconds
        self.on_wait()


@pytest.mark.parametrize("difference", [-600.0, -40.0, 0.0, 40.0, 600.0])
def test_a_clock_that_differs_from_the_stores_does_not_matter(
    difference: float, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = BucketRun(url)
    clock = StoreClock(difference, monkeypatch)
    locks: dict[str, tuple[int, float]] = {"lock/other": (1, clock.now - 4)}
    monkeypatch.setattr(run.bucket, "list", lambda _: dict(locks))

    def write_heartbeat() -> None:
        locks["lock/other"] = (1, clock.now)

    clock.on_wait = write_heartbeat
    assert run.in_use()
    clock.on_wait = lambda: None  # now the process dies
    clock.now += 2 * bucket_run.LEASE_SECONDS
    assert not run.in_use()
    waits = clock.waits
    assert not run.in_use()
    assert clock.waits == waits, "it waits only once for a process that is dead"


def test_a_run_that_ended_long_ago_is_not_waited_for(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = BucketRun(url)
    clock = StoreClock(0, monkeypatch)
    monkeypatch.setattr(run.bucket, "list", lambda _: {"lock/other": (1, clock.now - 4000)})
    assert not run.in_use()
    assert clock.waits == 0


def test_an_error_of_the_local_copy_ends_the_sweep_with_its_reason(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = BucketRun(url)
    with run.lock():
        monkeypatch.setattr(bucket_run, "_size", fail_because_the_disk_is_full)
        wait_until(lambda: bool(run.abort_reason), "the error is reported")
    assert "No space left on device" in run.abort_reason


def fail_because_the_disk_is_full(_: Path) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_one_process_holds_the_lock_until_its_heartbeats_end(
    run: BucketRun, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_run, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(bucket_run, "LEASE_SECONDS", 3.0)
    second = BucketRun(url)
    second.copies = second.copies.with_name("of another host")
    with run.lock():
        assert run_status(second).is_running
        with pytest.raises(RunError, match="is in use by"), second.lock():
            pass
        with pytest.raises(RunError, match=f"is in use by {run.owner}: .*{re.escape(url)}"):
            second.check_unused()
    with second.lock():
        pass
    second.bucket.write("lock/elsewhere-1", b"another-machine 1")  # its process is dead
    started = time.monotonic()
    with second.lock():
        assert time.monotonic() - started > 1
        assert list(second.bucket.list("lock")) == [second.lock_name]


def test_the_lock_of_a_dead_process_of_this_machine_is_taken_immediately(
    run: BucketRun, url: str
) -> None:
    subprocess.run([sys.executable, "-c", DIES_WITH_THE_LOCK, url], check=False)
    assert run.bucket.list("lock")
    started = time.monotonic()
    with run.lock():
        assert time.monotonic() - started < 5


def test_a_process_that_lost_its_lock_uploads_no_more(
    run: BucketRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_run, "HEARTBEAT_SECONDS", 0.1)
    with run.lock():
        run.bucket.write("lock/elsewhere-2", b"another-machine 2")
        monkeypatch.setattr(bucket_run, "LEASE_SECONDS", 0.0)
        write(run, 3)
        deadline = time.monotonic() + 10
        while not run.abort_reason and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "was taken over by elsewhere-2" in run.abort_reason


def test_the_thread_of_a_run_ends_with_its_lock(run: BucketRun) -> None:
    def has_thread() -> bool:
        return any(isinstance(thread, bucket_run.BucketSync) for thread in threading.enumerate())

    with run.lock():
        assert has_thread()
    assert not has_thread()
    assert not run.bucket.list("lock")


def test_requests_reach_the_process_that_runs_the_sweep(
    run: BucketRun, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_run, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(bucket_run, "POLL_SECONDS", 0.01)
    with run.lock():
        run_at(url).request("kill-0007")
        deadline = time.monotonic() + 10
        while not run.kill_requests() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert run.kill_requests() == [7]
        run.request("stop")
        run.clear_requests()
        assert not run.bucket.list("control")


def test_files_of_trials_are_fetched_and_deleted(run: BucketRun, url: str) -> None:
    for number in (1, 2):
        for name in ("log.txt", "samples.npz"):
            run.bucket.write(f"trials/{number:04d}/{name}", b"content")
    run.fetch("log.txt", number=2)
    assert [path.name for path in run.trial(2).iterdir()] == ["log.txt"]
    assert not run.trial(1).exists()
    run.delete_trial_files(1, "log.txt", "absent.npz")
    run.delete_trial(2)
    assert list(run.bucket.list("trials")) == ["trials/0001/samples.npz"]
    assert not run.trial(2).exists()
    assert run.location(1).startswith(url.partition("?")[0] + "/trials/0001?")


def test_a_missing_bucket_is_not_a_run(server: S3Server) -> None:
    nowhere = f"s3://nowhere/run?endpoint_override={server.endpoint}&region=us-east-1"
    with pytest.raises(RunError, match="is not a run"):
        locate_run(nowhere, Path("runs"))
