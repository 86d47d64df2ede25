"""Searches on real training curves: epochs until a trial is within 1 % of the best one.

    CAE_DATA=DIR python -m benchmarks.search          # results/search.csv

The trials of two grids were trained to their ends once (benchmarks/early_stopping.py); here a
search chooses among them and reads their curves, one trial at a time. Each search is repeated with
ORDERS random orders or seeds. All use the same ASHA except `screen`, `random, all epochs`, and Syne
Tune's, which bring their own with the same rungs.

`cifar_grid, all points` has a curve for each of the 1,536 points: the epochs of the 48 real curves,
fitted by a response surface (see `fit_curves`). It stands for a grid of which little is known.

Optuna 5 and Syne Tune 0.16 take part if they are installed (`pip install optuna syne-tune
huggingface_hub`).
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import math
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.early_stopping import GRIDS, METRIC, SCHEDULER, TOLERANCE, plan_of, train_grid
from benchmarks.measure import Row, save, show
from benchmarks.peers.searchers import (
    Chooser,
    KnownTrial,
    SyneTune,
    Tried,
    is_installed,
    optuna_chooser,
)
from cae.sweep.schedulers.base import NeverStop
from cae.sweep.schedulers.screen import Screen
from cae.sweep.search.base import Candidates, TrialResult
from cae.sweep.search.features import features
from cae.sweep.search.model_based import ModelBased
from cae.sweep.spec.plan import make_plan
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.datasets import data_folders

ORDERS = 200
ORDERS_OF_ALL_POINTS = 30
REGRET_AFTER = (12, 24, 48)
"""Numbers of trials after which the regret is measured."""
RIDGE = 1.0
"""Penalty of the response surface."""


class Stopper(Protocol):
    """Decides which trials stop."""

    def report(self, trial: int, epoch: int, value: float) -> object | None:
        """Record an epoch of a trial; None: it continues."""


def in_order(trials: Sequence[KnownTrial], seed: int) -> Chooser:
    """The trials in a random order."""
    order = list(range(len(trials)))
    random.Random(seed).shuffle(order)

    def choose(tried: Sequence[Tried]) -> int | None:
        if len(tried) == len(order):
            return None
        return order[len(tried)]

    return choose


def model_based(
    trials: Sequence[KnownTrial], seed: int, search: ModelBased | None = None
) -> Chooser:
    """Our own search."""
    search = search or ModelBased()
    order = list(range(len(trials)))
    random.Random(seed).shuffle(order)
    epochs = max(len(trial.values) for trial in trials)
    candidates = Candidates(
        [trials[index].axes for index in order],
        rungs=SCHEDULER.rungs(epochs),
        amounts=[trials[index].amount for index in order],
    )
    position = {index: place for place, index in enumerate(order)}

    def choose(tried: Sequence[Tried]) -> int | None:
        results: list[TrialResult] = []
        for trial in tried:
            all_epochs = len(trials[trial.index].values)
            results.append(TrialResult(position[trial.index], all_epochs, trial.values, True))
        suggestion = search.suggest(candidates, results)
        if suggestion is None:
            return None
        return order[suggestion.candidate]

    return choose


@dataclass(frozen=True)
class Outcome:
    """The result of one replay."""

    epochs_to_goal: float
    """Infinity: the goal was not reached."""
    regrets: list[float]
    """Best value so far over the best of all, minus 1, after each of REGRET_AFTER trials."""


def replay(
    trials: Sequence[KnownTrial],
    choose: Chooser,
    stopper: Stopper,
    max_trials: int | None = None,
) -> Outcome:
    """Run a search, one trial at a time, to the end or until `max_trials` trials."""
    best_of_all = min(min(trial.values) for trial in trials)
    tried: list[Tried] = []
    epochs = 0
    best = float("inf")
    epochs_to_goal: int | None = None
    regrets: list[float] = []
    while max_trials is None or len(tried) < max_trials:
        index = choose(tried)
        if index is None:
            break
        seen: list[float] = []
        for value in trials[index].values:
            seen.append(value)
            epochs += 1
            best = min(best, value)
            if epochs_to_goal is None and best <= TOLERANCE * best_of_all:
                epochs_to_goal = epochs
            if stopper.report(len(tried), len(seen), value) is not None:
                break
        tried.append(Tried(index, seen))
        if len(tried) in REGRET_AFTER:
            regrets.append(best / best_of_all - 1)
        if epochs_to_goal is not None and len(tried) >= max(REGRET_AFTER):
            break
    return Outcome(epochs_to_goal or math.inf, regrets)


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
    return Outcome(math.inf, [])


# The searches


Create = Callable[[Sequence[KnownTrial], int], tuple[Chooser, Stopper]]
"""Creates a search from the trials and a seed."""


def with_asha(create: Callable[[Sequence[KnownTrial], int], Chooser]) -> Create:
    """A search of points, with our ASHA."""

    def create_both(trials: Sequence[KnownTrial], seed: int) -> tuple[Chooser, Stopper]:
        epochs = max(len(trial.values) for trial in trials)
        return create(trials, seed), SCHEDULER.create_judge(epochs, METRIC, "min")

    return create_both


def without_stops(trials: Sequence[KnownTrial], seed: int) -> tuple[Chooser, Stopper]:
    """Points in a random order, trained to their ends."""
    return in_order(trials, seed), NeverStop()


def syne_tune(name: str) -> Create:
    """A scheduler of Syne Tune."""

    def create(trials: Sequence[KnownTrial], seed: int) -> tuple[Chooser, Stopper]:
        scheduler = SyneTune(name, trials, seed)
        return scheduler.choose, scheduler

    return create


def searches() -> dict[str, Create]:
    """All searches that are installed."""
    found: dict[str, Create] = {
        "random, all epochs": without_stops,
        "random + ASHA": with_asha(in_order),
        "model-based (ours) + ASHA": with_asha(model_based),
    }
    if is_installed("optuna"):
        for label, name in (("TPE", "TPESampler"), ("GP", "GPSampler")):
            sampler = functools.partial(optuna_chooser, name)
            found[f"Optuna {label} + ASHA"] = with_asha(sampler)
    if importlib.util.find_spec("syne_tune") is not None:
        found["Syne Tune BOHB"] = syne_tune("BOHB")
        found["Syne Tune ASHACQR"] = syne_tune("ASHACQR")
    return found


# The curves


def known_trials(name: str) -> list[KnownTrial]:
    """The trials of a grid, with their real curves."""
    curves = train_grid(name)
    return [
        KnownTrial(planned.axes, [row[METRIC] for row in curve], float(planned.sizes["parameters"]))
        for planned, curve in zip(plan_of(GRIDS[name]), curves, strict=True)
    ]


def all_points(name: str) -> list[KnownTrial]:
    """Every point of a grid, with a fitted curve."""
    grid = GRIDS[name]
    known = known_trials(name)
    folders = data_folders(None)
    plan = make_plan(
        read_sweep_file(Path(grid.sweep)).sweep,
        lambda dataset: dataset.load(folders),
        budget=grid.budget,
        settings=dict(grid.settings) | {"max_trials": 10_000},
    )
    points = [planned.axes for planned in plan.trials]
    curves = fit_curves(known, points)
    return [
        KnownTrial(planned.axes, list(curve), float(planned.sizes["parameters"]))
        for planned, curve in zip(plan.trials, curves, strict=True)
    ]


def fit_curves(
    known: Sequence[KnownTrial], points: Sequence[dict[str, object]]
) -> list[list[float]]:
    """Curves of all points by a response surface.

    The logarithm of each epoch's value is a quadratic function of the features, fitted by ridge
    regression to the known curves. It is no Gaussian process: that would favor searches with one.
    """
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import PolynomialFeatures

    matrix = PolynomialFeatures(2).fit_transform(
        features([*[trial.axes for trial in known], *points])
    )
    targets = np.log([trial.values for trial in known])
    surface = Ridge(RIDGE).fit(matrix[: len(known)], targets)
    predicted: npt.NDArray[np.float64] = surface.predict(matrix[len(known) :])
    curves: list[list[float]] = np.exp(predicted).tolist()
    return curves


# The comparison


def compare(
    name: str, trials: Sequence[KnownTrial], orders: int, max_trials: int | None = None
) -> Iterator[Row]:
    """Replay a grid with each search; a row per search."""
    if max_trials is None:
        yield _row(name, "screen", [screened(trials, seed) for seed in range(orders)])
    for search, create in searches().items():
        outcomes: list[Outcome] = []
        for seed in range(orders):
            choose, stopper = create(trials, seed)
            outcomes.append(replay(trials, choose, stopper, max_trials))
        yield _row(name, search, outcomes)


def _row(grid: str, search: str, outcomes: Sequence[Outcome]) -> Row:
    epochs = [outcome.epochs_to_goal for outcome in outcomes]
    reached = sum(map(math.isfinite, epochs))
    row: Row = {
        "grid": grid,
        "search": search,
        "orders": len(outcomes),
        "reached": reached / len(outcomes),
        "median_epochs": _or_empty(statistics.median(epochs)),
        "quantile_90": _or_empty(float(np.quantile(epochs, 0.9, method="higher"))),
    }
    for place, count in enumerate(REGRET_AFTER):
        regrets = [outcome.regrets[place] for outcome in outcomes if place < len(outcome.regrets)]
        row[f"regret_after_{count}"] = ""
        if regrets:
            row[f"regret_after_{count}"] = statistics.median(regrets)
    return row


def _or_empty(epochs: float) -> float | str:
    if math.isfinite(epochs):
        return epochs
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=ORDERS)
    options = parser.parse_args()
    rows: list[Row] = []
    for name in GRIDS:
        for row in compare(name, known_trials(name), options.orders):
            rows.append(row)
            print(row, flush=True)
    orders = min(options.orders, ORDERS_OF_ALL_POINTS)
    trials = all_points("cifar_grid")
    for row in compare("cifar_grid, all points", trials, orders, max(REGRET_AFTER)):
        rows.append(row)
        print(row, flush=True)
    show(f"epochs until a trial is within 1 % of the best, {options.orders} orders", rows)
    if options.orders == ORDERS:
        print(save("search", rows, "replayed on training curves, one trial at a time"))


if __name__ == "__main__":
    main()
