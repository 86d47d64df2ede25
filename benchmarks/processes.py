"""Wall time and memory of a command and of all processes that it starts."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

RUN_VARIABLE = "BENCH_RUN"
"""Environment variable with an identifier of the run. All processes of the run inherit it, also
those that have become daemons."""
SAMPLE_SECONDS = 4.0
"""Interval between two measurements of the memory. One takes about 0.1 s of processor time for a
dozen processes, so the interval should not be much shorter."""


class Measurement(NamedTuple):
    """Result of a command."""

    seconds: float
    """Wall time."""
    peak_mb: float
    """Largest sum of the proportional set sizes of all processes, in MiB. A shared page is divided
    among the processes that share it."""


def run(command: Sequence[str], environment: Mapping[str, str]) -> Measurement:
    """Run a command with additional environment variables.

    Raises RuntimeError with the end of its output if the command fails.
    """
    run_id = uuid.uuid4().hex
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment, RUN_VARIABLE: run_id},
    )
    peak_mb = 0.0
    while True:
        try:
            output, _ = process.communicate(timeout=SAMPLE_SECONDS)
            break
        except subprocess.TimeoutExpired:
            peak_mb = max(peak_mb, _memory_mb(run_id))
    seconds = time.perf_counter() - started
    if process.returncode != 0:
        raise RuntimeError(
            f"{' '.join(command)} exited with code {process.returncode}:\n{output[-3000:]}"
        )
    return Measurement(seconds, peak_mb)


def _memory_mb(run_id: str) -> float:
    """Return the memory of all processes of a run."""
    return sum(_proportional_set_mb(process) for process in _processes_of(run_id))


def _processes_of(run_id: str) -> list[Path]:
    """Return the folders in /proc of the processes of a run."""
    variable = f"{RUN_VARIABLE}={run_id}".encode()
    processes: list[Path] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process may have ended
            if variable in (process / "environ").read_bytes().split(b"\0"):
                processes.append(process)
    return processes


def _proportional_set_mb(process: Path) -> float:
    with contextlib.suppress(OSError):  # the process may have ended
        for line in (process / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
