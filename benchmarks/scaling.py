"""A model of a sweep's wall time and cost, from measured parts, and how far measured sweeps are
from it.

python -m benchmarks.scaling RUN...           # the tables of docs/scaling.md, from results/*.csv;
RUN: finished runs to check it on

wall = start + max(training, driver) + tail training = trials x (seconds per trial + worker's own) /
slots        the slots' work driver   = trials x (driver's own + further epochs x a result's)
one process, one event after another tail     = half the seconds of a trial
the last trials end one by one
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Row, read, save, show
from cae.run.events import EpochFinished, SessionEnded, SessionStarted, TrialPlanned
from cae.run.paths import RunDir

TRIALS, GPUS = (100, 1_000, 10_000, 100_000, 1_000_000), (1, 10, 100, 1_000)


class Parts(NamedTuple):
    """What a sweep takes besides its training steps."""

    start_s: float
    """From the command to the first worker's first step."""
    driver_s: float
    """Of a trial of one epoch."""
    result_s: float
    """The driver's, of each further epoch."""
    worker_s: float
    """Of a trial, beyond its training steps: validation, checkpoints, what is measured at the
    end."""
    line_bytes: float
    """Of an epoch in the journal."""
    read_s: float
    """Of an epoch of the journal, when a run is taken up again."""


def measured() -> Parts:
    """From results/*.csv. Raises FileNotFoundError where a benchmark has not been run."""
    scale = {(row["part"], int(row["trials"])): row for row in read("scale")}
    start = {row["what"]: float(row["seconds"]) for row in read("start")}
    resume = scale["resume", max(trials for part, trials in scale if part == "resume")]
    plan = scale["plan", int(resume["trials"])]
    epochs = int(resume["trials"]) * 50
    sweep = {row["runner"]: row for row in read("sweep")}["cae-sweep"]
    wall, share = float(sweep["wall_s"]), float(sweep["share_in_steps"])
    start_s = start["quickstart: a worker is there"]
    return Parts(
        start_s=start_s,
        driver_s=max(
            float(row["wall_ms_per_trial"]) for (part, _), row in scale.items() if part == "driver"
        )
        / 1000,
        result_s=1
        / min(
            float(row["results_per_second"]) for row in scale.values() if row["results_per_second"]
        ),
        worker_s=max(0.0, 2 * (wall * (1 - share) - start_s) / 24),
        line_bytes=float(resume["journal_mb"]) * 1e6 / epochs,
        read_s=(float(resume["cpu_s"]) - float(plan["cpu_s"])) / epochs,
    )


def wall(parts: Parts, trials: int, slots: int, trial_s: float, epochs: int) -> tuple[float, str]:
    """Seconds, and what they are spent on."""
    training = trials * (trial_s + parts.worker_s) / slots
    driver = trials * (parts.driver_s + (epochs - 1) * parts.result_s)
    limit = "training" if training >= driver else "driver"
    if parts.start_s > max(training, driver):
        limit = "start"
    return parts.start_s + max(training, driver) + trial_s / 2, limit


def checked(parts: Parts, run: RunDir, connected_s: float) -> Row:
    """A run of one session beside the model, which is told its trials, slots, epochs and their
    seconds. `connected_s`: from the command to the session's first line."""
    events = list(run.events())
    sessions_ended = [event.reason for event in events if isinstance(event, SessionEnded)]
    sessions = [event for event in events if isinstance(event, SessionStarted)]
    if len(sessions) != 1 or sessions_ended[-1:] != ["complete"]:
        raise SystemExit(
            f"{run.path}: should be a run of one complete session; it has {len(sessions)} sessions"
        )
    seconds = [event.metrics["seconds"] for event in events if isinstance(event, EpochFinished)]
    trials = sum(isinstance(event, TrialPlanned) for event in events)
    measured = events[-1].time - sessions[0].time + connected_s
    model, limit = wall(
        parts, trials, (sessions[0].slots or 1), sum(seconds) / trials, len(seconds) // trials
    )
    return {
        "run": run.name,
        "trials": trials,
        "epochs": len(seconds),
        "measured_s": measured,
        "model_s": model,
        "model_over_measured": model / measured,
        "limit": limit,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "runs", nargs="*", type=Path, metavar="RUN", help="finished runs of this machine"
    )
    parser.add_argument(
        "--trial", type=float, default=60, help="seconds of training of one trial on one slot"
    )
    parser.add_argument("--slots", type=int, default=4, help="trials at a time on one GPU")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--price", type=float, default=2.0, help="of a GPU's hour")
    options = parser.parse_args()
    parts = measured()
    show("measured", [parts._asdict()])
    rows: list[Row] = []
    for trials in TRIALS:
        row: Row = {"trials": trials}
        for gpus in GPUS:
            seconds, limit = wall(
                parts, trials, gpus * options.slots, options.trial, options.epochs
            )
            row[f"{gpus} GPU"] = (
                f"{seconds / 3600:,.2f} h ({limit}), {seconds / 3600 * gpus * options.price:,.0f}"
            )
        journal = trials * options.epochs * parts.line_bytes
        rows.append(
            row
            | {
                "journal": f"{journal / 1e6:,.0f} MB",
                "resume": f"{trials * options.epochs * parts.read_s:,.0f} s",
            }
        )
    show(
        f"trials of {options.trial:g} s, {options.slots} per GPU, {options.epochs} epochs; "
        f"price of a GPU hour: {options.price:g}",
        rows,
    )
    if options.runs:
        start = {row["what"]: float(row["seconds"]) for row in read("start")}
        connected = start["quickstart: planned, and Ray is there"]
        checks = [checked(parts, RunDir(run), connected) for run in options.runs]
        show("the model beside runs that it was not made from", checks)
        print(
            save(
                "scaling",
                checks,
                "inputs of the model: trials, slots, epochs and their seconds",
            )
        )


if __name__ == "__main__":
    main()
