"""Files are written completely or not at all."""

from __future__ import annotations

import errno
import gc
import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from cae import files
from cae.files import SyncSchedule, pause_garbage_collection, write_whole


def test_a_file_is_replaced_and_no_temporary_file_is_left(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "trials.csv"
    write_whole(path, "old")
    write_whole(path, "néw\n")
    assert path.read_bytes() == "néw\n".encode()
    write_whole(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    write_whole(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(path, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced and renamed, in order: the names of files without those of temporary ones."""
    calls: list[str] = []
    fsync = os.fsync
    replace = Path.replace

    def record_fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        kind = "folder" if path.is_dir() else "temporary" if path.name[0] == "." else "file"
        calls.append(f"sync {kind} {path.name.strip('.').partition('.')[0]}")
        fsync(descriptor)

    def record_replace(path: Path, target: Path) -> Path:
        calls.append(f"rename {target.stem}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)
    return calls


def test_the_content_is_on_the_disk_before_its_name(tmp_path: Path, calls: list[str]) -> None:
    write_whole(tmp_path / "new" / "sweep.json", "content")
    assert calls == [
        f"sync folder {tmp_path.name}",
        "sync temporary sweep",
        "rename sweep",
        "sync folder new",
    ]
    calls.clear()
    write_whole(tmp_path / "new" / "sweep.json", "content", durable=False)
    assert calls == ["rename sweep"]


def test_an_error_of_the_disk_while_syncing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "sweep.json", "old")

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        write_whole(tmp_path / "sweep.json", "new")
    assert (tmp_path / "sweep.json").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_system_that_cannot_sync_folders_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def fail_for_folders(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    write_whole(tmp_path / "folder" / "sweep.json", "content")
    assert (tmp_path / "folder" / "sweep.json").read_text() == "content"


def test_threads_that_write_the_same_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "report.html"

    def write(number: int) -> None:
        for _ in range(20):
            write_whole(path, str(number) * 20_000, durable=False)

    with ThreadPoolExecutor(4) as pool:
        for result in [pool.submit(write, number) for number in range(4)]:
            result.result()
    assert len(set(path.read_text())) == 1
    assert list(tmp_path.iterdir()) == [path]


class Clock:
    """A clock that moves when a file is synced, and when a test moves it."""

    def __init__(self, sync_seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.syncs = 0
        self.sync_seconds = sync_seconds
        monkeypatch.setattr(os, "fsync", self.sync)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def sync(self, descriptor: int) -> None:
        del descriptor
        self.syncs += 1
        self.now += self.sync_seconds


@pytest.mark.parametrize(
    ("epoch_seconds", "sync_seconds", "max_share", "max_epochs_between"),
    [
        (0.1, 0.004, 0.025, 10),  # short epochs on a quick disk
        (10.0, 0.004, 0.002, 1),  # long epochs: each is synced
        (0.1, 0.2, 0.2, 51),  # a slow disk: every five seconds
        (10.0, 0.2, 0.1, 1),
    ],
)
def test_syncing_costs_little_and_no_file_stays_unsynced(
    epoch_seconds: float,
    sync_seconds: float,
    max_share: float,
    max_epochs_between: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(sync_seconds, monkeypatch)
    schedule = SyncSchedule()
    epochs_between: list[int] = [0]
    for epoch in range(300):
        clock.now += epoch_seconds
        syncs_before = clock.syncs
        with schedule.writing():
            schedule.write(tmp_path / "last", b"%d" % epoch)
            schedule.write(tmp_path / "best", b"%d" % epoch)
        epochs_between[-1] += 1
        if clock.syncs > syncs_before:
            epochs_between.append(0)
    assert clock.syncs * sync_seconds <= max_share * (clock.now - 100)
    assert 1 <= max(epochs_between) <= max_epochs_between


def test_a_file_of_an_earlier_epoch_is_synced_with_the_next_group(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_SYNC_SHARE", 1e-9)
    schedule = SyncSchedule()
    with schedule.writing():
        schedule.write(tmp_path / "last", b"1")
    assert "sync temporary last" in calls
    with schedule.writing():  # soon after it
        schedule.write(tmp_path / "best", b"2")
    calls.clear()
    monkeypatch.setattr(files, "MAX_SYNC_SHARE", 1e9)
    with schedule.writing():
        schedule.write(tmp_path / "last", b"3")
    assert calls[:2] == ["sync temporary last", "rename last"]
    assert "sync file best" in calls
    assert calls[-1] == f"sync folder {tmp_path.name}"


def test_garbage_collection_is_paused_and_resumed() -> None:
    with pause_garbage_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), pause_garbage_collection():
        raise ZeroDivisionError
    assert gc.isenabled()
    gc.disable()
    try:
        with pause_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("system", ["linux", "macos"])
def test_space_is_reserved_or_refused(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if system == "macos":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    path = tmp_path / "file"
    with path.open("wb") as file:
        files.reserve_space(file.fileno(), 10_000)
        assert path.stat().st_size == 10_000
        free = SimpleNamespace(f_bavail=5, f_frsize=4096)
        monkeypatch.setattr(os, "fstatvfs", lambda _: free)
        with pytest.raises(OSError, match="No space left"):
            files.reserve_space(file.fileno(), 20_481)
        assert path.stat().st_size == 10_000
        files.reserve_space(file.fileno(), 20_480)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve space")
def test_a_disk_that_fills_up_meanwhile_is_not_kept_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(file: int, offset: int, nbytes: int) -> None:
        os.ftruncate(file, offset + nbytes // 2)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fill)
    path = tmp_path / "file"
    with path.open("wb") as file:
        with pytest.raises(OSError, match="No space left"):
            files.reserve_space(file.fileno(), 10_000)
        assert path.stat().st_size == 0
