"""Large networks: an epoch with its checkpoint, written after each epoch or postponed.

    python -m benchmarks.checkpoints        # results/checkpoints.csv; 5 min, 5 GB of memory

Each contender trains the same trial on random images, one thread, durable files. The rows compare
the wall time of an epoch with that of its training and validation alone.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import torch

from benchmarks.gpu.workloads import synthetic_images
from benchmarks.measure import Row, save, show
from cae.trial import checkpoint_writer
from cae.trial.checkpoint import LAST
from cae.trial.config import Trial
from cae.trial.datasets import Mnist
from cae.trial.networks import DenseAutoencoder
from cae.trial.optimizers import Adam
from cae.trial.tasks import Reconstruct
from cae.trial.training import Epoch, train

HIDDEN_UNITS = {"20 M": (6144, 1024), "94 M": (16384, 2048)}
BATCH_SIZE = 64
TRAIN_IMAGES = 256
EPOCHS = 1000
"""More than are trained."""
ALWAYS = 2**62
"""With this limit no network is large."""
MIB = 2**20


def trial_of(hidden_units: tuple[int, ...]) -> Trial:
    return Trial(
        dataset=Mnist(),
        task=Reconstruct(),
        arch=DenseAutoencoder(hidden_units=hidden_units),
        optimizer=Adam(lr=1e-4),
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
    )


def next_epoch(epochs: Generator[Epoch, None, None], large_bytes: int) -> tuple[float, float]:
    """Train an epoch; return its wall seconds, and those of its training and validation."""
    checkpoint_writer.LARGE_BYTES = large_bytes
    started = time.perf_counter()
    epoch = next(epochs)
    return time.perf_counter() - started, epoch.row["seconds"]


def measure(name: str, rounds: int, folder: Path, device: torch.device) -> Row:
    trial = trial_of(HIDDEN_UNITS[name])
    images = synthetic_images(trial, TRAIN_IMAGES, BATCH_SIZE, device)
    limits = {"each": ALWAYS, "postponed": checkpoint_writer.LARGE_BYTES}
    epochs: dict[str, Generator[Epoch, None, None]] = {}
    for contender, limit in limits.items():
        epochs[contender] = train(trial, images, folder / contender)
        next_epoch(epochs[contender], limit)
    wall: dict[str, list[float]] = {contender: [] for contender in limits}
    training: dict[str, list[float]] = {contender: [] for contender in limits}
    for _ in range(rounds):
        for contender, limit in limits.items():
            seconds, trained = next_epoch(epochs[contender], limit)
            wall[contender].append(seconds)
            training[contender].append(trained)
    started = time.perf_counter()
    epochs["postponed"].close()
    close_seconds = time.perf_counter() - started
    epochs["each"].close()
    trained_seconds = statistics.fmean([*training["each"], *training["postponed"]])
    return {
        "parameters": trial.sizes()["parameters"],
        "newest_checkpoint_mib": (folder / "each" / LAST).stat().st_size / MIB,
        "rounds": rounds,
        "training_s": trained_seconds,
        "each_s": statistics.fmean(wall["each"]),
        "postponed_s": statistics.fmean(wall["postponed"]),
        "each_over_postponed": statistics.fmean(wall["each"]) / statistics.fmean(wall["postponed"]),
        "each_overhead_s": statistics.fmean(wall["each"]) - statistics.fmean(training["each"]),
        "postponed_overhead_s": (
            statistics.fmean(wall["postponed"]) - statistics.fmean(training["postponed"])
        ),
        "close_s": close_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for name in HIDDEN_UNITS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(name, arguments.rounds, Path(folder), torch.device("cpu")))
    show("An epoch of a large network", rows)
    save("checkpoints", rows)


if __name__ == "__main__":
    main()
