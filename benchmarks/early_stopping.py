"""What early stopping saves, and what it costs: ASHA against the full grid, on real training
curves.

    CAE_DATA=DIR python -m benchmarks.early_stopping

trains both grids in full and writes results/early_stopping.csv.

Every trial of a grid is trained to its end once, by the plan and the loop of cae-sweep, without a
scheduler; its curves are kept in results/curves/. Then the sweep is run again on those curves,
by the rungs that a real run uses, in many orders: two trials at a time, each epoch as long as it
really took. A trial's numbers do not depend on what runs beside it, so this is what ASHA would have
done, and unlike one real run it shows how often chance decides.
"""

from __future__ import annotations

import argparse
import heapq
import json
import multiprocessing
import random
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.measure import RESULTS, Row, save, show
from cae.sweep.engine import session
from cae.sweep.schedulers.asha import ASHA
from cae.sweep.schedulers.base import Judge, NeverStop
from cae.trial.batches import Resident
from cae.trial.config import Trial, from_flat
from cae.trial.datasets import data_folders
from cae.trial.training import train

SLOTS, ORDERS, WITHIN = 2, 1000, 1.01
ASKED = ASHA(grace_epochs=1, reduction_factor=3)
GRIDS: dict[str, tuple[str, str, Mapping[str, Any], int | None]] = {
    "cifar_grid": (
        "sweeps/cifar_grid.py",
        "cpu",
        {"epochs": 10, "dataset.train_images": 2_400, "dataset.val_images": 1_000},
        48,
    ),
    "denoise_variants": ("benchmarks/peers/denoise_variants.py", "full", {}, None),
}
"""By name: sweep file, budget, what differs from it, and how many trials. The CIFAR-10 grid has the
report's ten epochs here, of as many images in all as the cpu budget's four: of four epochs,
rungs at 1 and 3 leave two fifths whatever the curves are."""

Curve = list[dict[str, float]]
"""A trial's epochs, from the first."""


class Outcome(NamedTuple):
    epochs: int
    seconds: float
    epochs_to_best: int | None
    """Until the best value of the full grid was reached within 1 %; None: never."""
    seconds_to_best: float | None
    kept_best: bool
    """Whether the grid's best trial came to its end."""


def replay(curves: list[Curve], scheduler: ASHA | None, metric: str = "val_loss") -> Outcome:
    """The sweep on known curves, in their order, SLOTS trials at a time."""
    judge: Judge = NeverStop()
    if scheduler is not None:
        judge = scheduler.create_judge(max(map(len, curves)), metric, "min")
    best = min(range(len(curves)), key=lambda number: min(row[metric] for row in curves[number]))
    goal = min(row[metric] for row in curves[best]) * WITHIN
    waiting = iter(range(len(curves)))
    running: list[tuple[float, int, int]] = []  # when its next epoch ends, trial, that epoch
    epochs, now, kept_best = 0, 0.0, False
    reached: tuple[int, float] | None = None

    def begin(now: float) -> None:
        if (number := next(waiting, None)) is not None:
            heapq.heappush(running, (now + curves[number][0]["seconds"], number, 1))

    for _ in range(SLOTS):
        begin(0.0)
    while running:
        now, number, epoch = heapq.heappop(running)
        epochs += 1
        value = curves[number][epoch - 1][metric]
        if reached is None and value <= goal:
            reached = epochs, now
        stop = judge.report(number, epoch, value)
        last = epoch == len(curves[number])
        if last or stop:
            kept_best = kept_best or (last and number == best)
            begin(now)
        else:
            heapq.heappush(running, (now + curves[number][epoch]["seconds"], number, epoch + 1))
    to_best = reached or (None, None)
    return Outcome(epochs, now, to_best[0], to_best[1], kept_best)


def trained(name: str) -> list[Curve]:
    """The curves of the whole grid, trained now where they are not there yet."""
    sweep, budget, settings, count = GRIDS[name]
    file, known = RESULTS / "curves" / f"{name}.jsonl", {}
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists():
        known = {
            said["hash"]: said["rows"] for said in map(json.loads, file.read_text().splitlines())
        }
    with tempfile.TemporaryDirectory() as nowhere:
        plan = session.prepare(
            session.Selection(Path(sweep), nowhere + "/run", budget, settings, count, None)
        ).plan
    left = [
        (planned.hash, planned.trial.flat()) for planned in plan.trials if planned.hash not in known
    ]
    with multiprocessing.get_context("spawn").Pool(SLOTS) as pool, file.open("a") as kept:
        for found, rows in pool.imap_unordered(_train, left):
            print(json.dumps({"hash": found, "rows": rows}), file=kept, flush=True)
            known[found] = rows
    return [known[planned.hash] for planned in plan.trials]


def _train(asked: tuple[str, dict[str, Any]]) -> tuple[str, Curve]:
    found, flat = asked
    torch.set_num_threads(1)
    trial: Trial = from_flat(flat)
    images = Resident.of(trial.dataset.load(data_folders(None)), torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        return found, [epoch.row for epoch in train(trial, images, Path(folder))]


def compared(name: str, curves: list[Curve]) -> Row:
    shuffled, rng = list(curves), random.Random(0)
    whole, stopped = [], []
    for _ in range(ORDERS):
        rng.shuffle(shuffled)
        whole.append(replay(shuffled, None))
        stopped.append(replay(shuffled, ASKED))
    reached = [one for one in stopped if one.epochs_to_best is not None]
    median = statistics.median
    return {
        "grid": name,
        "trials": len(curves),
        "epochs_full": whole[0].epochs,
        "epochs_asha": median(one.epochs for one in stopped),
        "share": median(one.epochs for one in stopped) / whole[0].epochs,
        "seconds_full": median(one.seconds for one in whole),
        "seconds_asha": median(one.seconds for one in stopped),
        "to_best_epochs_full": median(one.epochs_to_best or 0 for one in whole),
        "to_best_epochs_asha": median(one.epochs_to_best or 0 for one in reached)
        if reached
        else "never",
        "to_best_seconds_full": median(one.seconds_to_best or 0 for one in whole),
        "to_best_seconds_asha": median(one.seconds_to_best or 0 for one in reached)
        if reached
        else "never",
        "within_1_percent": len(reached) / ORDERS,
        "best_was_stopped": sum(not one.kept_best for one in stopped) / ORDERS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grids", nargs="*", default=list(GRIDS), choices=list(GRIDS))
    options = parser.parse_args()
    rows = [compared(name, trained(name)) for name in options.grids]
    show(f"ASHA against the full grid: medians of {ORDERS} orders", rows)
    if options.grids == list(GRIDS):
        print(
            save(
                "early_stopping",
                rows,
                f"replayed on real curves in {ORDERS} orders, {SLOTS} trials at a time; "
                "the last two columns are shares of the orders",
            )
        )


if __name__ == "__main__":
    main()
