"""Runs with several comparability groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cae.report.data import tables
from cae.report.data.results import Results
from cae.run.paths import RunDir
from tests.report.synthetic_runs import MakeWriter, RunWriter

NOISE = "task.noise_factor"
KERNEL = "arch.kernel_size"
FILTERS = "arch.filters"


@dataclass(frozen=True)
class GroupedTrial:
    """A trial of a run with several groups, and its losses by epoch."""

    axes: dict[str, Any]
    losses: tuple[float, ...]
    seed: int = 0
    state: str = "finished"
    config: dict[str, Any] = field(default_factory=dict)


def denoised(noise: float, kernel: int, *losses: float, seed: int = 0) -> GroupedTrial:
    """A finished trial at a noise level; the levels are groups in which the loss is defined
    equally."""
    return GroupedTrial({NOISE: noise, KERNEL: kernel}, losses, seed)


def with_loss(name: str, kernel: int, *losses: float, seed: int = 0) -> GroupedTrial:
    """A finished trial with a loss; the losses are groups in which only PSNR is defined equally."""
    axes = {"task.loss": name, KERNEL: kernel}
    return GroupedTrial(axes, losses, seed, config={"task": "reconstruct"})


def write_trials(run: RunWriter, trials: dict[int, GroupedTrial]) -> RunDir:
    run.session(list(trials))
    for number, trial in trials.items():
        config: dict[str, Any] = {"task": "denoise", "task.loss": "bce", "epochs": 4}
        config |= trial.config
        config = {name: value for name, value in config.items() if name not in trial.axes}
        run.trial(number, trial.axes, seed=trial.seed, **config)
    for number, trial in trials.items():
        run.start(number)
        for epoch, loss in enumerate(trial.losses, start=1):
            run.epoch(number, epoch, loss)
        last = trial.losses[-1]
        run.end(number, trial.state, metrics={"test_loss": last, "test_baseline_mean": 0.5})
    return run.close()


def results_of(
    writer: MakeWriter, *trials: GroupedTrial, name: str = "run", **sweep: Any
) -> Results:
    """The results of a run with these trials, numbered from 1."""
    numbered = dict(enumerate(trials, start=1))
    return tables.read([write_trials(writer(name, overrides={}, **sweep), numbered)])


def random_trials(seed: int, groups: int, trials_per_group: int) -> dict[int, GroupedTrial]:
    """Trials of all groups in random order, with random losses, some of them stopped early.

    The losses of each group have another scale, and each group prefers another kernel size.
    """
    random = np.random.default_rng(seed)
    trials: list[GroupedTrial] = []
    for group in range(groups):
        for index in range(trials_per_group):
            kernel = (3, 5, 7)[index % 3]
            filters = (8, 16)[index // 3 % 2]
            level = 1 + 0.3 * ((index + group) % 3) + 0.1 * (filters == 8)
            level += float(random.normal(0, 0.05))
            losses = [10.0**-group * level * (1 + 1 / epoch) for epoch in range(1, 5)]
            state = "finished"
            if random.random() < 0.25:
                state = "stopped"
                losses = losses[: 1 + int(random.integers(2))]
            axes = {NOISE: group / 10, KERNEL: kernel, FILTERS: filters}
            trials.append(GroupedTrial(axes, tuple(losses), index // 6, state))
    order = random.permutation(len(trials))
    return {number: trials[index] for number, index in enumerate(order, start=1)}
