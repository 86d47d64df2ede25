"""Which trials of a run are the best. No ray, no torch: `best --quiet` has to be quick."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from cae.errors import UserError
from cae.run.metric_direction import guess_direction
from cae.run.records import Record
from cae.run.sweep_json import SweepDescription


@dataclass(frozen=True)
class Ranked:
    """A trial in a ranking: its value of the asked metric at its best epoch, which is the one whose weights are kept."""

    record: Record
    epoch: int
    value: float


def ranking(
    records: Iterable[Record], sweep: SweepDescription, metric: str, mode: str | None
) -> list[Ranked]:
    """The trials in their order by `metric`, the best first. Raises UserError for a metric that no trial has.

    The value is always the one of the epoch whose weights are kept: the best by the sweep's own metric.
    """
    records = list(records)
    mode = mode or (sweep.mode if metric == sweep.metric else guess_direction(metric) or "min")
    ranked, names = [], set()
    for record in records:
        if not (best := record.best(sweep.metric, sweep.mode)):
            continue
        known = record.epochs[best[0]] | {
            name: value for name, value in record.final_metrics.items() if isinstance(value, float)
        }
        names |= set(known)
        if math.isfinite(known.get(metric, math.nan)):
            ranked.append(Ranked(record, best[0], known[metric]))
    if not ranked:
        there = (
            f"no trial has it; there are {', '.join(sorted(names))}"
            if names
            else "no trial has finished an epoch"
        )
        raise UserError(f"--metric {metric}: {there}")
    sign = 1 if mode == "min" else -1
    return sorted(ranked, key=lambda one: (sign * one.value, one.record.number))
