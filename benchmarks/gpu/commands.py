"""Commands of cae-sweep in processes of their own, on the GPU or, in a rehearsal, on a simulated
one.

    python -m benchmarks.gpu.commands ARGUMENTS      # cae-sweep with a simulated GPU
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.gpu.stage import Stage
from cae.__main__ import main
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.sweep.places import local
from cae.sweep.places.base import Resources

SIMULATED_CPUS = 2
POLL_SECONDS = 0.1
COMMAND_SECONDS = 60.0
"""A command that takes longer is ended, except in a rehearsal, on a machine that may be busy."""


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    output: str
    seconds: float


def start(
    stage: Stage, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start `cae-sweep ARGUMENTS` in the stage's folder."""
    module = "cae"
    if stage.is_rehearsal:
        module = "benchmarks.gpu.commands"
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=stage.folder,
        env=os.environ | {"RAY_AUTH_MODE": "disabled"} | dict(environment or {}),
        start_new_session=True,
    )


def finish(
    stage: Stage, process: subprocess.Popen[str], arguments: Sequence[str | Path] = ()
) -> Finished:
    """Wait for a command, and end it if it takes too long."""
    started = time.monotonic()
    try:
        seconds = max(1.0, stage.remaining)
        if not stage.is_rehearsal:
            seconds = min(COMMAND_SECONDS, seconds)
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    seconds = time.monotonic() - started
    stage.facts.setdefault("commands", []).append(
        {
            "arguments": [str(argument) for argument in arguments],
            "seconds": round(seconds, 1),
            "code": process.returncode,
            "output": output[-800:],
        }
    )
    stage.save()
    return Finished(process.returncode, output, seconds)


def run(
    stage: Stage, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> Finished:
    """Run `cae-sweep ARGUMENTS`."""
    return finish(stage, start(stage, *arguments, environment=environment), arguments)


def records_of(run_folder: Path) -> dict[str, Record]:
    """Return the records of a run by the value of their first axis, or by number."""
    records: dict[str, Record] = {}
    for record in RunDir(run_folder).records().values():
        key = next(iter(record.axes.values()), record.number)
        records[str(key)] = record
    return records


def wait_for(stage: Stage, condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition. Raises TimeoutError at the stage's deadline."""
    while not condition():
        if stage.remaining < 1:
            raise TimeoutError(f"{what}: not before the deadline")
        time.sleep(POLL_SECONDS)


def _simulated_resources(resources: Callable[[Any], Resources]) -> Callable[[Any], Resources]:
    def simulate(place: local.LocalPlace) -> Resources:
        found = resources(place)
        return replace(found, cpus=SIMULATED_CPUS, simulates_gpus=True)

    return simulate


def run_with_a_simulated_gpu() -> None:
    """Run cae-sweep as if this machine had one GPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    gpus = len([index for index in visible.split(",") if index])
    simulate = _simulated_resources(local.LocalPlace.resources)
    with (
        mock.patch.object(local, "count_gpus", return_value=gpus),
        mock.patch.object(local, "gpu_problem", return_value=""),
        mock.patch.object(local.LocalPlace, "resources", simulate),
    ):
        main()


if __name__ == "__main__":
    run_with_a_simulated_gpu()
