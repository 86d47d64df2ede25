"""The results of a trial that nothing interrupts: trained in this process, without Ray."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from cae.run.paths import RunDir
from cae.trial.batches import DeviceImages
from cae.trial.config import from_flat
from cae.trial.training import train


def undisturbed_losses(run: RunDir, number: int) -> list[float]:
    """Train a trial of a run again, on one thread; return val_loss of every epoch."""
    trial = from_flat(run.records()[number].config)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            images = DeviceImages.load(trial.dataset.load([]), torch.device("cpu"))
            epochs = train(trial, images, Path(folder))
            return [epoch.row["val_loss"] for epoch in epochs]
    finally:
        torch.set_num_threads(threads)
