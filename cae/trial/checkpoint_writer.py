"""When the checkpoints of a trial are written.

The checkpoint of a large network takes seconds to write. It is postponed, so that it is written at
most every MAX_UNSAVED_SECONDS of training. What is postponed is a copy in memory: it is written
when the trial ends in any way in which its process continues. A killed process loses it, and the
epochs since the newest file are trained again, with the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cae.files import SyncSchedule
from cae.trial.checkpoint import Checkpoint, Samples, save_best, save_last

LARGE_BYTES = 16 * 2**20
"""Checkpoints of fewer bytes (1.4 million parameters with Adam) are written after each epoch: that
takes less than 0.1 s."""
MAX_UNSAVED_SECONDS = 10.0
"""Larger ones are written after so many seconds of training and validation."""


def is_large(last: Checkpoint) -> bool:
    """Whether the newest epoch's checkpoint of a trial may be postponed, because of its size."""
    tensors = [*last.network.values(), *last.optimizer.values()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors) >= LARGE_BYTES


@dataclass(frozen=True)
class BestEpoch:
    """What is written about the best epoch."""

    checkpoint: Checkpoint
    samples: Samples


class CheckpointWriter:
    """Writes the checkpoints of one trial, or keeps them until it is time."""

    def __init__(self, folder: Path, files: SyncSchedule) -> None:
        """Create the writer of a trial.

        Args:
            folder: The trial's folder.
            files: Writes the files.
        """
        self._folder = folder
        self._files = files
        self._last: Checkpoint | None = None
        self._best: BestEpoch | None = None
        """The best epoch that is not written yet."""
        self._unsaved_seconds = 0.0
        """Training time of the epochs that are not written yet."""

    def add(
        self, last: Checkpoint, best: BestEpoch | None, seconds: float, *, may_postpone: bool
    ) -> None:
        """Write the checkpoints of an epoch, or keep them.

        Args:
            last: Its checkpoint. If it may be postponed, its tensors must not change any more.
            best: What to write if it is the best epoch so far.
            seconds: How long the epoch took.
            may_postpone: Whether the trial continues, and its checkpoint is large.
        """
        self._last = last
        if best is not None:
            self._best = best
        self._unsaved_seconds += seconds
        if may_postpone and self._unsaved_seconds < MAX_UNSAVED_SECONDS:
            self._folder.mkdir(parents=True, exist_ok=True)
        else:
            self._write()

    def close(self) -> None:
        """Write what was postponed, unless the trial's folder was deleted."""
        if self._folder.is_dir():
            self._write()

    def _write(self) -> None:
        """Write the newest epoch and the best one since the last call.

        The newest epoch comes first if it is also the best one: from its file the best one can be
        written, if this process dies in between. Otherwise the best one comes first: training
        resumes at an epoch before it and reaches it again.
        """
        last = self._last
        best = self._best
        if last is None:
            return
        with self._files.writing():
            if best is not None and best.checkpoint.epoch < last.epoch:
                self.write_best(best)
            save_last(self._folder, last, self._files)
            if best is not None and best.checkpoint.epoch == last.epoch:
                self.write_best(best)
        self._last = None
        self._best = None
        self._unsaved_seconds = 0.0

    def write_best(self, best: BestEpoch) -> None:
        """Write a best epoch immediately."""
        save_best(self._folder, best.checkpoint, self._files)
        best.samples.save(self._folder, self._files.write)
