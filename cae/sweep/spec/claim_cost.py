"""The time of training trials of a plan, with the trials that they depend on."""

from __future__ import annotations

import json
from collections.abc import Sequence

from cae.sweep.spec.plan import Plan
from cae.sweep.spec.planned_trial import PlannedTrial


class TrainingCost:
    """Seconds of training, one trial at a time; what the run holds already costs nothing."""

    def __init__(self, plan: Plan, seconds_per_epoch: Sequence[float]) -> None:
        """`seconds_per_epoch`: of each trial of `plan.listed`; NaN if it is not known."""
        self._trials: dict[int, PlannedTrial] = {}
        self._by_configuration: dict[str, PlannedTrial] = {}
        self._epoch_seconds: dict[int, float] = {}
        for trial, seconds in zip(plan.listed, seconds_per_epoch, strict=True):
            self._trials[trial.number] = trial
            self._by_configuration[_configuration(trial, trial.trial.seed)] = trial
            self._epoch_seconds[trial.number] = seconds

    def dependencies(self, trials: Sequence[PlannedTrial]) -> list[PlannedTrial]:
        """The unfinished dependencies of trials and of their dependencies, each once."""
        requested = {trial.number for trial in trials}
        waiting = [number for trial in trials for number in trial.dependencies.values()]
        found: dict[int, PlannedTrial] = {}
        while waiting:
            dependency = self._trials[waiting.pop(0)]
            if dependency.number in found or dependency.finished:
                continue
            found[dependency.number] = dependency
            waiting += dependency.dependencies.values()
        return [trial for number, trial in found.items() if number not in requested]

    def untrained_seeds(self, trial: PlannedTrial, seeds: int) -> int:
        """How many of the first seeds of a configuration are not finished.

        `trial`: the one with the first seed.
        """
        planned = self._planned_seeds(trial, seeds)
        return seeds - sum(other.finished for other in planned)

    def seconds(self, trials: Sequence[PlannedTrial], seeds: int = 1) -> float:
        """Seconds of the remaining epochs of trials and of their dependencies.

        A dependency that several trials share is trained once: it is the same for all seeds.

        Args:
            trials: The trials with the first seed.
            seeds: How many seeds of each are trained.
        """
        total = sum(map(self._remaining_seconds, self.dependencies(trials)))
        for trial in trials:
            planned = self._planned_seeds(trial, seeds)
            total += sum(map(self._remaining_seconds, planned))
            new_seeds = seeds - len(planned)
            total += new_seeds * self._epoch_seconds[trial.number] * trial.trial.epochs
        return total

    def _remaining_seconds(self, trial: PlannedTrial) -> float:
        if trial.finished:
            return 0.0
        return self._epoch_seconds[trial.number] * (trial.trial.epochs - trial.done_epochs)

    def _planned_seeds(self, trial: PlannedTrial, seeds: int) -> list[PlannedTrial]:
        """The trials of the plan with a configuration and its first seeds."""
        planned: list[PlannedTrial] = []
        for seed in range(trial.trial.seed, trial.trial.seed + seeds):
            other = self._by_configuration.get(_configuration(trial, seed))
            if other is not None:
                planned.append(other)
        return planned


def _configuration(trial: PlannedTrial, seed: int) -> str:
    """A text that is equal for equal configurations with a seed."""
    return json.dumps(trial.trial.flat() | {"seed": seed}, sort_keys=True)
