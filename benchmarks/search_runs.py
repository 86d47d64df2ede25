"""Real runs of the CIFAR-10 grid: model-based search against random points, at equal epochs.

    CAE_DATA=DIR python -m benchmarks.search_runs --runs DIR     # results/search_runs.csv

Runs `cae-sweep run` with the cpu budget of sweeps/cifar_grid.py and both searches, once per seed of
the search, each with 48 of the 1,536 points and the same ASHA. A run that is interrupted is resumed
by the same command, and a finished one is only read. Epochs are counted in the order of the
journal, and the two runs of a seed are compared after as many epochs as the shorter one has.
"""

from __future__ import annotations

import argparse
import itertools
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Row, save, show
from cae.run.events import EpochFinished
from cae.run.journal import read_events
from cae.run.storage import run_at

SWEEP = Path("sweeps/cifar_grid.py")
METRIC = "val_loss"
SEARCHES = ("Random", "ModelBased")
TRIALS = 48


def write_sweep(folder: Path, search: str, seed: int) -> Path:
    """Write the sweep file of a run: the grid with a search."""
    change = f'{{"search": {search}(seed={seed}), "published": None, "claims": []}}'
    lines = [
        SWEEP.read_text(),
        f"from cae import {search}  # noqa: E402",
        f"sweep = sweep.model_copy(update={change})",
        "",
    ]
    path = folder / f"{search.lower()}_{seed}.py"
    text = "\n".join(lines)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return path


def run(sweep: Path, slots: int) -> Path:
    """Run or resume a sweep, and return the folder of its run."""
    out = sweep.with_suffix("")
    command = [sys.executable, "-m", "cae", "run", str(sweep), "--budget", "cpu"]
    command += ["--out", str(out), "--slots", str(slots), "--quiet", "--yes", "--retry", "oom"]
    print(shlex.join(command), flush=True)
    subprocess.run(command, check=True)
    return out


def best_after_epochs(out: Path) -> list[float]:
    """The lowest validation loss after 1, 2, ... epochs of all trials of a run."""
    values: list[float] = []
    for event in read_events(run_at(out).journal):
        if isinstance(event, EpochFinished):
            values.append(event.metrics.get(METRIC, float("inf")))
    return list(itertools.accumulate(values, min))


def compare(seed: int, curves: Sequence[list[float]]) -> Row:
    """The row of a seed: the two searches at equal epochs and at their ends."""
    epochs = min(map(len, curves))
    row: Row = {"seed": seed, "equal_epochs": epochs}
    for search, curve in zip(SEARCHES, curves, strict=True):
        row[f"{search}_epochs"] = len(curve)
        row[f"{search}_best"] = curve[epochs - 1]
        row[f"{search}_best_at_end"] = curve[-1]
    random, model_based = curves
    row["better_by"] = 1 - model_based[epochs - 1] / random[epochs - 1]
    goal = random[-1]
    row["epochs_to_best_of_random"] = ""
    reached = [epoch for epoch, value in enumerate(model_based, 1) if value <= goal]
    if reached:
        row["epochs_to_best_of_random"] = reached[0]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for seed in range(options.seeds):
        curves: list[list[float]] = []
        for search in SEARCHES:
            sweep = write_sweep(options.runs, search, seed)
            curves.append(best_after_epochs(run(sweep, options.slots)))
        rows.append(compare(seed, curves))
        print(rows[-1], flush=True)
    show(f"{METRIC} of the CIFAR-10 grid after equal epochs, {TRIALS} trials each", rows)
    print(save("search_runs", rows, f"cpu budget, {TRIALS} trials, ASHA, {options.slots} slot(s)"))


if __name__ == "__main__":
    main()
