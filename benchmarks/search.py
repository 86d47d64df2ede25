"""Searches on real training curves: epochs until a trial is within 1 % of the best one.

    CAE_DATA=DIR python -m benchmarks.search          # results/search.csv

The trials of two grids were trained to their ends once (benchmarks/early_stopping.py); here a
search chooses among them and reads their curves, one trial at a time. Each search is repeated with
ORDERS random orders or seeds. All use the same ASHA except `screen`, and `random, all epochs`.

Optuna and Syne Tune suggest points of the whole grid; where only a sample of it has curves, the
nearest one that was not tried yet is taken, and they are told its result and its parameters. The
goal counts for all: the best value of any curve.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.early_stopping import GRIDS, METRIC, SCHEDULER, TOLERANCE, plan_of, train_grid
from benchmarks.measure import Row, save, show
from cae.sweep.schedulers.base import Judge, NeverStop
from cae.sweep.schedulers.screen import Screen
from cae.sweep.search.base import Candidates, TrialResult
from cae.sweep.search.features import features
from cae.sweep.search.model_based import ModelBased

ORDERS = 200
REGRET_AFTER = (12, 24)
"""Numbers of trials after which the regret is measured."""


@dataclass(frozen=True)
class KnownTrial:
    """A trial that was trained to its end."""

    axes: dict[str, Any]
    values: list[float]
    """The metric after each epoch."""


@dataclass
class Tried:
    """A trial as a search saw it."""

    index: int
    """Of the trial."""
    values: list[float]
    """Until it finished or was stopped."""


Chooser = Callable[[Sequence[Tried]], int | None]
"""Returns the index of the next trial; None: all have been tried."""


def in_order(trials: Sequence[KnownTrial], seed: int) -> Chooser:
    """The trials in a random order."""
    order = list(range(len(trials)))
    random.Random(seed).shuffle(order)

    def choose(tried: Sequence[Tried]) -> int | None:
        if len(tried) == len(order):
            return None
        return order[len(tried)]

    return choose


def model_based(trials: Sequence[KnownTrial], seed: int) -> Chooser:
    """Our own search."""
    order = list(range(len(trials)))
    random.Random(seed).shuffle(order)
    epochs = max(len(trial.values) for trial in trials)
    candidates = Candidates([trials[index].axes for index in order], rungs=SCHEDULER.rungs(epochs))
    position = {index: place for place, index in enumerate(order)}

    def choose(tried: Sequence[Tried]) -> int | None:
        results: list[TrialResult] = []
        for trial in tried:
            all_epochs = len(trials[trial.index].values)
            results.append(TrialResult(position[trial.index], all_epochs, trial.values, True))
        suggestion = ModelBased().suggest(candidates, results)
        if suggestion is None:
            return None
        return order[suggestion.candidate]

    return choose


def optuna_search(sampler_name: str) -> Callable[[Sequence[KnownTrial], int], Chooser]:
    """A sampler of Optuna with its defaults."""

    def create(trials: Sequence[KnownTrial], seed: int) -> Chooser:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = getattr(optuna.samplers, sampler_name)(seed=seed)
        study = optuna.create_study(sampler=sampler)
        space: dict[str, optuna.distributions.BaseDistribution] = {}
        for name in trials[0].axes:
            values = sorted({trial.axes[name] for trial in trials}, key=repr)
            space[name] = optuna.distributions.CategoricalDistribution(values)
        nearest = NearestUntried(trials)

        def choose(tried: Sequence[Tried]) -> int | None:
            if tried:
                last = tried[-1]
                is_finished = len(last.values) == len(trials[last.index].values)
                state = optuna.trial.TrialState.PRUNED
                if is_finished:
                    state = optuna.trial.TrialState.COMPLETE
                study.add_trial(
                    optuna.trial.create_trial(
                        params=trials[last.index].axes,
                        distributions=space,
                        value=min(last.values),
                        intermediate_values=dict(enumerate(last.values, 1)),
                        state=state,
                    )
                )
            if len(tried) == len(trials):
                return None
            asked = study.ask(space)
            return nearest.index(asked.params, tried)

        return choose

    return create


class NearestUntried:
    """The nearest trial that was not tried yet."""

    def __init__(self, trials: Sequence[KnownTrial]) -> None:
        self._axes = [trial.axes for trial in trials]

    def index(self, point: dict[str, Any], tried: Sequence[Tried]) -> int:
        """The index of the trial with the smallest distance to a point."""
        rows = features([*self._axes, point])
        distances = np.abs(rows[:-1] - rows[-1]).sum(axis=1)
        for trial in tried:
            distances[trial.index] = np.inf
        return int(distances.argmin())


@dataclass(frozen=True)
class Outcome:
    """The result of one replay."""

    epochs_to_goal: int
    regrets: list[float]
    """Best value so far over the best of all, minus 1, after each of REGRET_AFTER trials."""


def replay(trials: Sequence[KnownTrial], choose: Chooser, judge: Judge) -> Outcome:
    """Run a search to the end, one trial at a time."""
    best_of_all = min(min(trial.values) for trial in trials)
    tried: list[Tried] = []
    epochs = 0
    best = float("inf")
    epochs_to_goal: int | None = None
    regrets: list[float] = []
    while (index := choose(tried)) is not None:
        seen: list[float] = []
        for value in trials[index].values:
            seen.append(value)
            epochs += 1
            best = min(best, value)
            if epochs_to_goal is None and best <= TOLERANCE * best_of_all:
                epochs_to_goal = epochs
            if judge.report(index, len(seen), value) is not None:
                break
        tried.append(Tried(index, seen))
        if len(tried) in REGRET_AFTER:
            regrets.append(best / best_of_all - 1)
        if epochs_to_goal is not None and len(tried) >= max(REGRET_AFTER):
            break
    return Outcome(epochs_to_goal or epochs, regrets)


def screened(trials: Sequence[KnownTrial], seed: int) -> Outcome:
    """All trials one epoch in a random order, then the best three to the end."""
    order = list(range(len(trials)))
    random.Random(seed).shuffle(order)
    best_of_all = min(min(trial.values) for trial in trials)
    goal = TOLERANCE * best_of_all
    judge = Screen().create_judge(max(len(trial.values) for trial in trials), METRIC, "min")
    epochs = 0
    for index in order:
        epochs += 1
        judge.report(index, 1, trials[index].values[0])
    stops = judge.decide()
    for index in order:
        if index not in stops:
            for value in trials[index].values[1:]:
                epochs += 1
                if value <= goal:
                    return Outcome(epochs, [])
    return Outcome(epochs, [])


SEARCHES: dict[str, Callable[[Sequence[KnownTrial], int], Chooser]] = {
    "random": in_order,
    "model-based (ours)": model_based,
    "Optuna TPE": optuna_search("TPESampler"),
    "Optuna GP": optuna_search("GPSampler"),
}


def compare(name: str, orders: int) -> Iterator[Row]:
    """Replay a grid with each search; a row per search."""
    curves = train_grid(name)
    trials = [
        KnownTrial(planned.axes, [row[METRIC] for row in curve])
        for planned, curve in zip(plan_of(GRIDS[name]), curves, strict=True)
    ]
    epochs = max(len(trial.values) for trial in trials)
    yield _row(
        name,
        "random, all epochs",
        [replay(trials, in_order(trials, seed), NeverStop()) for seed in range(orders)],
    )
    yield _row(name, "screen", [screened(trials, seed) for seed in range(orders)])
    for search, create in SEARCHES.items():
        if search.startswith("Optuna") and importlib.util.find_spec("optuna") is None:
            continue
        outcomes: list[Outcome] = []
        for seed in range(orders):
            judge = SCHEDULER.create_judge(epochs, METRIC, "min")
            outcomes.append(replay(trials, create(trials, seed), judge))
        yield _row(name, f"{search} + ASHA", outcomes)


def _row(grid: str, search: str, outcomes: Sequence[Outcome]) -> Row:
    epochs = [outcome.epochs_to_goal for outcome in outcomes]
    row: Row = {
        "grid": grid,
        "search": search,
        "median_epochs": statistics.median(epochs),
        "quantile_90": float(np.quantile(epochs, 0.9)),
    }
    for place, count in enumerate(REGRET_AFTER):
        regrets = [outcome.regrets[place] for outcome in outcomes if outcome.regrets]
        row[f"regret_after_{count}"] = ""
        if regrets:
            row[f"regret_after_{count}"] = statistics.median(regrets)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=ORDERS)
    options = parser.parse_args()
    rows: list[Row] = []
    for name in GRIDS:
        for row in compare(name, options.orders):
            rows.append(row)
            print(row, flush=True)
    show(f"epochs until a trial is within 1 % of the best, {options.orders} orders", rows)
    if options.orders == ORDERS:
        print(save("search", rows, f"replayed on real curves in {ORDERS} orders, one at a time"))


if __name__ == "__main__":
    main()
