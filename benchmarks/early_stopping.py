"""What early stopping saves, and what it costs: ASHA against the full grid, on real training curves.

    CAE_DATA=DIR python -m benchmarks.early_stopping             # trains both grids in full (resumes), then results/early_stopping.csv

Every trial of the grid is trained to its end once, without a scheduler. Then the sweep is run again on those curves, by the rungs
that a real run uses, in many orders: two trials at a time, each epoch as long as it really took. A trial's numbers do not depend on
what runs beside it, so this is what ASHA would have done; and unlike one real run it tells how often luck decides.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Row, save, show
from cae.rundir import Record, RunDir
from cae.sweep.asha import rungs_of
from cae.sweep.spec import ASHA

SLOTS, ORDERS, WITHIN = 2, 1000, 1.01
CIFAR = ["sweeps/cifar_grid.py", "--budget", "cpu"]
SMALLER = ["--set", "dataset.train_images=1500", "--set", "dataset.val_images=1000", "--set", "dataset.test_images=500"]
GRIDS: dict[str, tuple[list[str], ASHA]] = {
    "cifar_grid": ([*CIFAR, *SMALLER], ASHA(grace_epochs=1, reduction_factor=3)),
    "denoise_variants": (["benchmarks/peers/denoise_variants.py"], ASHA(grace_epochs=1, reduction_factor=3)),
}
"""By name: what `cae-sweep run` is told, and the scheduler that is tried."""


class Outcome(NamedTuple):
    epochs: int
    seconds: float
    epochs_to_best: int | None
    """Until the best value of the full grid was reached within 1 %; None: never."""
    seconds_to_best: float | None
    kept_best: bool
    """Whether the grid's best trial came to its end."""


def replay(records: list[Record], scheduler: ASHA | None, metric: str) -> Outcome:
    """The sweep on known curves, in the order of the records, SLOTS trials at a time."""
    longest = max(len(record.epochs) for record in records)
    rungs = rungs_of(scheduler, scheduler.rungs(longest) if scheduler else [], "min")
    best = min(records, key=lambda record: min(row[metric] for row in record.epochs.values()))
    goal = min(row[metric] for row in best.epochs.values()) * WITHIN
    waiting, running, epochs, reached, ended = iter(records), [], 0, None, set()

    def begin(now: float) -> None:
        if record := next(waiting, None):
            heapq.heappush(running, (now + record.epochs[1]["seconds"], record.number, 1, record))

    for _ in range(SLOTS):
        begin(0.0)
    now = 0.0
    while running:
        now, number, epoch, record = heapq.heappop(running)
        epochs += 1
        value = record.epochs[epoch][metric]
        if reached is None and value <= goal:
            reached = (epochs, now)
        last = epoch == len(record.epochs)
        stop = rungs.report(number, epoch, value)
        if last or stop:
            ended |= {number} if last else set()
            begin(now)
        else:
            heapq.heappush(running, (now + record.epochs[epoch + 1]["seconds"], number, epoch + 1, record))
    return Outcome(epochs, now, *(reached or (None, None)), best.number in ended)


def curves(name: str, runs: Path) -> list[Record]:
    """Those of the whole grid, trained now where they are not there yet."""
    command, run = GRIDS[name][0], RunDir(runs / name)
    file = Path(command[0])
    full = runs / f"{name}_full.py"  # the same grid, and nothing stopped
    runs.mkdir(parents=True, exist_ok=True)
    text = file.read_text().replace('published="published/', f'published="{file.resolve().parent}/published/')
    full.write_text(text.replace("    scheduler=ASHA(grace_epochs=1, reduction_factor=3),\n", ""))
    program = str(Path(sys.executable).parent / "cae-sweep")
    subprocess.run([program, "run", str(full), *command[1:], "--out", str(run.path), "--quiet"], check=True)
    records = [record for record in run.records().values() if record.asked and not record.needed]
    if {record.state for record in records} != {"finished"}:
        raise RuntimeError(f"{run.path}: not every trial finished")
    return records


def compared(name: str, records: list[Record]) -> Row:
    shuffled, rng = list(records), random.Random(0)
    whole, stopped = [], []
    for _ in range(ORDERS):
        rng.shuffle(shuffled)
        whole.append(replay(shuffled, None, "val_loss"))
        stopped.append(replay(shuffled, GRIDS[name][1], "val_loss"))
    reached = [one for one in stopped if one.epochs_to_best is not None]
    median = statistics.median
    return {
        "grid": name, "trials": len(records), "epochs_full": whole[0].epochs, "epochs_asha": median(one.epochs for one in stopped),
        "share": median(one.epochs for one in stopped) / whole[0].epochs,
        "seconds_full": median(one.seconds for one in whole), "seconds_asha": median(one.seconds for one in stopped),
        "to_best_epochs_full": median(one.epochs_to_best or 0 for one in whole),
        "to_best_epochs_asha": median(one.epochs_to_best or 0 for one in reached) if reached else "never",
        "to_best_seconds_full": median(one.seconds_to_best or 0 for one in whole),
        "to_best_seconds_asha": median(one.seconds_to_best or 0 for one in reached) if reached else "never",
        "within_1_percent": len(reached) / ORDERS, "best_was_stopped": sum(not one.kept_best for one in stopped) / ORDERS,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs") / "benchmarks", help="where the grids are trained, and kept")
    parser.add_argument("--grids", nargs="*", default=list(GRIDS), choices=list(GRIDS))
    options = parser.parse_args()
    rows = [compared(name, curves(name, options.runs)) for name in options.grids]
    show(f"ASHA against the full grid: medians of {ORDERS} orders", rows)
    print(save("early_stopping", rows, f"replayed on real curves in {ORDERS} orders, {SLOTS} at a time; within_1_percent: share of orders"))


if __name__ == "__main__":
    main()
