"""The ranking of a run's trials.

Imports neither ray nor torch: `best --quiet` has to respond quickly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from cae.errors import UserError
from cae.run.metric_direction import metric_direction
from cae.run.records import Record
from cae.run.sweep_json import SweepDescription


@dataclass(frozen=True)
class RankedTrial:
    """A trial of a ranking."""

    record: Record
    epoch: int
    """The best epoch by the sweep's own metric: its weights are in the checkpoint."""
    value: float
    """The metric of the ranking in that epoch."""


def ranking(
    records: Iterable[Record], sweep: SweepDescription, metric: str, mode: str | None
) -> list[RankedTrial]:
    """Rank trials by a metric, the best one first; equal ones by number.

    A trial's value is that of its best epoch by the sweep's own metric, whose weights are in the
    checkpoint, or that of the final evaluation.

    Args:
        records: The trials.
        sweep: The sweep that they belong to.
        metric: A metric of an epoch or of the final evaluation.
        mode: "min" or "max"; None: the declared direction of the metric.

    Raises UserError if no trial has a finite value of the metric, or if `mode` is None and the
    direction of the metric is unknown.
    """
    ranked: list[RankedTrial] = []
    metric_names: set[str] = set()
    for record in records:
        best = record.best(sweep.metric, sweep.mode)
        if best is None:
            continue
        metrics = record.epochs[best.epoch] | _final_metrics(record, best.epoch)
        metric_names |= set(metrics)
        value = metrics.get(metric, math.nan)
        if math.isfinite(value):
            ranked.append(RankedTrial(record, best.epoch, value))
    if not ranked:
        raise UserError(f"--metric {metric}: {_why_nothing_is_ranked(metric_names)}")
    if mode is None:
        mode = _direction(sweep, metric)
    sign = 1
    if mode == "max":
        sign = -1
    return sorted(ranked, key=lambda trial: (sign * trial.value, trial.record.number))


def _direction(sweep: SweepDescription, metric: str) -> str:
    if metric == sweep.metric:
        return sweep.mode
    direction = metric_direction(metric, sweep.directions)
    if direction is None:
        raise UserError(
            f"--metric {metric}: it is not declared whether lower or higher values are better: "
            "add --mode min or --mode max"
        )
    return direction


def _final_metrics(record: Record, best_epoch: int) -> dict[str, float]:
    metrics = record.final_metrics_of(best_epoch)
    return {name: value for name, value in metrics.items() if isinstance(value, float)}


def _why_nothing_is_ranked(metric_names: set[str]) -> str:
    if not metric_names:
        return "no trial has finished an epoch"
    return f"no trial has a finite value of it; metrics: {', '.join(sorted(metric_names))}"
