"""How the driver, the journal, the tables and the page grow with the number of trials.

    python -m benchmarks.scale                       # results/scale.csv
    python -m benchmarks.scale --trials 200 --parts driver

driver    no-op trials of one epoch through the real runner: Ray, scheduler, journal, live table;
milliseconds of the driver per trial results   the same, as trials of 50 epochs: so many results in
all, sustained plan      `prepare` of a space of so many points resume    `prepare` and the runner's
replay, on a journal of so many trials x 50 epochs tables    trials.csv and epochs.csv; report: the
page; of so many trials x 50 epochs
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
from pathlib import Path
from unittest import mock

from benchmarks.measure import Row, save, show
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState

EPOCHS = 50
SWEEP = '''"""Trials of no work."""

from ray import tune

from cae import ASHA, Adam, ConvAutoencoder, Digits, Reconstruct, Sweep, Trial

sweep = Sweep(
    title="Trials of no work",
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, nargs="*", default=[100, 1_000, 10_000])
    parser.add_argument("--parts", nargs="*", default=list(COMPONENTS), choices=list(COMPONENTS))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:  # in a process of its own: what it takes in memory is its own too
        print(json.dumps(COMPONENTS[options.one](options.trials[0])))
        return
    rows: list[Row] = []
    for part in options.parts:
        for trials in options.trials:
            command = [
                sys.executable,
                "-m",
                "benchmarks.scale",
                "--one",
                part,
                "--trials",
                str(trials),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr[-3000:])
            rows.append({"part": part, "trials": trials} | json.loads(done.stdout.splitlines()[-1]))
            print(rows[-1], flush=True)
    show("growth with the number of trials", rows)
    if options.parts == list(COMPONENTS):
        print(
            save(
                "scale",
                rows,
                f"one process per row; journals with {EPOCHS} epochs per trial; wall seconds",
            )
        )


def sweep_file(folder: Path, epochs: int, scheduler: str = "None") -> Path:
    path = folder / "noop.py"
    path.write_text(SWEEP.format(epochs=epochs, scheduler=scheduler))
    return path


def driver(trials: int) -> Row:
    ended, cpu_s, row = _noop_run(trials, 1)
    return row | {
        "driver_cpu_ms_per_trial": 1000 * cpu_s / trials,
        "wall_ms_per_trial": _ms(ended[trials // 10 :]),
        "first_quarter_ms": _ms(ended[trials // 10 : trials // 10 + trials // 4]),
        "last_quarter_ms": _ms(ended[-trials // 4 :]),
    }


def results(count: int) -> Row:
    ended, cpu_s, row = _noop_run(max(2, count // EPOCHS), EPOCHS)
    sustained = (
        {"results_per_second": 1000 * EPOCHS / _ms(ended)} if len(ended) >= 10 else {}
    )  # two that end together tell nothing
    return row | {"driver_cpu_ms_per_result": 1000 * cpu_s / (len(ended) * EPOCHS)} | sustained


def _noop_run(trials: int, epochs: int) -> tuple[list[float], float, Row]:
    """The real runner and real workers; only the training is replaced, by epochs that cost nothing.
    When each trial ended, sorted; the driver's seconds of the processor; what every part tells."""
    from rich.console import Console

    from cae.cli import live_table
    from cae.sweep.engine import session
    from tests.places import TwoSlots

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        prepared = session.prepare(
            session.select(sweep_file(place, epochs), place / "run", "full", None, trials, None, "")
        )
        with (
            mock.patch.dict(os.environ, {"PYTHONPATH": os.getcwd()}),
            mock.patch("cae.sweep.engine.runner.Worker", _noop_worker()),
        ):
            started, spent = time.perf_counter(), time.process_time()
            with Path(os.devnull).open("w") as nowhere:
                console = Console(
                    file=nowhere, force_terminal=True
                )  # with the live table, as people run it
                shown = live_table.display(prepared, console=console)
                reason = session.execute(prepared, TwoSlots(), command="scale", display=shown)
            seconds, cpu_s = time.perf_counter() - started, time.process_time() - spent
        ended = [
            record.end.time
            for record in RunDir(place / "run").records().values()
            if record.end is not None and record.state == TrialState.FINISHED
        ]
        if reason != "complete" or len(ended) != trials:
            raise RuntimeError(f"{reason}: {len(ended)} of {trials} trials finished")
        return (
            sorted(ended),
            cpu_s,
            {"seconds": seconds, "peak_mb": _peak_mb(), "journal_mb": _journal_mb(place)},
        )


def _ms(ended: list[float]) -> float:
    return 1000 * (ended[-1] - ended[0]) / (len(ended) - 1)


