"""The same seed gives the same bits: run again, resumed, with and without CUDA graphs, killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.stage import Stage
from benchmarks.gpu.workloads import synthetic_images, troublesome_trials
from cae.trial import checkpoint
from cae.trial.config import Trial
from cae.trial.steps import GRAPHS_VARIABLE
from cae.trial.training import train

EPOCHS = 4
"""Epochs that are compared; the trials have one more, so that no final evaluation is made."""
EPOCHS_BEFORE_RESUME = 3
TRAIN_IMAGES = 600
"""Of batches of 64, the last one is smaller."""
VAL_IMAGES = 100
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "Adam": {"optimizer": "adam"},
    "RMSprop": {"optimizer": "rmsprop", "optimizer.momentum": 0.5},
    "SGD": {"optimizer": "sgd", "optimizer.momentum": 0.9},
}
SCHEDULE: dict[str, Any] = {
    "schedule": "reduce_on_plateau",
    "schedule.patience": 0,
    "schedule.threshold": 0.99,
}


def trials() -> dict[str, Trial]:
    """Return every trial with every optimizer, and a learning rate that changes."""
    result = {}
    for name, trial in troublesome_trials().items():
        for optimizer, changes in OPTIMIZERS.items():
            result[f"{name}, {optimizer}"] = trial.override(
                {**changes, **SCHEDULE, "epochs": EPOCHS + 1}
            )
    return result


class Result:
    """Losses and final weights of a trial."""

    def __init__(self, trial: Trial, folder: Path, device: torch.device) -> None:
        images = synthetic_images(trial, TRAIN_IMAGES, VAL_IMAGES, device)
        self.losses: list[tuple[float, float]] = []
        self.replayed = 0
        for epoch in train(trial, images, folder):
            self.losses.append((epoch.row["train_loss"], epoch.row["val_loss"]))
            self.replayed += epoch.replayed_steps
            if epoch.epoch == EPOCHS:
                break
        self.weights: dict[str, Tensor] = checkpoint.load(folder / checkpoint.LAST).network

    def equals(self, other: Result) -> bool:
        """Whether losses and weights are equal, bit for bit."""
        return self.losses == other.losses and all(
            torch.equal(weight, other.weights[name]) for name, weight in self.weights.items()
        )


def train_first_epochs(folder: Path, device: torch.device) -> None:
    """Train the first epochs of each trial, for another process to resume."""
    if device.type != "cuda":
        torch.set_num_threads(1)  # as in the stage: sums depend on the number of threads
    for name, trial in trials().items():
        images = synthetic_images(trial, TRAIN_IMAGES, VAL_IMAGES, device)
        for epoch in train(trial, images, folder / name):
            if epoch.epoch == EPOCHS_BEFORE_RESUME:
                break


def run(stage: Stage) -> None:
    interrupted = stage.folder / "interrupted"
    program = (
        "import sys, torch; from pathlib import Path; from benchmarks.gpu.bits import "
        "train_first_epochs; train_first_epochs(Path(sys.argv[1]), torch.device(sys.argv[2]))"
    )
    other_process = subprocess.Popen(
        [sys.executable, "-c", program, str(interrupted), str(stage.device)]
    )
    results: dict[str, Result] = {}
    for name, trial in trials().items():
        folder = stage.folder / "first" / name
        results[name] = Result(trial, folder, stage.device)
        again = Result(trial, stage.folder / "again" / name, stage.device)
        os.environ[GRAPHS_VARIABLE] = "0"
        plain = Result(trial, stage.folder / "plain" / name, stage.device)
        del os.environ[GRAPHS_VARIABLE]
        first = results[name]
        stage.holds(f"{name}: run twice", again.equals(first))
        stage.holds(f"{name}: without CUDA graphs", plain.equals(first))
        stage.holds(f"{name}: plain steps are not replayed", plain.replayed == 0)
        if not stage.is_rehearsal:
            stage.at_least(f"{name}: replayed steps", first.replayed, 1)
        stage.rows.append({"trial": name, "replayed": first.replayed, "loss": first.losses[-1][1]})
    other_process.wait()
    stage.holds("the interrupted process ended", other_process.returncode == 0)
    for name, trial in trials().items():
        resumed = Result(trial, interrupted / name, stage.device)
        stage.holds(f"{name}: resumed by another process", resumed.equals(results[name]))
