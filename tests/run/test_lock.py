"""The lock of a run's folder: one process at a time, until it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cae.errors import RunError
from cae.run.paths import RunDir
from cae.run.storage import StorageError, TrialDirectory

HOLDER = """
import sys, time
from cae.run.paths import RunDir
with RunDir(sys.argv[1]).lock():
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "run")


@pytest.fixture
def holder(run: RunDir) -> Iterator[subprocess.Popen[str]]:
    """Another process, which holds the lock."""
    command = [sys.executable, "-c", HOLDER, str(run.path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_until_the_first_one_is_killed(
    run: RunDir, holder: subprocess.Popen[str]
) -> None:
    assert run.in_use()
    message = rf"in use by process {holder.pid} on .*cae-sweep stop"
    with pytest.raises(RunError, match=message), run.lock():
        pass
    assert str(holder.pid) in run.lock_file.read_text(), "the owner's name was overwritten"
    holder.kill()
    holder.wait()
    assert not run.in_use()
    with run.lock():
        assert run.in_use()
        assert str(os.getpid()) in run.lock_file.read_text()
    assert not run.in_use()


def test_the_same_process_is_refused_too(run: RunDir) -> None:
    message = f"in use by process {os.getpid()}"
    with run.lock(), pytest.raises(RunError, match=message), run.lock():
        pass


def test_an_error_releases_the_lock(run: RunDir) -> None:
    with pytest.raises(ZeroDivisionError), run.lock():
        raise ZeroDivisionError
    assert not run.in_use()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_an_error_with_a_remedy(
    number: int, run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fail)
    message = rf"{run.lock_file} cannot be locked \({os.strerror(number)}\), .* choose an --out on"
    with pytest.raises(RunError, match=message), run.lock():
        pass
    assert not run.in_use()
    with pytest.raises(StorageError, match=r"trials/0001/log.txt cannot be locked"):
        TrialDirectory(run.location(1), "last.safetensors")


def test_a_run_without_a_lock_file_is_not_in_use(run: RunDir) -> None:
    assert not run.in_use()
    assert not run.path.exists()
