"""Full budgets of the reports on the GPU, in order of importance, as far as the time allows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu import commands
from benchmarks.gpu.stage import Stage
from benchmarks.networks import SWEEPS
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState

RUNS_VARIABLE = "GPU_RUNS"
"""Environment variable: the folder of the runs, which a later call resumes."""
CONTINUOUS = ("--gpus-per-trial", "0.25")


class Case(NamedTuple):
    """A sweep at its full budget, or a part of it."""

    name: str
    sweep: str
    options: tuple[str, ...]
    needs: str
    """The data set's folder."""


CASES = (
    Case("cifar_baseline", "cifar_baseline", ("--set", "seeds=3"), "cifar-10-batches-bin"),
    Case("mnist_denoise", "mnist_denoise", (), "MNIST"),
    Case("fashion_halves", "fashion_halves", ("--max-trials", "3"), "FashionMNIST"),
    Case("mnist_grid", "mnist_grid", ("--max-trials", "4"), "MNIST"),
    Case("cifar_grid", "cifar_grid", (), "cifar-10-batches-bin"),
    Case("mnist_classifier", "mnist_classifier", (), "MNIST"),
    Case("mnist_vae", "mnist_vae", (), "MNIST"),
)


def run(stage: Stage) -> None:
    data = Path(os.environ.get("CAE_DATA", ""))
    runs = Path(os.environ.get(RUNS_VARIABLE, stage.folder))
    for case in CASES:
        if stage.remaining < 15:
            break
        if not (data / case.needs).exists():
            stage.facts[case.name] = f"left out: no {case.needs} in the data folder"
            continue
        _run_case(stage, case, runs / case.name)
    stage.at_least("runs", len(stage.rows), 1)


def _run_case(stage: Stage, case: Case, folder: Path) -> None:
    options: list[str | Path] = ["--quiet", "--yes", "--out", folder, *case.options, *CONTINUOUS]
    if stage.is_rehearsal:
        options += ["--budget", "cpu", "--max-trials", "1", "--set", "epochs=1"]
    done = commands.run(stage, "run", SWEEPS / f"{case.sweep}.py", *options)
    run_dir = RunDir(folder)
    records = [record for record in run_dir.records().values() if record.is_requested]
    finished = sum(record.state in (TrialState.FINISHED, TrialState.STOPPED) for record in records)
    stage.at_most(f"{case.name}: exit code", done.code, 0)
    for record in records:
        start = record.starts[-1] if record.starts else None
        stage.rows.append(
            {
                "run": case.name,
                "trial": record.number,
                "axes": record.axes,
                "seed": record.config.get("seed"),
                "state": str(record.state),
                "epochs": record.last_epoch,
                "train_seconds": sum(row["seconds"] for row in record.epochs.values()),
                "device": start.device if start else "",
                "replayed_steps": start.replayed_steps if start else None,
                "last": record.epochs.get(record.last_epoch, {}),
                "best_epoch": record.end.best_epoch if record.end else None,
                "final": record.final_metrics,
            }
        )
    stage.facts[case.name] = {
        "wall_s": done.seconds,
        "trials": len(records),
        "finished": finished,
        "output": done.output[-600:],
    }
