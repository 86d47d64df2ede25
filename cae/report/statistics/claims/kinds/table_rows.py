"""SmallestRows and LargestRows: some rows of a table of each trial against its other rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cae.report.statistics.claims.comparison import decide
from cae.report.statistics.claims.registry import EachGroup, judges
from cae.report.statistics.claims.trials import ClaimTrials
from cae.report.statistics.claims.verdict import (
    NOT_TESTED,
    Claim,
    Judgment,
    LeftOut,
    LeftOutReason,
    Method,
    NotTestable,
    Obstacle,
    ObstacleKind,
    Procedure,
    Unit,
)
from cae.report.statistics.inference import MeanDifference, paired_difference


@dataclass(frozen=True, kw_only=True)
class TableRowsEvidence:
    column: str
    rows: Sequence[str]
    """The named rows, by the value of the first column."""
    is_smallest: bool
    """Whether the named rows are claimed to be the smallest."""
    trials: int
    difference: MeanDifference
    """The least extreme named row minus the most extreme other row."""


class _Extremes(NamedTuple):
    named: float
    """The least extreme of the named rows."""
    other: float
    """The most extreme of the other rows."""


@judges("SmallestRows", "LargestRows", each_group=EachGroup.ALWAYS)
def extreme_rows(trials: ClaimTrials, claim: Claim) -> Judgment:
    """Compare within each trial, over the seeds of the best configuration."""
    table = str(claim["table"])
    column = str(claim["column"])
    named = [str(row) for row in claim["rows"]]
    is_smallest = claim["kind"] == "SmallestRows"
    matching = trials.matching(claim.get("where") or {})
    extremes: dict[int, _Extremes] = {}
    for trial in trials.results.same_configuration(matching.index):
        values = _column_values(trials, trial, table, column)
        if values.keys() > set(named):
            extremes[trial] = _find_extremes(values, named, is_smallest=is_smallest)
        else:
            trials.left_out[trial] = LeftOut(LeftOutReason.NO_ROWS, table, column)
    if not extremes:
        raise NotTestable(Obstacle(kind=ObstacleKind.NO_TABLE, names=[table, column], rows=named))
    difference = paired_difference(
        np.array([pair.named for pair in extremes.values()]),
        np.array([pair.other for pair in extremes.values()]),
    )
    sign = 1
    if is_smallest:
        sign = -1
    decision = decide(difference, sign)
    procedure = NOT_TESTED
    if difference.is_testable:
        procedure = Procedure(method=Method.PAIRED_T, unit=Unit.SEEDS, count=len(extremes))
    return Judgment(
        verdict=decision.verdict,
        evidence=TableRowsEvidence(
            column=column,
            rows=named,
            is_smallest=is_smallest,
            trials=len(extremes),
            difference=difference,
        ),
        procedure=procedure,
        trials=list(extremes),
        effect=difference.value,
        direction=decision.direction,
        statistic=decision.statistic,
        p_value=decision.p_value,
    )


def _column_values(trials: ClaimTrials, trial: int, table: str, column: str) -> dict[str, float]:
    """Return the finite numbers of a column, by the value of the first column."""
    cells = {}
    for row in trials.table(trial, table):
        first_cell = next(iter(row.values()))
        cells[str(first_cell)] = row.get(column)
    values = {}
    for key, cell in cells.items():
        if isinstance(cell, int | float) and math.isfinite(cell):
            values[key] = float(cell)
    return values


def _find_extremes(values: dict[str, float], named: list[str], *, is_smallest: bool) -> _Extremes:
    named_values = [values[key] for key in named]
    other_values = [value for key, value in values.items() if key not in named]
    if is_smallest:
        return _Extremes(max(named_values), min(other_values))
    return _Extremes(min(named_values), max(other_values))
