"""Searches for a Pareto front on real training curves: validation loss against parameters.

    CAE_DATA=DIR python -m benchmarks.search_front          # results/search_front.csv

The trials of two grids were trained to their ends once (benchmarks/early_stopping.py); here a
search chooses among them, one trial at a time, without early stopping, in ORDERS random orders or
seeds. Measured is the hypervolume of the front after some trials, relative to that of all trials,
on logarithmic scales between the best and the worst values.
"""

from __future__ import annotations

import argparse
import functools
import statistics
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.early_stopping import GRIDS
from benchmarks.measure import Row, save, show
from benchmarks.peers.searchers import Chooser, KnownTrial, Tried, is_installed, optuna_chooser
from benchmarks.search import in_order, known_trials, model_based
from cae.run.pareto import Point, hypervolume, pareto_front
from cae.sweep.search.model_based import ModelBased

ORDERS = 100
AFTER = (8, 12, 16, 24)
REFERENCE = (1.1, 1.1)

Create = Callable[[Sequence[KnownTrial], int], Chooser]


def searches() -> dict[str, Create]:
    """All searches that are installed."""
    front = ModelBased(second_objective="parameters")
    found: dict[str, Create] = {
        "random": in_order,
        "model-based, one objective (ours)": model_based,
        "model-based, two objectives (ours)": functools.partial(model_based, search=front),
    }
    if is_installed("optuna"):
        for label, name in (
            ("TPE", "TPESampler"),
            ("GP", "GPSampler"),
            ("NSGA-II", "NSGAIISampler"),
        ):
            found[f"Optuna {label}"] = functools.partial(optuna_chooser, name, has_amounts=True)
    return found


def objectives(trials: Sequence[KnownTrial]) -> list[Point]:
    """The logarithms of both objectives of each trial, between 0 and 1."""
    table = np.log([[min(trial.values), trial.amount] for trial in trials])
    table = (table - table.min(axis=0)) / (table.max(axis=0) - table.min(axis=0))
    return [(float(first), float(second)) for first, second in table]


def replay(trials: Sequence[KnownTrial], points: Sequence[Point], choose: Chooser) -> list[float]:
    """The share of the hypervolume after each of AFTER trials."""
    total = hypervolume(pareto_front(points), REFERENCE)
    tried: list[Tried] = []
    shares: list[float] = []
    while len(tried) < max(AFTER):
        index = choose(tried)
        if index is None:
            raise ValueError("the grid has too few trials")
        tried.append(Tried(index, trials[index].values))
        if len(tried) in AFTER:
            front = pareto_front([points[trial.index] for trial in tried])
            shares.append(hypervolume(front, REFERENCE) / total)
    return shares


def compare(name: str, orders: int) -> Iterator[Row]:
    """A row per search."""
    trials = known_trials(name)
    points = objectives(trials)
    for search, create in searches().items():
        shares = [replay(trials, points, create(trials, seed)) for seed in range(orders)]
        row: Row = {"grid": name, "search": search, "orders": orders}
        for place, count in enumerate(AFTER):
            row[f"hypervolume_after_{count}"] = statistics.median(
                run_shares[place] for run_shares in shares
            )
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=ORDERS)
    options = parser.parse_args()
    rows: list[Row] = []
    for name in GRIDS:
        for row in compare(name, options.orders):
            rows.append(row)
            print(row, flush=True)
    show("hypervolume relative to that of all trials, medians", rows)
    if options.orders == ORDERS:
        print(save("search_front", rows, "replayed on training curves, one trial at a time"))


if __name__ == "__main__":
    main()
