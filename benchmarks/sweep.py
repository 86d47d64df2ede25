"""Wall time of the same 24 small trials with cae-sweep and with other runners.

    CAE_DATA=DIR python -m benchmarks.sweep              # results/sweep.csv; DIR contains MNIST/raw
    CAE_DATA=DIR python -m benchmarks.sweep --rounds 1 --only cae-sweep ideal

A trial trains a denoiser on 6,000 images of MNIST for 2 epochs.

ideal         one bare process per slot; each trains its trials one after the other
cae-sweep     cae-sweep run, with checkpoints, journal, samples, test metrics, tables and the page
ray tutorial  Ray Tune as in PyTorch's tutorial: DataLoaders; a new worker and a new data set for
              each trial
optuna, hydra joblib, syne tune
              each as in its documentation, with the training function of `ideal`: the difference
              from `ideal` is the cost of the runner

Two trials run at a time, each on one thread. The whole command is timed, from its start to its end.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import processes
from benchmarks.measure import Row, interleaved, save, show, spread
from benchmarks.peers.trials import SLOTS, TRIALS
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState

PEERS = {
    "ideal": "ideal",
    "ray tutorial": "ray_tutorial",
    "optuna": "optuna_processes",
    "hydra joblib": "hydra_joblib",
    "syne tune": "syne_tune_local",
}
"""Modules in benchmarks/peers by the name of the runner."""
REQUIRED_PACKAGES = {"optuna": "optuna", "hydra joblib": "hydra", "syne tune": "syne_tune"}
"""Runners whose package may not be installed."""
START_SECONDS = 20
"""Allowance for the start of a runner in the column `beyond_start_over_ideal`."""
FOLDER = "FOLDER"
"""Replaced in a command by the folder of the run."""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "RAY_ADDRESS": "local",
    "PYTHONPATH": str(Path(__file__).parents[1]),
}


class Contender:
    """A runner. Each call runs all trials and returns the wall time in seconds.

    Args:
        command: The command line; FOLDER stands for the folder of the run.
        step_seconds: Reads the seconds of all training steps from that folder.
    """

    def __init__(self, command: Sequence[str], step_seconds: Callable[[Path], float]) -> None:
        self.command = command
        self.step_seconds = step_seconds
        self.peaks_mb: list[float] = []
        """Peak memory of each run."""
        self.step_shares: list[float] = []
        """Share of the slots' time that each run spent in training steps."""

    def __call__(self) -> float:
        with tempfile.TemporaryDirectory() as folder:
            command = [argument.replace(FOLDER, folder) for argument in self.command]
            environment = ENVIRONMENT | {
                "BENCH_STEPS": f"{folder}/steps.jsonl",
                "SYNETUNE_FOLDER": folder,
            }
            measurement = processes.run(command, environment)
            step_seconds = self.step_seconds(Path(folder))
        self.peaks_mb.append(measurement.peak_mb)
        self.step_shares.append(step_seconds / (SLOTS * measurement.seconds))
        return measurement.seconds


def recorded_step_seconds(folder: Path) -> float:
    """Return the seconds of the training steps that peers.trials.record_seconds wrote."""
    seconds = 0.0
    for line in (folder / "steps.jsonl").read_text().splitlines():
        seconds += json.loads(line)["seconds"]
    return seconds


def journal_step_seconds(folder: Path) -> float:
    """Return the seconds of the training steps in the journal of cae-sweep.

    For each epoch, they are its images divided by its images per second.
    """
    records = RunDir(folder / "run").records().values()
    states = [record.state for record in records]
    if states != [TrialState.FINISHED] * len(TRIALS):
        raise RuntimeError(f"states of the trials = {states}: all {len(TRIALS)} should be finished")
    seconds = 0.0
    for record in records:
        for metrics in record.epochs.values():
            seconds += record.config["dataset.train_images"] / metrics["images_per_second"]
    return seconds


def create_contenders(only: Sequence[str]) -> dict[str, Contender]:
    """Return the contenders that can run, by name; only the named ones if there are names."""
    program = str(Path(sys.executable).parent / "cae-sweep")
    sweep = str(Path(__file__).parent / "peers" / "cae_sweep.py")
    command = [program, "run", sweep, "--out", f"{FOLDER}/run"]
    contenders = {"cae-sweep": Contender(command, journal_step_seconds)}
    for name, module in PEERS.items():
        package = REQUIRED_PACKAGES.get(name)
        if package and not importlib.util.find_spec(package):
            print(f"{name}: left out, not installed (pip install '.[bench]')")
            continue
        command = [sys.executable, "-m", f"benchmarks.peers.{module}"]
        contenders[name] = Contender(command, recorded_step_seconds)
    if not only:
        return contenders
    return {name: contender for name, contender in contenders.items() if name in only}


def create_rows(
    contenders: Mapping[str, Contender], seconds: Mapping[str, Sequence[float]]
) -> list[Row]:
    """Return the rows of the results from the wall times of each contender."""
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    rows: list[Row] = []
    for name, contender in contenders.items():
        median = medians[name]
        row: Row = {
            "runner": name,
            "wall_s": median,
            "rounds_s": spread(seconds[name]),
            "trials_per_minute": 60 * len(TRIALS) / median,
        }
        if "cae-sweep" in medians:
            row["over_cae_sweep"] = median / medians["cae-sweep"]
        if "ideal" in medians:
            row["over_ideal"] = median / medians["ideal"]
            row["beyond_start_over_ideal"] = (median - START_SECONDS) / medians["ideal"]
        row["share_in_steps"] = statistics.median(contender.step_shares)
        row["peak_mb"] = statistics.median(contender.peaks_mb)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    parser.add_argument(
        "--only",
        nargs="*",
        default=[],
        metavar="NAME",
        help=f"contenders to run, without saving the results: cae-sweep, {', '.join(PEERS)}",
    )
    options = parser.parse_args()
    contenders = create_contenders(options.only)
    seconds = interleaved(contenders, options.rounds)
    rows = create_rows(contenders, seconds)
    show(f"{len(TRIALS)} trials, {SLOTS} at a time", rows)
    if not options.only:
        note = f"beyond_start_over_ideal: (wall - {START_SECONDS} s) / the ideal's wall"
        print(save("sweep", rows, note))


if __name__ == "__main__":
    main()
