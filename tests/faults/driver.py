"""A real `cae-sweep run` in a process of its own, and the ways to end it and what it has started."""

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

COMMAND = Path(sys.executable).parent / "cae-sweep"
PATIENCE_S = 300.0
"""How long anything may take that has to come; a shared machine may be slow."""


def until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {patience_s:.0f} s")
        time.sleep(0.05)


def epochs(run: RunDir) -> list[tuple[int, int]]:
    """Every (trial, epoch) of the journal as it stands there, repetitions included."""
    return [
        (event.trial, event.epoch) for event in run.events() if isinstance(event, EpochFinished)
    ]


class Driver:
    """`cae-sweep run SWEEP --out RUN` on the first `cores` of this machine, which are its slots too."""

    def __init__(
        self,
        sweep: Path,
        run: RunDir,
        *options: str,
        cores: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.run = run
        run.path.parent.mkdir(parents=True, exist_ok=True)
        self.log = run.path.parent / f"{run.name}.log"
        self.said_before = self.log.stat().st_size if self.log.exists() else 0
        all_cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(all_cores)[:cores])  # what it inherits
        try:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    [COMMAND, "run", sweep, "--out", run.path, "--quiet", *options],
                    env=os.environ
                    | {"RAY_AUTH_MODE": "disabled"}
                    | dict(environment or {}),  # no token in anybody's home folder
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        finally:
            os.sched_setaffinity(0, all_cores)
        self.known: set[int] = {self.process.pid}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.alive:
            self.kill()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """Its exit code, once it and all that could write to the run's folder are gone."""
        self.watch()
        end = time.monotonic() + patience_s
        while self.alive and time.monotonic() < end:
            self.watch()
            time.sleep(0.2)
        code = self.process.wait(max(end - time.monotonic(), 0.1))
        until(lambda: not living(self.known), "its workers end")
        return code

    def watch(self) -> None:
        """Notes the workers that it has started, and who starts them: once it is dead, nothing tells them from others."""
        self.known |= {pid for pid in descendants(self.process.pid) if trains(pid)}

    def kill(self) -> None:
        """SIGKILL to the driver alone; Ray's own processes have to notice."""
        self.watch()
        self.signal(signal.SIGKILL)
        self.wait()

    def child(self, name: str) -> int:
        """The process of Ray that is called so: `raylet`, `gcs_server`."""
        until(lambda: any(name in executable(pid) for pid in descendants(self.process.pid)), name)
        return next(pid for pid in descendants(self.process.pid) if name in executable(pid))

    def came_to(self, count: int) -> None:
        """Waits until the journal holds so many epochs more than now."""
        before = len(epochs(self.run))
        until(
            lambda: not self.alive or len(epochs(self.run)) >= before + count,
            f"{count} epochs more",
        )

    def workers(self) -> dict[int, int]:
        """The processes that train now, by their trials; of those that have finished an epoch since they began it."""
        last = {
            number: record.starts[-1]
            for number, record in self.run.records().items()
            if record.state == "running"
        }
        return {
            number: start.worker
            for number, start in last.items()
            if "worker" in start and living([start.worker])
        }


def kill(pid: int) -> bool:
    """SIGKILL, and waits until it is dead; whether it was alive."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    until(lambda: not living([pid]), f"process {pid} ends")
    return True


def status(pid: int) -> list[str]:
    """Of /proc/PID/stat, what comes after the name: state, parent, ...; [] where there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def living(pids: Iterable[int]) -> list[int]:
    return [pid for pid in pids if (found := status(pid)) and found[0] not in "ZX"]


def words(pid: int) -> list[str]:
    """Of a process's command line."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return [""]


def executable(pid: int) -> str:
    return words(pid)[0].rpartition("/")[2]


def trains(pid: int) -> bool:
    """Whether a process of Ray is a worker, will be one, or starts them; the others (its agents) take their time to end."""
    name = executable(pid)
    worker = name.startswith("ray::") and not name.endswith("Agent")
    return (
        worker or name == "raylet" or any(word.endswith("default_worker.py") for word in words(pid))
    )


def descendants(pid: int) -> list[int]:
    """All processes below this one."""
    parents = {
        int(path.name): status(int(path.name))
        for path in Path("/proc").iterdir()
        if path.name.isdecimal()
    }
    found, layer = [], [pid]
    while layer := [child for child, said in parents.items() if said and int(said[1]) in layer]:
        found += layer
    return found
