"""What a trial's numbers are when nothing disturbs it: trained here, in this process, without Ray."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from cae.run.paths import RunDir
from cae.trial.batches import Resident
from cae.trial.config import from_flat
from cae.trial.training import train


def undisturbed_losses(run: RunDir, number: int) -> list[float]:
    """val_loss of every epoch, on one thread, as a trial of one CPU has it."""
    trial = from_flat(run.records()[number].config)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            images = Resident.of(trial.dataset.load([]), torch.device("cpu"))
            return [epoch.row["val_loss"] for epoch in train(trial, images, Path(folder))]
    finally:
        torch.set_num_threads(threads)
