"""A command and all processes that it starts: how long it took, and how much memory they held."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

MARK = "BENCH_RUN"
"""An environment variable: whoever inherits it belongs to the run, even where it has become a
daemon."""
SAMPLE_SECONDS = 4.0
"""Adding up the pages of a dozen processes takes a tenth of a second of the processor: not much
more often."""


class Ran(NamedTuple):
    seconds: float
    peak_mb: float
    """The largest sum of proportional set sizes (shared pages are divided among those that share
    them)."""
    output: str


def run(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    good: Sequence[int] = (0,),
) -> Ran:
    """Raises RuntimeError, with what it said, where the command fails."""
    mark = uuid.uuid4().hex
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {}), MARK: mark},
    )
    peak = 0.0
    while True:
        try:
            output, _ = process.communicate(timeout=SAMPLE_SECONDS)
            break
        except subprocess.TimeoutExpired:
            peak = max(peak, sum(_proportional_mb(place) for place in _members(mark)))
    seconds = time.perf_counter() - started
    if process.returncode not in good:
        raise RuntimeError(
            f"{' '.join(command)} ended with {process.returncode}:\n{output[-3000:]}"
        )
    return Ran(seconds, peak, output)


def _members(mark: str) -> list[Path]:
    found, said = [], f"{MARK}={mark}".encode()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            if said in (place / "environ").read_bytes().split(b"\0"):
                found.append(place)
    return found


def _proportional_mb(place: Path) -> float:
    with contextlib.suppress(OSError):
        for line in (place / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
