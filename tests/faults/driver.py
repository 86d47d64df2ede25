"""A real `cae-sweep run` in a process of its own, and how tests end it and its workers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Self

from cae.run.events import EpochFinished
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState

COMMAND = Path(sys.executable).parent / "cae-sweep"
TIMEOUT_SECONDS = 300.0
"""For everything that has to happen: a shared machine may be slow."""


def wait_until(
    condition: Callable[[], bool], what: str, timeout_seconds: float = TIMEOUT_SECONDS
) -> None:
    """Wait for a condition. Raises TimeoutError, naming `what`, if it does not become true."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_seconds:.0f} s")
        time.sleep(0.05)


def journal_epochs(run: RunDir) -> list[tuple[int, int]]:
    """Trial and epoch of every epoch in the journal, including repeated ones."""
    return [
        (event.trial, event.epoch) for event in run.events() if isinstance(event, EpochFinished)
    ]


class Driver:
    """The process of `cae-sweep run SWEEP --out RUN` on the first `cores` CPU cores.

    Their number is also the number of slots. The output is appended to `log`, which
    is beside the run by default.
    """

    def __init__(
        self,
        sweep: Path,
        run: RunDir,
        *options: str,
        cores: int = 1,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.run = run
        self._log = log or run.path.parent / f"{run.name}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = 0
        if self._log.exists():
            self._log_start = self._log.stat().st_size
        # No token is written to the home folder of the developer.
        variables = os.environ | {"RAY_AUTH_MODE": "disabled"} | dict(environment or {})
        all_cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(all_cores)[:cores])  # the child inherits it
        try:
            with self._log.open("ab") as output:
                self.process = subprocess.Popen(
                    [COMMAND, "run", sweep, "--out", run.path, "--quiet", *options],
                    env=variables,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        finally:
            os.sched_setaffinity(0, all_cores)
        self._started_pids: set[int] = {self.process.pid}
        """The driver, its workers and what starts workers, as far as `watch` has seen them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.is_alive:
            self.kill()

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    @property
    def output(self) -> str:
        """What this command has printed."""
        return self._log.read_bytes()[self._log_start :].decode()

    def signal(self, number: int) -> None:
        """Send a signal to the driver alone."""
        self.process.send_signal(number)

    def wait(self, timeout_seconds: float = TIMEOUT_SECONDS) -> int:
        """Wait until the driver and all workers have ended; returns the exit code."""
        self.watch()
        deadline = time.monotonic() + timeout_seconds
        while self.is_alive and time.monotonic() < deadline:
            self.watch()
            time.sleep(0.2)
        code = self.process.wait(max(deadline - time.monotonic(), 0.1))
        wait_until(lambda: not alive_pids(self._started_pids), "the workers end")
        return code

    def watch(self) -> None:
        """Note the workers: after the driver's death they can no longer be told from others."""
        for pid in descendants(self.process.pid):
            if is_worker(pid):
                self._started_pids.add(pid)

    def kill(self) -> None:
        """Send SIGKILL to the driver alone, and wait until Ray's processes have noticed."""
        self.watch()
        self.signal(signal.SIGKILL)
        self.wait()

    def ray_process(self, name: str) -> int:
        """The process id of a process of Ray: `raylet`, `gcs_server`."""

        def pids() -> list[int]:
            return [pid for pid in descendants(self.process.pid) if name in executable(pid)]

        wait_until(lambda: bool(pids()), name)
        return pids()[0]

    def wait_for_epochs(self, count: int) -> None:
        """Wait until the journal has `count` more epochs than now, or the driver has ended."""
        target = len(journal_epochs(self.run)) + count
        wait_until(
            lambda: not self.is_alive or len(journal_epochs(self.run)) >= target,
            f"{count} more epochs",
        )

    def worker_pids(self) -> dict[int, int]:
        """The living workers of trials that have finished an epoch since their start, by trial."""
        pids: dict[int, int] = {}
        for number, record in self.run.records().items():
            if record.state != TrialState.RUNNING:
                continue
            pid = record.starts[-1].worker
            if pid is not None and alive_pids([pid]):
                pids[number] = pid
        return pids


def kill_process(pid: int) -> bool:
    """Send SIGKILL and wait until the process is dead. Returns whether it was alive."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    wait_until(lambda: not alive_pids([pid]), f"process {pid} ends")
    return True


def process_status(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, ...; [] without a process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def alive_pids(pids: Iterable[int]) -> list[int]:
    """The processes that exist and are not zombies."""
    alive: list[int] = []
    for pid in pids:
        status = process_status(pid)
        if status and status[0] not in "ZX":
            alive.append(pid)
    return alive


def command_line(pid: int) -> list[str]:
    """The arguments of a process; [""] without a process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return [""]


def executable(pid: int) -> str:
    """The name of a process's executable."""
    return command_line(pid)[0].rpartition("/")[2]


def is_worker(pid: int) -> bool:
    """Whether a process is a worker of Ray, becomes one or starts them.

    Ray's agents are not: they take their time to end.
    """
    name = executable(pid)
    if name == "raylet":
        return True
    if name.startswith("ray::"):
        return not name.endswith("Agent")
    return any(argument.endswith("default_worker.py") for argument in command_line(pid))


def descendants(pid: int) -> list[int]:
    """All processes that a process started, directly or indirectly."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            status = process_status(int(path.name))
            if status:
                children.setdefault(int(status[1]), []).append(int(path.name))
    pids: list[int] = []
    waiting = [pid]
    while waiting:
        started = children.get(waiting.pop(), [])
        pids += started
        waiting += started
    return pids
