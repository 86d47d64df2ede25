"""Runs with a known result: seeds with known means, a grid with known values, known curves."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from cae.report.data import tables
from cae.report.data.results import Results
from tests.report.synthetic_runs import MakeWriter

ValueOf = Callable[[int, int, int], float]
"""The value of a trial with a kernel size, a number of filters, and a parameter without effect."""


def configurations_with_seeds(
    writer: MakeWriter, means: list[float], seeds: int, spread: float
) -> Results:
    """Make one configuration per mean, with normally distributed values over its seeds."""
    run = writer(seeds=seeds)
    random = np.random.default_rng(1)
    settings = list(itertools.product(range(seeds), range(len(means))))
    run.session(list(range(1, len(settings) + 1)))
    for number, (seed, kernel_size) in enumerate(settings, 1):
        run.trial(number, {"arch.kernel_size": kernel_size}, seed=seed)
        run.start(number)
        run.epoch(number, 1, means[kernel_size] + spread * float(random.normal()))
        run.end(number, "finished", best_epoch=1, metrics={})
    return tables.read([run.close()])


def grid(writer: MakeWriter, value_of: ValueOf, trials: int = 90) -> Results:
    """Make the first trials of a grid of kernel sizes, filters and a parameter without effect."""
    run = writer()
    settings = list(itertools.product([3, 5, 7], [8, 16, 32], range(10)))[:trials]
    run.session(list(range(1, len(settings) + 1)))
    for number, (kernel_size, filters, idle) in enumerate(settings, 1):
        axes = {"arch.kernel_size": kernel_size, "arch.filters": filters, "arch.idle": idle}
        run.trial(number, axes)
        run.start(number)
        run.epoch(number, 1, value_of(kernel_size, filters, idle))
        run.end(number, "finished")
    return tables.read([run.close()])


def early_stopped(
    writer: MakeWriter, curves: dict[int, list[float]], audited: frozenset[int] = frozenset()
) -> Results:
    """Make one trial per curve; those that are shorter than the longest were stopped.

    audited: trials that are exempt from early stopping, and would have been stopped at epoch 1.
    """
    run = writer()
    epochs = max(len(curve) for curve in curves.values())
    run.session(list(curves))
    for number in curves:
        axes = {"arch.kernel_size": 3 + 2 * (number % 2)}
        run.trial(number, axes, is_audit=number in audited, epochs=epochs)
    for number, curve in curves.items():
        run.start(number)
        for epoch, value in enumerate(curve, 1):
            run.epoch(number, epoch, value)
        if number in audited:
            stop = {"rung": 1, "value": 1.0, "cutoff": 0.5, "seen": 3}
            run.add("audit_stop", trial=number, reason="above", **stop)
        if len(curve) == epochs:
            run.end(number, "finished")
        else:
            run.end(
                number,
                "stopped",
                reason="above the cutoff",
                rung=len(curve),
                value=curve[-1],
                cutoff=0.1,
            )
    return tables.read([run.close()])
