"""Seconds from a command to its first result, and which parts of the start take them.

    python -m benchmarks.start                    # results/start.csv

Measured are the parts of the quickstart's start, by the times in its journal; imports alone; and
commands that only read a run.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Row, interleaved, save, show, spread
from cae.run.events import EpochFinished, Event, SessionEnded, SessionStarted, TrialStarted
from cae.run.paths import RunDir

CAE = [sys.executable, "-m", "cae"]
SWEEP = str(Path(__file__).parents[1] / "sweeps" / "quickstart.py")
SLOW_IMPORTS = ("torch", "ray", "pandas", "plotly", "sklearn", "scipy")
RAY_STARTED = "planned, Ray started"
WORKER_STARTED = "first worker started"


@dataclass(frozen=True)
class Quickstart:
    """A finished run of the quickstart."""

    run: RunDir
    seconds: dict[str, float]
    """Seconds from the command to the end of each part."""


def run_quietly(command: Sequence[str]) -> None:
    """Run a command without its output. Raises CalledProcessError if it fails."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def timed(command: Sequence[str]) -> Callable[[], float]:
    """Return a contender that runs a command and returns its seconds."""

    def run() -> float:
        started = time.perf_counter()
        run_quietly(command)
        return time.perf_counter() - started

    return run


def run_quickstart(folder: Path) -> Quickstart:
    """Run the quickstart, and read from its journal when each part ended."""
    run = RunDir(folder / "run")
    started = time.time()
    run_quietly([*CAE, "run", SWEEP, "--out", str(run.path), "--quiet"])
    ended = time.time()
    first: dict[type[Event], float] = {}
    last: dict[type[Event], float] = {}
    for event in run.events():
        first.setdefault(type(event), event.time)
        last[type(event)] = event.time
    seconds = {
        RAY_STARTED: first[SessionStarted] - started,
        WORKER_STARTED: first[TrialStarted] - started,
        "first epoch finished": first[EpochFinished] - started,
        "all trials trained": last[SessionEnded] - started,
        "page built": ended - started,
    }
    return Quickstart(run, seconds)


def slow_imports(command: Sequence[str]) -> str:
    """Return the names of the SLOW_IMPORTS that a Python command imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command[1:]],
        capture_output=True,
        text=True,
        check=True,
    )
    names = set(re.findall(r"\|\s+(\w+)$", done.stderr, re.MULTILINE))
    return " ".join(sorted(names.intersection(SLOW_IMPORTS))) or "none"


def quickstart_rows(quickstarts: Sequence[Quickstart]) -> list[Row]:
    """Return one row of the results per part of the quickstart."""
    rows: list[Row] = []
    for part in quickstarts[0].seconds:
        values = [quickstart.seconds[part] for quickstart in quickstarts]
        rows.append(
            {
                "what": f"quickstart: {part}",
                "seconds": statistics.median(values),
                "rounds": spread(values),
            }
        )
    return rows


def command_rows(run: RunDir, rounds: int) -> list[Row]:
    """Measure imports and commands that read a run; return one row of the results for each."""
    commands = {
        "python": [sys.executable, "-c", ""],
        "import torch": [sys.executable, "-c", "import torch"],
        "import ray.tune": [sys.executable, "-c", "import ray.tune"],
        "cae-sweep --help": [*CAE, "--help"],
        "cae-sweep status": [*CAE, "status", str(run.path)],
        "cae-sweep best --quiet": [*CAE, "best", str(run.path), "--quiet"],
        "cae-sweep plan": [*CAE, "plan", SWEEP],
    }
    contenders = {name: timed(command) for name, command in commands.items()}
    seconds = interleaved(contenders, rounds)
    rows: list[Row] = []
    for name, command in commands.items():
        imports = ""
        if name.startswith("cae-sweep"):
            imports = slow_imports(command)
        rows.append(
            {
                "what": name,
                "seconds": statistics.median(seconds[name]),
                "rounds": spread(seconds[name]),
                "imports": imports,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=7,
        help="runs of each command; the quickstart runs half as often",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        quickstarts: list[Quickstart] = []
        for round_number in range(max(1, options.rounds // 2)):
            quickstarts.append(run_quickstart(Path(folder) / str(round_number)))
        rows = quickstart_rows(quickstarts) + command_rows(quickstarts[0].run, options.rounds)
    show("seconds from the command", rows)
    note = (
        "quickstart: seconds from the command to the end of each part; "
        f"imports: {', '.join(SLOW_IMPORTS)}"
    )
    print(save("start", rows, note))


if __name__ == "__main__":
    main()
