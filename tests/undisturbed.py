"""What a trial must have done, whatever interrupted it: the losses of a trial that nothing
interrupts, trained in this process and without Ray, and each epoch trained at most once."""

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


def assert_each_epoch_was_trained_once(log: str, epochs: int) -> None:
    """Check a trial's log: all epochs are in it, none was trained twice.

    A process that is killed between an epoch's checkpoint and its line in the log has trained the
    epoch; the next process logs it as "from the checkpoint".
    """
    for epoch in range(1, epochs + 1):
        trained = log.count(f"epoch {epoch}: ")
        restored = log.count(f"epoch {epoch}, from the checkpoint: ")
        assert trained <= 1, f"epoch {epoch} was trained {trained} times"
        assert trained + restored >= 1, f"epoch {epoch} is not in the log"
