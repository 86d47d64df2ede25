"""Runs with early stopping in which values after fewer epochs lead to a wrong answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cae.report.data import tables
from cae.report.data.results import Results
from tests.report.synthetic_runs import LAST_EPOCH, MakeWriter

KERNEL = "arch.kernel_size"


@dataclass(frozen=True)
class PlantedTrial:
    """A trial with its losses by epoch. It was stopped if there are fewer than `epochs`."""

    kernel_size: int
    losses: list[float]
    seed: int = 0
    epochs: int = LAST_EPOCH
    state: str = ""
    """How it ended if this does not follow from the losses."""
    stopped_by: str = "scheduler"


def planted(
    writer: MakeWriter, trials: list[PlantedTrial], name: str = "planted", **sweep: Any
) -> Results:
    """sweep: keys of sweep.json that differ from those of other synthetic runs."""
    run = writer(name, **sweep)
    run.session(list(range(1, len(trials) + 1)))
    for number, trial in enumerate(trials, 1):
        run.trial(number, {KERNEL: trial.kernel_size}, seed=trial.seed, epochs=trial.epochs)
        run.start(number)
        for epoch, loss in enumerate(trial.losses, 1):
            run.epoch(number, epoch, loss)
        state = trial.state or "stopped"
        if not trial.state and len(trial.losses) == trial.epochs:
            state = "finished"
        rung: dict[str, Any] = {}
        if state == "stopped":
            rung = {"rung": len(trial.losses), "value": trial.losses[-1], "cutoff": 0.01}
            rung["stopped_by"] = trial.stopped_by
        run.end(number, state, **rung)
    return tables.read([run.close()])


def slow_starters(writer: MakeWriter) -> Results:
    """Kernel 7 begins worse and ends better than kernel 3; half of its trials are stopped.

    The median over all trials, whatever their length, is 0.50 for kernel 7 and 0.21 for kernel 3.
    """
    trials = []
    for index in range(6):
        offset = 0.001 * index
        trials.append(PlantedTrial(3, [0.4 + offset, 0.3, 0.25, 0.21 + offset]))
        trials.append(PlantedTrial(7, [0.8 + offset, 0.4, 0.2, 0.1 + offset]))
        trials.append(PlantedTrial(7, [0.9 + offset]))
    return planted(writer, trials)


def all_stopped_at_one_setting(writer: MakeWriter) -> Results:
    """All trials of kernel 7 are stopped at epoch 1; those of kernels 3 and 5 do not differ."""
    trials = []
    for index in range(6):
        for kernel_size in (3, 5):
            loss = 0.2 + 0.01 * ((index + kernel_size) % 6)
            trials.append(PlantedTrial(kernel_size, [loss + 0.1, loss, loss, loss]))
        trials.append(PlantedTrial(7, [0.9 + 0.01 * index]))
    return planted(writer, trials)


SURVIVING_SEED = [
    PlantedTrial(3, [0.5, 0.3, 0.2, 0.1], seed=1),
    PlantedTrial(3, [0.9], seed=2),
    PlantedTrial(5, [0.5, 0.3, 0.25, 0.2], seed=1),
    PlantedTrial(5, [0.5, 0.3, 0.25, 0.25], seed=2),
]
"""The seed of kernel 3 that finished is better than both of kernel 5; the other was stopped."""


def trials_of_different_length() -> list[PlantedTrial]:
    """Kernel 7 was continued to 8 epochs and is then better; after 4 epochs it is not."""
    trials = [PlantedTrial(5, [0.05, 0.04], epochs=2)]
    for index in range(6):
        losses = [0.5, 0.4, 0.3, 0.2 + 0.01 * index]
        trials.append(PlantedTrial(3, losses))
        if index:
            trials.append(PlantedTrial(7, [*losses, 0.15, 0.1, 0.1, 0.1], epochs=8))
    return trials