def _noop_worker() -> type:
    from benchmarks.noop import NoopWorker

    return NoopWorker


def plan(trials: int) -> Row:
    from cae.sweep.engine import session

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        path = sweep_file(place, EPOCHS)
        started, spent = time.perf_counter(), time.process_time()
        prepared = session.prepare(
            session.select(path, place / "run", "full", None, trials, None, "")
        )
        return {
            **_times(started, spent),
            "planned": len(prepared.plan.trials),
            "peak_mb": _peak_mb(),
        }


def resume(trials: int) -> Row:
    """Until the runner would hand the trials that are left to Ray: plan, fold, replay of the rungs,
    the session's first lines."""
    from cae.sweep.engine import runner, session
    from cae.sweep.places import local
    from tests.places import TwoSlots

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        path = written(place, trials)
        with mock.patch.object(runner, "_train_all"), mock.patch.object(local, "local_ray"):
            started, spent = time.perf_counter(), time.process_time()
            prepared = session.prepare(
                session.select(path, place / "run", "full", None, trials, None, "")
            )
            planned = time.perf_counter()
            session.execute(prepared, TwoSlots(), command="scale")
        times, left = _times(started, spent), len(prepared.plan.remaining)
        return {
            **times,
            "plan_s": planned - started,
            "left": left,
            "peak_mb": _peak_mb(),
            "journal_mb": _journal_mb(place),
        }


def status(trials: int) -> Row:
    from cae.run.status import run_status

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        written(place, trials)
        started, spent = time.perf_counter(), time.process_time()
        run_status(RunDir(place / "run"))
        return {**_times(started, spent), "peak_mb": _peak_mb(), "journal_mb": _journal_mb(place)}


def report(trials: int) -> Row:
    from cae.report.page import build as page

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        written(place, trials)
        started, spent = time.perf_counter(), time.process_time()
        built = page.build(RunDir(place / "run"))
        times = _times(started, spent)
        return {
            **times,
            "page_mb": built.stat().st_size / 1e6,
            "peak_mb": _peak_mb(),
            "journal_mb": _journal_mb(place),
        }


def written(folder: Path, trials: int) -> Path:
    """A run as it stands when its process was killed near the end: losses like real ones, 1 in 20
    trials still to be trained."""
    from cae.sweep.engine import runner, session
    from cae.sweep.places import local
    from tests.places import TwoSlots

    path = sweep_file(folder, EPOCHS, "ASHA(grace_epochs=50)")
    prepared = session.prepare(session.select(path, folder / "run", "full", None, trials, None, ""))
    with mock.patch.object(runner, "_train_all"), mock.patch.object(local, "local_ray"):
        session.execute(prepared, TwoSlots(), command="scale")  # sweep.json, and who asks for what
    draw, now = random.Random(0), time.time()
    names = prepared.plan.trials[0].trial.metric_names()
    with (folder / "run" / "journal.jsonl").open("a") as journal:
        for planned in prepared.plan.trials:
            last = EPOCHS if planned.number % 20 else EPOCHS // 2
            place = {"host": "node", "device": "cpu", "worker": 1}
            print(
                json.dumps({"event": "start", "time": now, "trial": planned.number, "epoch": 0}),
                file=journal,
            )
            for epoch in range(1, last + 1):
                now += 0.01
                metrics = {name: draw.random() * (1 + 1 / epoch) for name in names}
                event = {
                    "event": "epoch",
                    "time": round(now, 3),
                    "trial": planned.number,
                    "epoch": epoch,
                    "metrics": metrics,
                }
                print(json.dumps(event | (place if epoch == 1 else {})), file=journal)
            if last == EPOCHS:
                metrics = {
                    f"test_{name}": draw.random()
                    for name in ("loss", "psnr", "ssim", "baseline_mean_image")
                }
                end = {
                    "event": "end",
                    "time": round(now, 3),
                    "trial": planned.number,
                    "state": "finished",
                    "reason": "all 50 epochs",
                }
                print(
                    json.dumps(
                        end
                        | {"best_epoch": draw.randint(1, EPOCHS), "metrics": metrics, "tables": {}}
                    ),
                    file=journal,
                )
    return path


def _times(started: float, spent: float) -> Row:
    """Seconds by the clock, and of the processor: on a machine that others use too only the second
    compares."""
    return {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - spent}


def _journal_mb(folder: Path) -> float:
    return (folder / "run" / "journal.jsonl").stat().st_size / 1e6


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


COMPONENTS: dict[str, Callable[[int], Row]] = {
    "driver": driver,
    "results": results,
    "plan": plan,
    "resume": resume,
    "status": status,
    "report": report,
}


if __name__ == "__main__":
    main()
