"""Seconds from a command to what it is given for, and what they are spent on.

    python -m benchmarks.start                    # results/start.csv

The quickstart's first finished epoch, by the times in its journal; imports by themselves; commands
that only read a run.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Row, interleaved, save, show, spread
from cae.run.paths import RunDir

CAE = [sys.executable, "-m", "cae"]
SWEEP = str(Path(__file__).parents[1] / "sweeps" / "quickstart.py")
HEAVY = ("torch", "ray", "pandas", "plotly", "sklearn", "scipy")


def timed(command: list[str]) -> Callable[[], float]:
    def run() -> float:
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - started

    return run


def first_epoch(folder: Path) -> tuple[dict[str, float], RunDir]:
    """Runs the quickstart; when each part of its start had ended, in seconds after the command was
    given."""
    run = RunDir(folder / "run")
    started = time.time()
    subprocess.run(
        [*CAE, "run", SWEEP, "--out", str(run.path), "--quiet"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ended, found = time.time(), dict[str, float]()
    for event in run.events():
        found.setdefault(event.kind, event.time)
        if event.kind == "close":
            found["close"] = event.time
    names = {
        "session": "planned, and Ray is there",
        "start": "a worker is there",
        "epoch": "first epoch finished",
        "close": "all trained",
    }
    return {said: found[kind] - started for kind, said in names.items()} | {
        "page built": ended - started
    }, run


def imported(command: list[str]) -> str:
    """Which of the heavy libraries a command imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command[1:]],
        capture_output=True,
        text=True,
        check=True,
    )
    names = set(re.findall(r"\|\s+(\w+)$", done.stderr, re.MULTILINE))
    return " ".join(sorted(names.intersection(HEAVY))) or "none"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun = [
            first_epoch(Path(folder) / str(turn)) for turn in range(max(1, options.rounds // 2))
        ]
        run = str(begun[0][1].path)
        commands = {
            "python": [sys.executable, "-c", ""],
            "import torch": [sys.executable, "-c", "import torch"],
            "import ray.tune": [sys.executable, "-c", "import ray.tune"],
            "cae-sweep --help": [*CAE, "--help"],
            "cae-sweep status": [*CAE, "status", run],
            "cae-sweep best --quiet": [*CAE, "best", run, "--quiet"],
            "cae-sweep plan": [*CAE, "plan", SWEEP],
        }
        found = interleaved(
            {name: timed(command) for name, command in commands.items()}, options.rounds
        )
        rows: list[Row] = []
        for part in begun[0][0]:
            values = [parts[part] for parts, _ in begun]
            rows.append(
                {
                    "what": f"quickstart: {part}",
                    "seconds": statistics.median(values),
                    "rounds": spread(values),
                }
            )
        for name, command in commands.items():
            heavy = imported(command) if command[:3] == CAE else ""
            rows.append(
                {
                    "what": name,
                    "seconds": statistics.median(found[name]),
                    "rounds": spread(found[name]),
                    "imports": heavy,
                }
            )
    show("from the command", rows)
    print(
        save(
            "start",
            rows,
            "quickstart: seconds from the command to the end of each part; "
            "imports: torch, ray, pandas, ...",
        )
    )


if __name__ == "__main__":
    main()
