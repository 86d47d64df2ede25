"""Savings and costs of early stopping: ASHA against the full grid, on real training curves.

    CAE_DATA=DIR python -m benchmarks.early_stopping

Trains both grids in full and writes results/early_stopping.csv.

Every trial of a grid is trained to its end once, by the plan and the training loop of cae-sweep,
without a scheduler; its curve is kept in results/curves/. Then the sweep is replayed on those
curves in many orders of the trials, with the rungs of a real run: two trials at a time, and each
epoch takes as long as it really took. The numbers of a trial do not depend on the trials that run
beside it, so ASHA would have had the same results. Unlike a single real run, the replays show how
large the effect of chance is.
"""

from __future__ import annotations

import argparse
import heapq
import json
import multiprocessing
import random
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.measure import RESULTS, Row, save, show
from cae.sweep.engine import session
from cae.sweep.schedulers.asha import ASHA
from cae.sweep.schedulers.base import Judge, NeverStop
from cae.sweep.spec.planned_trial import PlannedTrial
from cae.trial.batches import DeviceImages
from cae.trial.config import Trial, from_flat
from cae.trial.datasets import data_folders
from cae.trial.training import train

SLOTS = 2
ORDERS = 1000
"""How many random orders of the trials are replayed."""
TOLERANCE = 1.01
"""The goal of a replay is the best value of the full grid times this."""
METRIC = "val_loss"
SCHEDULER = ASHA(grace_epochs=1, reduction_factor=3)


@dataclass(frozen=True)
class Grid:
    """The trials of a sweep file."""

    sweep: str
    budget: str = "full"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Overrides of the sweep file by dotted name."""
    max_trials: int | None = None


GRIDS = {
    # Ten epochs as in the report, on as many images in all as the four epochs of the cpu budget.
    # With four epochs, rungs at 1 and 3 leave two fifths of the epochs whatever the curves are.
    "cifar_grid": Grid(
        "sweeps/cifar_grid.py",
        budget="cpu",
        settings={"epochs": 10, "dataset.train_images": 2_400, "dataset.val_images": 1_000},
        max_trials=48,
    ),
    "denoise_variants": Grid("benchmarks/peers/denoise_variants.py"),
}

Curve = list[dict[str, float]]
"""The metrics of a trial's epochs, from the first one."""


class Outcome(NamedTuple):
    """Result of one replay."""

    epochs: int
    """Epochs of all trials."""
    seconds: float
    epochs_to_goal: int | None
    """Epochs of all trials until one reached the goal. None: no trial reached it."""
    seconds_to_goal: float | None
    best_finished: bool
    """Whether the best trial of the full grid was trained to its end."""


class RunningEpoch(NamedTuple):
    """An epoch that a slot is training; ordered by its end."""

    end_seconds: float
    trial: int
    epoch: int


def replay(curves: Sequence[Curve], scheduler: ASHA | None) -> Outcome:
    """Run the sweep on known curves in their order, SLOTS trials at a time."""
    judge: Judge = NeverStop()
    if scheduler is not None:
        judge = scheduler.create_judge(max(len(curve) for curve in curves), METRIC, "min")
    best_values = [_best_value(curve) for curve in curves]
    best_value = min(best_values)
    best_trial = best_values.index(best_value)
    goal = best_value * TOLERANCE
    waiting = iter(range(len(curves)))
    running: list[RunningEpoch] = []
    for _ in range(SLOTS):
        _start_next(waiting, running, curves, 0.0)
    epochs = 0
    now = 0.0
    epochs_to_goal: int | None = None
    seconds_to_goal: float | None = None
    best_finished = False
    while running:
        now, trial, epoch = heapq.heappop(running)
        curve = curves[trial]
        value = curve[epoch - 1][METRIC]
        epochs += 1
        if epochs_to_goal is None and value <= goal:
            epochs_to_goal = epochs
            seconds_to_goal = now
        is_stopped = judge.report(trial, epoch, value)
        is_finished = epoch == len(curve)
        if is_finished and trial == best_trial:
            best_finished = True
        if is_finished or is_stopped:
            _start_next(waiting, running, curves, now)
        else:
            end_seconds = now + curve[epoch]["seconds"]
            heapq.heappush(running, RunningEpoch(end_seconds, trial, epoch + 1))
    return Outcome(epochs, now, epochs_to_goal, seconds_to_goal, best_finished)


def _best_value(curve: Curve) -> float:
    return min(epoch[METRIC] for epoch in curve)


