"""Share of the latent code's measures in the processor time of a trial, on one thread.

    CAE_DATA=DIR python -m benchmarks.latent        # results/latent.csv; 4 min

Trials of the cpu budgets, trained one after another as by one worker. The first one of a sweep also
imports scikit-learn, and computes what depends on the images only: the principal components and the
measures of the pixels. A trial with a new latent size measures that many components, one with a new
network measures the encoder with random weights.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Row, save, show
from benchmarks.networks import SWEEPS
from cae.sweep.engine.worker_memory import keep_freed_memory
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial import training
from cae.trial.batches import DeviceImages
from cae.trial.config import Trial
from cae.trial.datasets import data_folders
from cae.trial.latent.final import measure_latent
from cae.trial.training import train

FIRST = "first of a worker"
NEW_SIZE = "new latent size"
NEW_NETWORK = "new network"
OTHER_SEED = "other seed"


@dataclass(frozen=True)
class Measured:
    """A trial to train, and what is new in it."""

    sweep: str
    kind: str
    changes: dict[str, Any] = field(default_factory=dict)


FILTERS = "arch.encoder_filters"
TRIALS = (
    Measured("quickstart", FIRST),
    Measured("quickstart", NEW_SIZE, {FILTERS: [8, 8, 8]}),
    Measured("quickstart", NEW_NETWORK, {FILTERS: [8, 8, 8], "arch.kernel_size": 5}),
    Measured("quickstart", OTHER_SEED, {"seed": 1}),
    Measured("cifar_grid", FIRST, {FILTERS: [8, 16, 8]}),
    Measured("cifar_grid", OTHER_SEED, {FILTERS: [8, 16, 8], "seed": 1}),
    Measured("cifar_grid", NEW_SIZE, {FILTERS: [8, 16, 16]}),
    Measured("cifar_grid", NEW_NETWORK, {FILTERS: [8, 32, 16]}),
    Measured("cifar_grid", NEW_SIZE, {FILTERS: [8, 16, 32]}),
    Measured("cifar_grid", NEW_NETWORK, {FILTERS: [8, 32, 32]}),
    Measured("cifar_grid", NEW_NETWORK, {FILTERS: [8, 16, 64]}),
    Measured("mnist_grid", FIRST),
    Measured("mnist_grid", OTHER_SEED, {"seed": 1}),
    Measured("mnist_grid", NEW_NETWORK, {"arch.kernel_size": 2}),
)


def trial_of(measured: Measured) -> Trial:
    """The trial of the cpu budget, if the sweep has one, with the changes."""
    sweep = read_sweep_file(SWEEPS / f"{measured.sweep}.py").sweep
    budget = dict(sweep.budgets.get("cpu", {}))
    for of_sweep in ("max_trials", "seeds"):
        budget.pop(of_sweep, None)
    return sweep.base.override({**budget, **measured.changes})


def timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """The function, which appends its processor time to `seconds`."""

    def call(*arguments: Any, **options: Any) -> Any:
        started = time.process_time()
        try:
            return function(*arguments, **options)
        finally:
            seconds.append(time.process_time() - started)

    return call


def measure(measured: Measured, images: DeviceImages, seconds: list[float]) -> Row:
    trial = trial_of(measured)
    seconds.clear()
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for _ in train(trial, images, Path(folder), durable=False):
            pass
    total = time.process_time() - started
    return {
        "sweep": measured.sweep,
        "trial": measured.kind,
        "latent_values": trial.sizes()["latent_values"],
        "trial_s": round(total, 2),
        "latent_s": round(seconds[0], 3),
        "share": round(seconds[0] / total, 3),
    }


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()  # as a worker does
    seconds: list[float] = []
    # Where the training finds the function: it imports it by name.
    training.measure_latent = timed(measure_latent, seconds)  # type: ignore[attr-defined]
    loaded: dict[str, DeviceImages] = {}
    rows: list[Row] = []
    for measured in TRIALS:
        if measured.sweep not in loaded:
            dataset = trial_of(measured).dataset
            images = dataset.load(data_folders(None))
            loaded[measured.sweep] = DeviceImages.load(images, torch.device("cpu"))
        rows.append(measure(measured, loaded[measured.sweep], seconds))
    show("The measures of the latent code", rows)
    save("latent", rows)


if __name__ == "__main__":
    main()
