"""The same 24 small trials (a denoiser of MNIST, 6,000 images, 2 epochs) by cae-sweep and by
others, each as its documentation writes it.

    CAE_DATA=DIR python -m benchmarks.sweep              # results/sweep.csv; DIR holds MNIST/raw
    CAE_DATA=DIR python -m benchmarks.sweep --rounds 1 --only cae-sweep ideal

ideal             as many bare processes as slots, the trials back to back cae-sweep
cae-sweep run: with checkpoints, journal, samples, test metrics, tables and the page ray tutorial
Ray Tune as PyTorch's tutorial writes it: DataLoaders, a new worker and a new data set for each
trial optuna, hydra, syne tune     runners of the ideal's own training function: what they cost is
theirs alone

Two trials at a time, each on one thread. The whole command is timed, from its start to its end.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import processes
from benchmarks.measure import Row, interleaved, save, show, spread
from benchmarks.peers.trials import SLOTS, TRIALS
from cae.run.paths import RunDir

NEEDS = {"optuna": "optuna", "hydra joblib": "hydra", "syne tune": "syne_tune"}
PEERS = {
    "ideal": "ideal",
    "ray tutorial": "ray_tutorial",
    "optuna": "optuna_processes",
    "hydra joblib": "hydra_joblib",
    "syne tune": "syne_tune_local",
}
START_SECONDS = 20
EVERYWHERE = {
    "OMP_NUM_THREADS": "1",
    "RAY_ADDRESS": "local",
    "PYTHONPATH": str(Path(__file__).parents[1]),
}


class Contender:
    """One runner; a call is one run of all trials, and gives its seconds."""

    def __init__(self, command: list[str], steps: Callable[[Path], float]) -> None:
        self.command, self.steps = command, steps
        self.peak_mb: list[float] = []
        self.share: list[float] = []

    def __call__(self) -> float:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            ran = processes.run(
                [word.replace("PLACE", folder) for word in self.command],
                {
                    "BENCH_STEPS": str(place / "steps.jsonl"),
                    "SYNETUNE_FOLDER": folder,
                    **EVERYWHERE,
                },
            )
            self.peak_mb.append(ran.peak_mb)
            self.share.append(self.steps(place) / (SLOTS * ran.seconds))
        return ran.seconds


def _noted(place: Path) -> float:
    return sum(
        float(json.loads(line)["seconds"])
        for line in (place / "steps.jsonl").read_text().splitlines()
    )


def _journaled(place: Path) -> float:
    """Of our own run: images over images per second is the time of an epoch's steps."""
    records = RunDir(place / "run").records().values()
    ended = [record.state for record in records]
    if ended != ["finished"] * len(TRIALS):
        raise RuntimeError(f"trials ended as {ended}")
    return sum(
        float(record.config["dataset.train_images"]) / row["images_per_second"]
        for record in records
        for row in record.epochs.values()
    )


def contenders(only: list[str]) -> dict[str, Contender]:
    program = str(Path(sys.executable).parent / "cae-sweep")
    sweep = str(Path(__file__).parent / "peers" / "cae_sweep.py")
    found = {"cae-sweep": Contender([program, "run", sweep, "--out", "PLACE/run"], _journaled)}
    for name, module in PEERS.items():
        if name in NEEDS and not importlib.util.find_spec(NEEDS[name]):
            print(f"{name}: not installed (pip install '.[bench]'), left out")
            continue
        found[name] = Contender([sys.executable, "-m", f"benchmarks.peers.{module}"], _noted)
    return {name: found[name] for name in found if not only or name in only}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    options = parser.parse_args()
    runners = contenders(options.only)
    found = interleaved(runners, options.rounds)
    middle = {name: statistics.median(seconds) for name, seconds in found.items()}
    rows: list[Row] = []
    for name, runner in runners.items():
        row: Row = {
            "runner": name,
            "wall_s": middle[name],
            "rounds_s": spread(found[name]),
            "trials_per_minute": 60 * len(TRIALS) / middle[name],
        }
        if "cae-sweep" in middle:
            row["over_cae_sweep"] = middle[name] / middle["cae-sweep"]
        if "ideal" in middle:
            row["over_ideal"] = middle[name] / middle["ideal"]
            row["beyond_start_over_ideal"] = (middle[name] - START_SECONDS) / middle["ideal"]
        rows.append(
            row
            | {
                "share_in_steps": statistics.median(runner.share),
                "peak_mb": statistics.median(runner.peak_mb),
            }
        )
    show(f"{len(TRIALS)} trials, {SLOTS} at a time", rows)
    if not options.only:
        print(
            save(
                "sweep",
                rows,
                f"beyond_start_over_ideal: (wall - {START_SECONDS} s) / the ideal's wall",
            )
        )


if __name__ == "__main__":
    main()
