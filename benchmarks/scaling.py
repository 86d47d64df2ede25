"""A model of a sweep's wall time and cost, from measured parts, and how far measured sweeps are from it.

python -m benchmarks.scaling                  # the tables of docs/scaling.md, from results/*.csv

wall = start + max(training, driver) + tail
training = trials x (seconds per trial + worker's own) / slots        the slots' work
driver   = trials x driver's milliseconds per trial                   one process, one event after another
tail     = seconds per trial                                          the last trial alone, on average half of it
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

from benchmarks.measure import Row, read, show

TRIALS, GPUS = (100, 1_000, 10_000, 100_000, 1_000_000), (1, 10, 100, 1_000)


class Parts(NamedTuple):
    """What a sweep takes besides its training steps."""

    start_s: float
    """From the command to the first worker's first step."""
    driver_s: float
    """Of a trial of one epoch."""
    worker_s: float
    """Of a trial, beyond its training steps: validation, checkpoints, what is measured at the end."""
    line_bytes: float
    """Of an epoch in the journal."""
    read_s: float
    """Of an epoch of the journal, when a run is taken up again."""


BOUNDS = Parts(start_s=20, driver_s=0.02, worker_s=1, line_bytes=300, read_s=1e-5)
"""What is asked of cae-sweep, where it has not been measured."""


def measured() -> Parts:
    """From results/*.csv. Raises FileNotFoundError where a benchmark has not been run."""
    scale = {(row["part"], int(row["trials"])): row for row in read("scale")}
    start = {row["what"]: float(row["seconds"]) for row in read("start")}
    most = max(trials for part, trials in scale if part == "driver")
    driver = scale["driver", most]
    resume = scale["resume", max(trials for part, trials in scale if part == "resume")]
    plan = scale["plan", int(resume["trials"])]
    epochs = int(resume["trials"]) * 50
    sweep = {row["runner"]: row for row in read("sweep")}["cae-sweep"]
    wall, share = float(sweep["wall_s"]), float(sweep["share_in_steps"])
    start_s = start["quickstart: a worker is there"]
    return Parts(
        start_s=start_s,
        driver_s=float(driver["wall_ms_per_trial"]) / 1000,
        worker_s=max(0.0, 2 * (wall * (1 - share) - start_s) / 24),
        line_bytes=float(resume["journal_mb"]) * 1e6 / epochs,
        read_s=(float(resume["cpu_s"]) - float(plan["cpu_s"])) / epochs,
    )


def wall(parts: Parts, trials: int, slots: int, trial_s: float) -> tuple[float, str]:
    """Seconds, and what they are spent on."""
    training = trials * (trial_s + parts.worker_s) / slots
    driver = trials * parts.driver_s
    limit = "training" if training >= driver else "driver"
    if parts.start_s > max(training, driver):
        limit = "start"
    return parts.start_s + max(training, driver) + trial_s / 2, limit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trial", type=float, default=60, help="seconds of training of one trial on one slot")
    parser.add_argument("--slots", type=int, default=4, help="trials at a time on one GPU")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--price", type=float, default=2.0, help="of a GPU's hour")
    options = parser.parse_args()
    try:
        parts, source = measured(), "measured"
    except FileNotFoundError as error:
        parts, source = BOUNDS, f"bounds, not measured: there is no {error.filename}"
    show(source, [parts._asdict()])
    rows: list[Row] = []
    for trials in TRIALS:
        row: Row = {"trials": trials}
        for gpus in GPUS:
            seconds, limit = wall(parts, trials, gpus * options.slots, options.trial)
            row[f"{gpus} GPU"] = f"{seconds / 3600:,.2f} h ({limit}), {seconds / 3600 * gpus * options.price:,.0f}"
        journal = trials * options.epochs * parts.line_bytes
        rows.append(row | {"journal": f"{journal / 1e6:,.0f} MB", "resume": f"{trials * options.epochs * parts.read_s:,.0f} s"})
    show(f"trials of {options.trial:g} s, {options.slots} on a GPU, {options.epochs} epochs; a GPU's hour: {options.price:g}", rows)
    if parts is BOUNDS:
        return
    checks: list[Row] = []
    for line in read("sweep"):
        if line["runner"] == "cae-sweep":
            steps = float(line["wall_s"]) * 2 * float(line["share_in_steps"]) / 24
            checks.append({"run": "24 denoisers, 2 slots", "measured_s": float(line["wall_s"]), "model_s": wall(parts, 24, 2, steps)[0]})
    for line in read("scale"):
        if line["part"] == "driver":
            trials = int(line["trials"])
            model = wall(parts, trials, 2, 0.0)[0] - parts.start_s
            checks.append(
                {"run": f"{trials} trials of no work", "measured_s": trials * float(line["wall_ms_per_trial"]) / 1e3, "model_s": model}
            )
    show("the model beside what was measured", checks)


if __name__ == "__main__":
    main()
