"""Growth of time and memory of the driver, the journal and the page with the number of trials.

    python -m benchmarks.scale                       # results/scale.csv
    python -m benchmarks.scale --trials 200 --parts driver

driver    the real runner (Ray, scheduler, journal, live table) with trials of one epoch that train
          nothing: milliseconds of the driver per trial
results   the same with trials of 50 epochs: results per second; --trials is the number of results
plan      planning that many points of a search space
resume    planning a run and replaying its journal, until Ray would start
status    reading a run for `cae-sweep status`
report    tables and page of a run

Resume, status and report read journals of that many trials with 50 epochs each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from benchmarks.measure import Row, save, show
from cae.run.json_values import JsonObject
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from cae.sweep.engine import session
from cae.sweep.spec.planned_trial import PlannedTrial

EPOCHS = 50
"""Epochs per trial of all parts but `driver`."""
UNFINISHED_STEP = 20
"""Every 20th trial of an interrupted run has only half of its epochs."""
MIN_RATE_TRIALS = 10
"""Rates are measured between the ends of trials, which takes more than a few of them."""
TEST_METRICS = ("loss", "psnr", "ssim", "baseline_mean_image")
SWEEP = '''"""Trials that train nothing."""

from ray import tune

from cae import ASHA, Adam, ConvAutoencoder, Digits, Reconstruct, Sweep, Trial

sweep = Sweep(
    title="Trials that train nothing",
    base=Trial(
        dataset=Digits(train_images=8, val_images=4, test_images=4),
        task=Reconstruct(),
        arch=ConvAutoencoder(
            encoder_filters=(2,), decoder_filters=(), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(),
        epochs={epochs},
    ),
    space={{
        "optimizer.lr": tune.grid_search([1e-3 + 1e-4 * step for step in range(10)]),
        "optimizer.beta1": tune.grid_search([0.8 + 0.01 * step for step in range(10)]),
        "optimizer.eps": tune.grid_search([1e-7 + 1e-8 * step for step in range(10)]),
        "batch_size": tune.grid_search([8 + step for step in range(10)]),
    }},
    scheduler={scheduler},
)
'''


class Timer:
    """Wall time and processor time since it was created.

    On a machine with other load, only the processor time is comparable.
    """

    def __init__(self) -> None:
        self._wall_start = time.perf_counter()
        self._processor_start = time.process_time()

    def elapsed(self) -> Row:
        """Return the seconds as columns of the results."""
        return {
            "seconds": time.perf_counter() - self._wall_start,
            "cpu_s": time.process_time() - self._processor_start,
        }


def write_sweep_file(folder: Path, epochs: int, scheduler: str = "None") -> Path:
    path = folder / "noop.py"
    path.write_text(SWEEP.format(epochs=epochs, scheduler=scheduler))
    return path


def prepare(folder: Path, sweep: Path, trials: int) -> session.Prepared:
    """Plan that many trials of a sweep file, with the run in FOLDER/run."""
    selection = session.select(
        sweep,
        out=folder / "run",
        budget="full",
        pairs=None,
        max_trials=trials,
        data_dir=None,
        retry="",
    )
    return session.prepare(selection)


def execute_without_training(prepared: session.Prepared) -> None:
    """Run a prepared sweep until Ray would start."""
    from cae.sweep.engine import runner
    from cae.sweep.places import local
    from tests.places import TwoSlots

    with mock.patch.object(runner, "_train_all"), mock.patch.object(local, "local_ray"):
        session.execute(prepared, TwoSlots(), command="scale")


@dataclass(frozen=True)
class NoopRun:
    """Measurements of a sweep whose trials train nothing."""

    end_times: list[float]
    """When each trial ended, sorted; seconds since the epoch (UTC)."""
    cpu_s: float
    """Processor time of the driver."""
    row: Row
    """Columns of the results that all parts have."""


def run_noop_trials(trials: int, epochs: int) -> NoopRun:
    """Run trials with the real runner and real workers that train nothing.

    Raises RuntimeError unless all trials finish.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared = prepare(folder, write_sweep_file(folder, epochs), trials)
        timer = Timer()
        reason = _execute_noop(prepared)
        elapsed = timer.elapsed()
        end_times: list[float] = []
        for record in RunDir(folder / "run").records().values():
            if record.end is not None and record.state == TrialState.FINISHED:
                end_times.append(record.end.time)
        if reason != "complete" or len(end_times) != trials:
            raise RuntimeError(f"{reason}: {len(end_times)} of {trials} trials finished")
        row = {
            "seconds": elapsed["seconds"],
            "peak_mb": _peak_mb(),
            "journal_mb": _journal_mb(folder),
        }
        return NoopRun(sorted(end_times), elapsed["cpu_s"], row)


