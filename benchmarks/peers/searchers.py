"""Searches of Optuna and Syne Tune, for replays on known curves (benchmarks/search.py).

They suggest points of the whole grid; where only a sample of it has curves, the nearest one that
was not tried yet is taken, and its parameters and its result are reported to the search.
"""

from __future__ import annotations

import datetime
import importlib.util
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cae.sweep.search.features import features


@dataclass(frozen=True)
class KnownTrial:
    """A trial whose curve is known."""

    axes: dict[str, Any]
    values: list[float]
    """The metric after each epoch; lower is better."""
    amount: float = 0.0
    """A second objective that is known before training, such as the number of parameters."""


@dataclass
class Tried:
    """A trial as a search saw it."""

    index: int
    """Of the trial."""
    values: list[float]
    """Until it finished or was stopped."""


Chooser = Callable[[Sequence[Tried]], int | None]
"""Returns the index of the next trial; None: all have been tried."""


def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


class NearestUntried:
    """The nearest trial that was not tried yet."""

    def __init__(self, trials: Sequence[KnownTrial]) -> None:
        self._axes = [trial.axes for trial in trials]
        self._index = {_key(trial.axes): index for index, trial in enumerate(trials)}

    def index(self, point: dict[str, Any], tried: Sequence[Tried]) -> int:
        """The index of the trial with the smallest distance to a point."""
        indices = {trial.index for trial in tried}
        exact = self._index.get(_key(point))
        if exact is not None and exact not in indices:
            return exact
        rows = features([*self._axes, point])
        distances = np.abs(rows[:-1] - rows[-1]).sum(axis=1)
        distances[list(indices)] = np.inf
        return int(distances.argmin())


def _key(point: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in point.items()))


def values_by_name(trials: Sequence[KnownTrial]) -> dict[str, list[Any]]:
    """The values of each parameter of a grid."""
    names = trials[0].axes
    return {name: sorted({trial.axes[name] for trial in trials}, key=repr) for name in names}


# Optuna


def optuna_chooser(
    sampler_name: str, trials: Sequence[KnownTrial], seed: int, *, has_amounts: bool = False
) -> Chooser:
    """A sampler of Optuna with its defaults.

    Args:
        sampler_name: A class of `optuna.samplers`.
        trials: The trials among which it chooses.
        seed: Seed of the sampler.
        has_amounts: Whether `amount` is a second objective.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directions = [optuna.study.StudyDirection.MINIMIZE]
    if has_amounts:
        directions.append(optuna.study.StudyDirection.MINIMIZE)
    sampler = getattr(optuna.samplers, sampler_name)(seed=seed)
    study = optuna.create_study(sampler=sampler, directions=directions)
    space: dict[str, optuna.distributions.BaseDistribution] = {}
    for name, values in values_by_name(trials).items():
        space[name] = optuna.distributions.CategoricalDistribution(values)
    nearest = NearestUntried(trials)

    def tell(last: Tried) -> None:
        known = trials[last.index]
        state = optuna.trial.TrialState.PRUNED
        if len(last.values) == len(known.values):
            state = optuna.trial.TrialState.COMPLETE
        objectives = [min(last.values)]
        intermediate = dict(enumerate(last.values, 1))
        if has_amounts:
            objectives.append(known.amount)
            intermediate = {}
        study.add_trial(
            optuna.trial.create_trial(
                params=known.axes,
                distributions=space,
                values=objectives,
                intermediate_values=intermediate,
                state=state,
            )
        )

    def choose(tried: Sequence[Tried]) -> int | None:
        if tried:
            tell(tried[-1])
        if len(tried) == len(trials):
            return None
        return nearest.index(study.ask(space).params, tried)

    return choose


# Syne Tune


class SyneTune:
    """A scheduler of Syne Tune, which suggests trials and stops them."""

    def __init__(self, name: str, trials: Sequence[KnownTrial], seed: int) -> None:
        """Create the scheduler with its defaults, and 1, 3, 9, ... epochs as rungs.

        Args:
            name: A class of `syne_tune.optimizer.baselines`.
            trials: The trials among which it chooses.
            seed: Seed of the scheduler.
        """
        import syne_tune.optimizer.baselines as baselines
        from syne_tune.config_space import choice

        logging.getLogger("syne_tune").setLevel(logging.ERROR)
        np.random.seed(seed)  # some searchers use the global generator
        space = {name: choice(values) for name, values in values_by_name(trials).items()}
        self._scheduler = getattr(baselines, name)(
            space,
            metric="value",
            time_attr="epoch",
            max_t=max(len(trial.values) for trial in trials),
            random_seed=seed,
        )
        self._trials = trials
        self._nearest = NearestUntried(trials)
        self._current: Any = None

    def choose(self, tried: Sequence[Tried]) -> int | None:
        """The index of the next trial; None: all have been tried."""
        from syne_tune.backend.trial_status import Trial

        if len(tried) == len(self._trials):
            return None
        suggestion = self._scheduler.suggest()
        index = self._nearest.index(suggestion.config, tried)
        now = datetime.datetime(2026, 1, 1)
        self._current = Trial(len(tried), dict(self._trials[index].axes), now)
        self._scheduler.on_trial_add(self._current)
        return index

    def report(self, trial: int, epoch: int, value: float) -> str | None:
        """Report an epoch of the trial that was chosen last; None: it continues."""
        del trial
        from syne_tune.optimizer.scheduler import SchedulerDecision

        result = {"value": value, "epoch": epoch}
        decision = self._scheduler.on_trial_result(self._current, result)
        if decision == SchedulerDecision.STOP:
            return "stopped"
        return None
