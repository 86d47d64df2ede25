"""What the results suggest to try next: ranges to extend, and more epochs."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cae.report import formatting
from cae.report.data.cells import is_missing
from cae.report.data.results import Results

MIN_VALUES = 3
"""With fewer different values of a parameter, the best one is always at an edge."""
EDGE_SHARE = 0.05
"""For random dimensions: a value is at an edge if it lies in this outer share of the range."""
MAX_STEPS = 4
"""A step beyond the edge is at least the range divided by this number, because the distance between
neighboring draws may be tiny."""
NEARLY_ZERO = 1e-9
"""Smaller values, relative to the largest one, count as zero."""
MIN_FINISHED = 3
"""With fewer finished trials, more epochs are not suggested."""


@dataclass(frozen=True)
class NextStep:
    """A finding, and the configuration to try because of it."""

    finding: str
    """A sentence."""
    trial: Any
    """Index in the results of the trial whose configuration is changed."""
    changes: dict[str, Any]
    """What to change in its configuration, by dotted name."""
    is_edge: bool = False
    """Whether the best value is at the edge of what was tried."""


def next_steps(results: Results) -> list[NextStep]:
    """The steps that the results of one comparability group suggest; may be empty."""
    ranked = results.ranked
    if not len(ranked):
        return []
    steps: list[NextStep] = []
    for name, declared in results.axes.items():
        if name in ranked:
            step = _extend_range(results, name, declared)
            if step is not None:
                steps.append(step)
    longer = _train_longer(results)
    if longer is not None:
        steps.append(longer)
    return steps


def _extend_range(results: Results, name: str, declared: dict[str, Any]) -> NextStep | None:
    """A step beyond the range of a parameter if its best value is at an edge; None otherwise."""
    best = results.ranked.index[0]
    tried = [value for value in results.ranked[name] if not is_missing(value)]
    cell: Any = results.ranked.at[best, name]
    if is_missing(cell) or not all(map(_is_number, tried)):
        return None
    value = float(cell)
    distinct = sorted({float(other) for other in tried})
    if len(distinct) < MIN_VALUES:
        return None
    is_log = declared.get("scale") == "log"
    if is_log and distinct[0] <= 0:
        return None
    edge = _edge(value, distinct, declared, is_log=is_log)
    if not edge:
        return None
    values = results.values[results.ranked.index]
    for tied in results.ranked.index[values == values[best]]:
        # An equally good trial inside the range is no reason to leave it.
        other: Any = results.ranked.at[tied, name]
        if is_missing(other) or _edge(float(other), distinct, declared, is_log=is_log) != edge:
            return None
    beyond = _beyond(distinct, edge, is_log=is_log)
    if beyond in distinct:  # a whole number next to 1
        return None
    if beyond < 0 <= distinct[0]:  # such as a dropout rate or a number of layers
        return None
    shown = formatting.number(value)
    return NextStep(
        finding=(
            f"The best {name}, {shown}, is the {edge} that was tried: extend the range, for "
            f"example to {formatting.number(beyond)}."
        ),
        trial=best,
        changes={name: beyond},
        is_edge=True,
    )


def _edge(value: float, distinct: list[float], declared: dict[str, Any], *, is_log: bool) -> str:
    """ "largest" or "smallest" if a value is at an edge of those that were tried, otherwise ""."""
    low = distinct[0]
    high = distinct[-1]
    if declared.get("values") is not None:
        if value == high:
            return "largest"
        if value == low:
            return "smallest"
        return ""
    if is_log:
        value = math.log(value)
        low = math.log(low)
        high = math.log(high)
    if high - value <= EDGE_SHARE * (high - low):
        return "largest"
    if value - low <= EDGE_SHARE * (high - low):
        return "smallest"
    return ""


def _beyond(distinct: list[float], edge: str, *, is_log: bool) -> float:
    """A value beyond the edge, by the average step between neighboring values.

    Equidistant values continue with their difference, other positive values with their ratio.

    Args:
        distinct: The values that were tried, ascending.
        edge: "largest" or "smallest".
        is_log: Whether the parameter has a logarithmic scale.
    """
    low = distinct[0]
    high = distinct[-1]
    steps = min(len(distinct) - 1, MAX_STEPS)
    distances = [after - before for before, after in itertools.pairwise(distinct)]
    is_equidistant = math.isclose(min(distances), max(distances))
    larger = high + (high - low) / steps
    smaller = low - (high - low) / steps
    if low > 0 and (is_log or not is_equidistant or smaller <= NEARLY_ZERO * high):
        ratio = max((high / low) ** (1 / steps), 1.5)
        smaller = low / ratio
        if is_log or not is_equidistant:
            larger = high * ratio
    beyond = smaller
    if edge == "largest":
        beyond = larger
    if all(float(value).is_integer() for value in distinct):
        return round(beyond)
    return float(f"{beyond:.2g}")


def _train_longer(results: Results) -> NextStep | None:
    """A step to more epochs if the best finished trials had their best epoch last."""
    ranked = results.ranked
    finished = ranked[results.is_fully_trained[ranked.index]]
    if len(finished) < MIN_FINISHED:
        return None
    epochs = pd.to_numeric(finished["epochs"])
    is_last = pd.to_numeric(finished["best_epoch"]) == epochs
    if not is_last.iloc[:MIN_FINISHED].all():
        return None
    best = finished.index[0]
    if epochs[best] < 2:  # the only epoch is always the last one
        return None
    which = f"The {MIN_FINISHED} best finished trials"
    if is_last.all():
        which = f"All {len(finished)} finished trials"
    return NextStep(
        finding=f"{which} had their best epoch last: train longer.",
        trial=best,
        changes={"epochs": 2 * int(epochs[best])},
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
