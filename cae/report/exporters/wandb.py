"""Weights & Biases: one run per trial, by its own library and its environment variables.

WANDB_PROJECT, WANDB_ENTITY and WANDB_MODE=offline have their usual meaning.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

from cae.report.exporters import trackers
from cae.run.records import Record
from cae.run.trial_state import TrialState

if TYPE_CHECKING:
    import wandb

ENDED_WELL = frozenset({TrialState.FINISHED, TrialState.STOPPED, TrialState.KILLED})
"""States of trials that count as finished; all others as failed."""
PROJECT = "cae-sweep"
"""Used without WANDB_PROJECT."""


class WandbTracker(trackers.Tracker):
    """Sends trials to Weights & Biases, or writes them into a folder if it is offline.

    The identifier of a trial's run follows from the location of the run and from its number, so
    that a resumed sweep continues it. `run.step` is then one more than its last epoch.
    """

    def __init__(self, folder: Path, group: str, location: str) -> None:
        """Raise ImportError if the library is not installed.

        Args:
            folder: The library creates its folder `wandb` in it.
            group: Name that the trials have in common.
            location: Of the run; part of the identifiers.
        """
        import wandb as _  # noqa: F401

        self._folder = folder
        self._group = group
        self._location = location
        self._runs: dict[int, wandb.Run] = {}

    @override
    def start(self, record: Record) -> None:
        import wandb

        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run_id(self._location, record.number),
            name=f"trial {record.number}",
            group=self._group,
            config=trackers.settings(record),
            dir=str(self._folder),
            resume="allow",
            reinit="create_new",  # several trials are open at the same time
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )
        run.define_metric("epoch")
        run.define_metric("*", step_metric="epoch")
        self._runs[record.number] = run

    @override
    def log(self, record: Record, measurements: Iterable[trackers.Measurement]) -> None:
        """Record metrics. W&B keeps the first value of an epoch: it refuses, with a warning for
        each, epochs up to the last one that it has."""
        run = self._runs[record.number]
        for epoch, _, metrics, is_final in measurements:
            if is_final:
                run.summary.update(metrics)
            elif epoch >= run.step:
                # Without `commit`, an epoch is sent when the next one is logged.
                run.log({"epoch": epoch, **metrics}, step=epoch, commit=True)

    @override
    def end(self, record: Record) -> None:
        run = self._runs.pop(record.number)
        run.summary.update({"state": str(record.state), "reason": record.reason})
        exit_code = 1
        if record.state in ENDED_WELL:
            exit_code = 0
        run.finish(exit_code)

    @override
    def close(self) -> None:
        import wandb

        for run in self._runs.values():
            run.summary.update({"state": str(TrialState.INTERRUPTED)})
            run.finish(1)
        self._runs.clear()
        wandb.teardown()


def run_id(location: str, number: int) -> str:
    """The identifier of a trial's run: letters, digits and hyphens, as the service demands."""
    digest = hashlib.sha256(location.encode()).hexdigest()[:12]
    return f"{digest}-{number}"