def _start_next(
    waiting: Iterator[int], running: list[RunningEpoch], curves: Sequence[Curve], now: float
) -> None:
    """Start the first epoch of the next trial, if there is one."""
    trial = next(waiting, None)
    if trial is not None:
        end_seconds = now + curves[trial][0]["seconds"]
        heapq.heappush(running, RunningEpoch(end_seconds, trial, 1))


def train_grid(name: str) -> list[Curve]:
    """Return the curves of a grid; train the trials without a curve in results/curves/."""
    file = RESULTS / "curves" / f"{name}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    curves = _read_curves(file)
    planned = plan_of(GRIDS[name])
    missing = [(trial.hash, trial.trial.flat()) for trial in planned if trial.hash not in curves]
    with multiprocessing.get_context("spawn").Pool(SLOTS) as pool, file.open("a") as lines:
        for trial_hash, curve in pool.imap_unordered(_train, missing):
            print(json.dumps({"hash": trial_hash, "rows": curve}), file=lines, flush=True)
            curves[trial_hash] = curve
    return [curves[trial.hash] for trial in planned]


def _read_curves(file: Path) -> dict[str, Curve]:
    """Return the curves of a file by the hashes of their trials."""
    curves: dict[str, Curve] = {}
    if file.exists():
        for line in file.read_text().splitlines():
            trial = json.loads(line)
            curves[trial["hash"]] = trial["rows"]
    return curves


def plan_of(grid: Grid) -> list[PlannedTrial]:
    """The trials of a grid."""
    with tempfile.TemporaryDirectory() as folder:
        selection = session.Selection(
            sweep=Path(grid.sweep),
            out=f"{folder}/run",
            budget=grid.budget,
            settings=grid.settings,
            max_trials=grid.max_trials,
            data_dir=None,
        )
        return session.prepare(selection).plan.trials


def _train(hash_and_config: tuple[str, dict[str, Any]]) -> tuple[str, Curve]:
    """Train a trial in a process of the pool; return its hash and its curve."""
    trial_hash, config = hash_and_config
    torch.set_num_threads(1)
    trial: Trial = from_flat(config)
    images = DeviceImages.load(trial.dataset.load(data_folders(None)), torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        curve = [epoch.row for epoch in train(trial, images, Path(folder))]
    return trial_hash, curve


def compare(name: str, curves: Sequence[Curve]) -> Row:
    """Replay a grid without and with ASHA in many orders; return a row of the results."""
    shuffled = list(curves)
    generator = random.Random(0)
    full: list[Outcome] = []
    stopped: list[Outcome] = []
    for _ in range(ORDERS):
        generator.shuffle(shuffled)
        full.append(replay(shuffled, None))
        stopped.append(replay(shuffled, SCHEDULER))
    epochs_full = full[0].epochs
    epochs_asha = statistics.median([outcome.epochs for outcome in stopped])
    reached = [outcome for outcome in stopped if outcome.epochs_to_goal is not None]
    best_stopped = [outcome for outcome in stopped if not outcome.best_finished]
    return {
        "grid": name,
        "trials": len(curves),
        "epochs_full": epochs_full,
        "epochs_asha": epochs_asha,
        "share": epochs_asha / epochs_full,
        "seconds_full": statistics.median([outcome.seconds for outcome in full]),
        "seconds_asha": statistics.median([outcome.seconds for outcome in stopped]),
        "to_best_epochs_full": _median([outcome.epochs_to_goal for outcome in full]),
        "to_best_epochs_asha": _median([outcome.epochs_to_goal for outcome in stopped]),
        "to_best_seconds_full": _median([outcome.seconds_to_goal for outcome in full]),
        "to_best_seconds_asha": _median([outcome.seconds_to_goal for outcome in stopped]),
        "within_1_percent": len(reached) / ORDERS,
        "best_was_stopped": len(best_stopped) / ORDERS,
    }


def _median(values: Sequence[float | None]) -> float | str:
    """Return the median of the replays that reached the goal, or `never`."""
    known = [value for value in values if value is not None]
    if not known:
        return "never"
    return statistics.median(known)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--grids",
        nargs="*",
        default=list(GRIDS),
        choices=list(GRIDS),
        help="grids to compare; results are saved only for all of them",
    )
    options = parser.parse_args()
    rows = [compare(name, train_grid(name)) for name in options.grids]
    show(f"ASHA against the full grid: medians of {ORDERS} orders", rows)
    if options.grids == list(GRIDS):
        note = (
            f"replayed on real curves in {ORDERS} orders, {SLOTS} trials at a time; "
            "the last two columns are shares of the orders"
        )
        print(save("early_stopping", rows, note))


if __name__ == "__main__":
    main()
