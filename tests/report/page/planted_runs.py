"""Runs with a known result: seeds with given means, a grid with a given value, early stopping."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from cae.report.data import tables
from cae.report.data.results import Results

Writer = Callable[..., Any]


def configurations_with_seeds(
    writer: Writer, means: list[float], seeds: int, spread: float
) -> Results:
    """Make one configuration per mean, each with several seeds."""
    sweep = writer(seeds=seeds)
    random = np.random.default_rng(1)
    settings = list(itertools.product(range(seeds), range(len(means))))
    sweep.session(list(range(1, len(settings) + 1)))
    for number, (seed, kernel_size) in enumerate(settings, 1):
        sweep.trial(number, {"arch.kernel_size": kernel_size}, seed=seed)
        sweep.start(number)
        sweep.epoch(number, 1, means[kernel_size] + spread * float(random.normal()))
        sweep.end(number, "finished", best_epoch=1, metrics={})
    return tables.read([sweep.close()])


def grid(writer: Writer, value: Callable[[int, int, int], float]) -> Results:
    """Make 90 trials over kernel size, filters and a parameter without effect."""
    sweep = writer()
    settings = list(itertools.product([3, 5, 7], [8, 16, 32], range(10)))
    sweep.session(list(range(1, len(settings) + 1)))
    for number, (kernel_size, filters, idle) in enumerate(settings, 1):
        axes = {"arch.kernel_size": kernel_size, "arch.filters": filters, "arch.idle": idle}
        sweep.trial(number, axes)
        sweep.start(number)
        sweep.epoch(number, 1, value(kernel_size, filters, idle))
        sweep.end(number, "finished")
    return tables.read([sweep.close()])


def early_stopped(writer: Writer, curves: dict[int, list[float]]) -> Results:
    """Make one trial per curve; those that are shorter than the longest were stopped."""
    sweep = writer()
    epochs = max(len(curve) for curve in curves.values())
    sweep.session(list(curves))
    for number in curves:
        sweep.trial(number, {"arch.kernel_size": 3 + 2 * (number % 2)}, epochs=epochs)
    for number, curve in curves.items():
        sweep.start(number)
        for epoch, value in enumerate(curve, 1):
            sweep.epoch(number, epoch, value)
        if len(curve) == epochs:
            sweep.end(number, "finished")
        else:
            sweep.end(
                number,
                "stopped",
                reason="above the cutoff",
                rung=len(curve),
                value=curve[-1],
                cutoff=0.1,
            )
    return tables.read([sweep.close()])