def _execute_noop(prepared: session.Prepared) -> str:
    """Run a prepared sweep with the live table and workers that train nothing.

    Returns why it ended.
    """
    from benchmarks.noop import NoopWorker
    from cae.cli import live_table
    from cae.cli.console import Console
    from tests.places import TwoSlots

    with (
        mock.patch.dict(os.environ, {"PYTHONPATH": os.getcwd()}),
        mock.patch("cae.sweep.engine.runner.Worker", NoopWorker),
        Path(os.devnull).open("w") as devnull,
    ):
        console = Console(file=devnull, force_terminal=True)
        display = live_table.display(prepared, console=console)
        return session.execute(prepared, TwoSlots(), command="scale", display=display)


def _milliseconds_per_trial(end_times: list[float]) -> float:
    return 1000 * (end_times[-1] - end_times[0]) / (len(end_times) - 1)


def measure_driver(trials: int) -> Row:
    """Time of the driver per trial of one epoch; the first tenth of the trials is the start."""
    run = run_noop_trials(trials, epochs=1)
    after_start = run.end_times[trials // 10 :]
    quarter = trials // 4
    return {
        **run.row,
        "driver_cpu_ms_per_trial": 1000 * run.cpu_s / trials,
        "wall_ms_per_trial": _milliseconds_per_trial(after_start),
        "first_quarter_ms": _milliseconds_per_trial(after_start[:quarter]),
        "last_quarter_ms": _milliseconds_per_trial(run.end_times[-trials // 4 :]),
    }


def measure_results(count: int) -> Row:
    """Time of the driver per result, from trials of EPOCHS results each."""
    run = run_noop_trials(max(2, count // EPOCHS), EPOCHS)
    trials = len(run.end_times)
    row = {**run.row, "driver_cpu_ms_per_result": 1000 * run.cpu_s / (trials * EPOCHS)}
    if trials >= MIN_RATE_TRIALS:
        row["results_per_second"] = 1000 * EPOCHS / _milliseconds_per_trial(run.end_times)
    return row


def measure_plan(trials: int) -> Row:
    """Time to plan the trials of a new run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sweep = write_sweep_file(folder, EPOCHS)
        timer = Timer()
        prepared = prepare(folder, sweep, trials)
        return {
            **timer.elapsed(),
            "planned": len(prepared.plan.trials),
            "peak_mb": _peak_mb(),
        }


def measure_resume(trials: int) -> Row:
    """Time to resume an interrupted run, until Ray would start.

    It consists of planning, replaying the journal and the rungs, and recording the session.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sweep = write_interrupted_run(folder, trials)
        timer = Timer()
        prepared = prepare(folder, sweep, trials)
        plan_s = timer.elapsed()["seconds"]
        execute_without_training(prepared)
        return {
            **timer.elapsed(),
            "plan_s": plan_s,
            "left": len(prepared.plan.remaining),
            "peak_mb": _peak_mb(),
            "journal_mb": _journal_mb(folder),
        }


def measure_status(trials: int) -> Row:
    """Time to read the progress of an interrupted run."""
    from cae.run.status import run_status

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_interrupted_run(folder, trials)
        timer = Timer()
        run_status(RunDir(folder / "run"))
        return {
            **timer.elapsed(),
            "peak_mb": _peak_mb(),
            "journal_mb": _journal_mb(folder),
        }


def measure_report(trials: int) -> Row:
    """Time to write the tables and the page of an interrupted run, and the size of the page."""
    from cae.report.page import build

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_interrupted_run(folder, trials)
        timer = Timer()
        page = build.build(RunDir(folder / "run"))
        return {
            **timer.elapsed(),
            "page_mb": page.stat().st_size / 1e6,
            "peak_mb": _peak_mb(),
            "journal_mb": _journal_mb(folder),
        }


def write_interrupted_run(folder: Path, trials: int) -> Path:
    """Write a run that was killed near its end, without training; return its sweep file."""
    sweep = write_sweep_file(folder, EPOCHS, "ASHA(grace_epochs=50)")
    prepared = prepare(folder, sweep, trials)
    execute_without_training(prepared)  # writes sweep.json and the planned trials
    journal = InventedJournal(prepared.plan.trials[0].trial.metric_names())
    with (folder / "run" / "journal.jsonl").open("a") as lines:
        for planned in prepared.plan.trials:
            for event in journal.events(planned):
                print(json.dumps(event), file=lines)
    return sweep


class InventedJournal:
    """Events of trials with random metrics, as the journal contains them.

    Args:
        metric_names: The metrics of each epoch.
    """

    def __init__(self, metric_names: list[str]) -> None:
        self._metric_names = metric_names
        self._random = random.Random(0)
        self._now = time.time()

    def events(self, planned: PlannedTrial) -> list[JsonObject]:
        """Return the events of a trial, from its start to its end or its last epoch."""
        trial = planned.number
        epochs = EPOCHS
        if trial % UNFINISHED_STEP == 0:
            epochs = EPOCHS // 2
        events = [{"event": "start", "time": self._now, "trial": trial, "epoch": 0}]
        for epoch in range(1, epochs + 1):
            events.append(self._epoch(trial, epoch))
        if epochs == EPOCHS:
            events.append(self._end(trial))
        return events

    def _epoch(self, trial: int, epoch: int) -> JsonObject:
        self._now += 0.01
        metrics: dict[str, float] = {}
        for name in self._metric_names:
            metrics[name] = self._random.random() * (1 + 1 / epoch)
        event = {
            "event": "epoch",
            "time": round(self._now, 3),
            "trial": trial,
            "epoch": epoch,
            "metrics": metrics,
        }
        if epoch == 1:
            event |= {"host": "node", "device": "cpu", "worker": 1}
        return event

    def _end(self, trial: int) -> JsonObject:
        metrics: dict[str, float] = {}
        for name in TEST_METRICS:
            metrics[f"test_{name}"] = self._random.random()
        return {
            "event": "end",
            "time": round(self._now, 3),
            "trial": trial,
            "state": "finished",
            "reason": f"all {EPOCHS} epochs",
            "best_epoch": self._random.randint(1, EPOCHS),
            "metrics": metrics,
            "tables": {},
        }


def _journal_mb(folder: Path) -> float:
    return (folder / "run" / "journal.jsonl").stat().st_size / 1e6


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


PARTS: dict[str, Callable[[int], Row]] = {
    "driver": measure_driver,
    "results": measure_results,
    "plan": measure_plan,
    "resume": measure_resume,
    "status": measure_status,
    "report": measure_report,
}


def measure_in_process(part: str, trials: int) -> Row:
    """Measure a part in its own process, so that its peak memory is its own.

    Raises RuntimeError with the end of the error output if it fails.
    """
    command = [sys.executable, "-m", "benchmarks.scale", "--one", part, "--trials", str(trials)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-3000:])
    measured: Row = json.loads(done.stdout.splitlines()[-1])
    return {"part": part, "trials": trials, **measured}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--trials",
        type=int,
        nargs="*",
        default=[100, 1_000, 10_000],
        help="numbers of trials to measure",
    )
    parser.add_argument(
        "--parts",
        nargs="*",
        default=list(PARTS),
        choices=list(PARTS),
        help="parts to measure; results are saved only for all of them",
    )
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(PARTS[options.one](options.trials[0])))
        return
    rows: list[Row] = []
    for part in options.parts:
        for trials in options.trials:
            row = measure_in_process(part, trials)
            rows.append(row)
            print(row, flush=True)
    show("growth with the number of trials", rows)
    if options.parts == list(PARTS):
        note = f"one process per row; journals with {EPOCHS} epochs per trial; wall seconds"
        print(save("scale", rows, note))


if __name__ == "__main__":
    main()
