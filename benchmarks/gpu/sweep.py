"""Trials per minute of a whole sweep with 1, 2, 4 and 8 trials per GPU."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu import commands
from benchmarks.gpu.stage import Stage
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from cae.sweep.places.mps import MPS_VARIABLE
from cae.trial.steps import GRAPHS_VARIABLE

SWEEP = Path(__file__).parent / "sweeps" / "denoisers.py"
TRIALS = 24
REHEARSAL = ("--set", "dataset.train_images=256", "--set", "dataset.val_images=64")
MIN_SECONDS = 12.0
"""A case is not started with less time left."""


class Case(NamedTuple):
    """How the trials run."""

    trials_per_gpu: int
    graphs: bool
    mps: bool


CASES = (
    Case(1, graphs=True, mps=False),
    Case(4, graphs=True, mps=True),
    Case(4, graphs=True, mps=False),
    Case(8, graphs=True, mps=True),
    Case(1, graphs=False, mps=False),
    Case(4, graphs=False, mps=True),
    Case(2, graphs=True, mps=True),
    Case(8, graphs=True, mps=False),
    Case(8, graphs=False, mps=True),
    Case(4, graphs=False, mps=False),
)
"""The most informative ones first."""


def run(stage: Stage) -> None:
    cases = CASES[:2] if stage.is_rehearsal else CASES
    longest = MIN_SECONDS
    for case in cases:
        if stage.remaining < longest:
            break
        before = stage.remaining
        _run_case(stage, case)
        longest = max(longest, before - stage.remaining)
    stage.at_least("cases", len(stage.rows), 2)


def _run_case(stage: Stage, case: Case) -> None:
    name = f"{case.trials_per_gpu}-{case.graphs}-{case.mps}"
    options = ["--quiet", "--out", name, "--gpus-per-trial", f"{1 / case.trials_per_gpu:g}"]
    if stage.is_rehearsal:
        options += REHEARSAL
    environment = {GRAPHS_VARIABLE: str(int(case.graphs)), MPS_VARIABLE: str(int(case.mps))}
    done = commands.run(stage, "run", SWEEP, *options, environment=environment)
    records = RunDir(stage.folder / name).records().values()
    states = [record.state for record in records]
    stage.holds(f"{name}: {TRIALS} trials finished", states == [TrialState.FINISHED] * TRIALS)
    times = [time for record in records for time in record.epoch_times.values()]
    ends = [record.end.time for record in records if record.end]
    training = max([*times, *ends], default=0.0) - min(times, default=0.0)
    seconds = [row["seconds"] for record in records for row in record.epochs.values()]
    busy = [r.end.gpu_busy for r in records if r.end and r.end.gpu_busy is not None]
    stage.rows.append(
        {
            "trials_per_gpu": case.trials_per_gpu,
            "cuda_graphs": case.graphs,
            "mps": case.mps and "time-sliced" not in done.output,
            "wall_s": done.seconds,
            "first_epoch_to_end_s": training,
            "trials_per_minute": 60 * TRIALS / done.seconds,
            "seconds_per_epoch": statistics.median(seconds or [0.0]),
            "peak_gpu_mib": max(
                (r.starts[-1].peak_gpu_bytes or 0 for r in records if r.starts), default=0
            )
            / 2**20,
            "gpu_busy": statistics.fmean(busy) if busy else None,
            "output": done.output[-200:],
        }
    )
    stage.save()
