"""A model of the wall time and the cost of a sweep, from measured parts.

    python -m benchmarks.scaling RUN...

Prints the tables of docs/scaling.md from results/*.csv, and compares the model with finished runs
of this machine, which it was not made from.

    wall     = start + max(training, driver) + tail
    training = trials x (seconds of a trial + overhead of the worker) / slots
    driver   = trials x (cost of a trial + further epochs x cost of a result)
    tail     = half the seconds of a trial, because the last trials end one by one

All slots train at the same time; the driver is one process that handles one event after another.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Row, read, save, show
from benchmarks.peers.trials import SLOTS as SWEEP_SLOTS
from benchmarks.peers.trials import TRIALS as SWEEP_TRIALS
from benchmarks.scale import EPOCHS as JOURNAL_EPOCHS
from benchmarks.start import RAY_STARTED, WORKER_STARTED
from cae.run.events import EpochFinished, SessionEnded, SessionStarted, TrialPlanned
from cae.run.paths import RunDir

TRIALS = (100, 1_000, 10_000, 100_000, 1_000_000)
GPUS = (1, 10, 100, 1_000)

CsvRow = Mapping[str, str]


class Parts(NamedTuple):
    """What a sweep takes in addition to its training steps."""

    start_s: float
    """Seconds from the command to the first worker."""
    driver_s: float
    """Seconds of the driver per trial of one epoch."""
    result_s: float
    """Seconds of the driver per further epoch."""
    worker_s: float
    """Seconds of a worker per trial in addition to its training steps: validation, checkpoints,
    final evaluation."""
    line_bytes: float
    """Bytes per epoch in the journal."""
    read_s: float
    """Seconds per epoch of the journal when a run is resumed."""


class Prediction(NamedTuple):
    """Wall time of a sweep according to the model."""

    seconds: float
    limit: str
    """The part that takes longest: `training`, `driver` or `start`."""


def measured_parts() -> Parts:
    """Return the parts from results/*.csv.

    Raises FileNotFoundError if a benchmark has not been run.
    """
    scale = read("scale")
    start_s = _quickstart_seconds(WORKER_STARTED)
    driver_ms = [float(row["wall_ms_per_trial"]) for row in _rows_of(scale, "driver")]
    results_per_s = [float(row["results_per_second"]) for row in scale if row["results_per_second"]]
    resume = max(_rows_of(scale, "resume"), key=_trials_of)
    (plan,) = [row for row in _rows_of(scale, "plan") if row["trials"] == resume["trials"]]
    epochs = _trials_of(resume) * JOURNAL_EPOCHS
    return Parts(
        start_s=start_s,
        # The slowest of the measured sizes, for the driver and for the results.
        driver_s=max(driver_ms) / 1000,
        result_s=1 / min(results_per_s),
        worker_s=_worker_seconds(start_s),
        line_bytes=float(resume["journal_mb"]) * 1e6 / epochs,
        read_s=(float(resume["cpu_s"]) - float(plan["cpu_s"])) / epochs,
    )


def _rows_of(rows: Sequence[CsvRow], part: str) -> list[CsvRow]:
    return [row for row in rows if row["part"] == part]


def _trials_of(row: CsvRow) -> int:
    return int(row["trials"])


def _quickstart_seconds(part: str) -> float:
    """Return the seconds from the command to the end of a part of the quickstart."""
    (row,) = [row for row in read("start") if row["what"] == f"quickstart: {part}"]
    return float(row["seconds"])


def _worker_seconds(start_s: float) -> float:
    """Return the worker's seconds per trial, without training steps, in the benchmark `sweep`."""
    (row,) = [row for row in read("sweep") if row["runner"] == "cae-sweep"]
    outside_steps = float(row["wall_s"]) * (1 - float(row["share_in_steps"]))
    return max(0.0, SWEEP_SLOTS * (outside_steps - start_s) / len(SWEEP_TRIALS))


def predict(parts: Parts, trials: int, slots: int, trial_s: float, epochs: int) -> Prediction:
    """Return the wall time of a sweep.

    `trial_s`: seconds of the training steps of a trial; `epochs`: epochs per trial.
    """
    training = trials * (trial_s + parts.worker_s) / slots
    driver = trials * (parts.driver_s + (epochs - 1) * parts.result_s)
    limit = "training"
    if driver > training:
        limit = "driver"
    if parts.start_s > max(training, driver):
        limit = "start"
    return Prediction(parts.start_s + max(training, driver) + trial_s / 2, limit)


def compare_with_run(parts: Parts, run: RunDir) -> Row:
    """Return a row of the results: measured and predicted wall time of a run of one session.

    The input of the model is the run's trials, slots, epochs and the seconds of its epochs. Raises
    SystemExit if the run has several sessions or is not complete.
    """
    events = list(run.events())
    sessions = [event for event in events if isinstance(event, SessionStarted)]
    reasons = [event.reason for event in events if isinstance(event, SessionEnded)]
    if len(sessions) != 1 or reasons[-1:] != ["complete"]:
        raise SystemExit(
            f"{run.path}: should be a run of one complete session; it has {len(sessions)} sessions"
        )
    epoch_seconds = [
        event.metrics["seconds"] for event in events if isinstance(event, EpochFinished)
    ]
    trials = len([event for event in events if isinstance(event, TrialPlanned)])
    session_seconds = events[-1].time - sessions[0].time
    measured_s = session_seconds + _quickstart_seconds(RAY_STARTED)
    prediction = predict(
        parts,
        trials=trials,
        slots=sessions[0].slots or 1,
        trial_s=sum(epoch_seconds) / trials,
        epochs=len(epoch_seconds) // trials,
    )
    return {
        "run": run.name,
        "trials": trials,
        "epochs": len(epoch_seconds),
        "measured_s": measured_s,
        "model_s": prediction.seconds,
        "model_over_measured": prediction.seconds / measured_s,
        "limit": prediction.limit,
    }


def predicted_row(parts: Parts, trials: int, options: argparse.Namespace) -> Row:
    """Return a row of the printed table: wall time, limiting part and cost by number of GPUs."""
    row: Row = {"trials": trials}
    for gpus in GPUS:
        slots = gpus * options.slots
        prediction = predict(parts, trials, slots, options.trial, options.epochs)
        hours = prediction.seconds / 3600
        cost = hours * gpus * options.price
        row[f"{gpus} GPU"] = f"{hours:,.2f} h ({prediction.limit}), {cost:,.0f}"
    epochs = trials * options.epochs
    row["journal"] = f"{epochs * parts.line_bytes / 1e6:,.0f} MB"
    row["resume"] = f"{epochs * parts.read_s:,.0f} s"
    return row


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
    parser.add_argument("--epochs", type=int, default=20, help="epochs per trial")
    parser.add_argument("--price", type=float, default=2.0, help="price of a GPU hour")
    options = parser.parse_args()
    parts = measured_parts()
    show("measured", [parts._asdict()])
    title = (
        f"trials of {options.trial:g} s, {options.slots} per GPU, {options.epochs} epochs; "
        f"price of a GPU hour: {options.price:g}"
    )
    show(title, [predicted_row(parts, trials, options) for trials in TRIALS])
    if options.runs:
        comparisons = [compare_with_run(parts, RunDir(path)) for path in options.runs]
        show("the model and runs that it was not made from", comparisons)
        note = "inputs of the model: trials, slots, epochs and their seconds"
        print(save("scaling", comparisons, note))


if __name__ == "__main__":
    main()
