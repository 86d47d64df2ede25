"""SmallestRows and LargestRows: some rows of a table of each trial against its other rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cae.report.statistics.claims.comparison import decide, t_test
from cae.report.statistics.claims.registry import EachGroup, judges
from cae.report.statistics.claims.rivals import Comparisons, RivalKind
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
    named: str
    """The named row of the comparison that decides, by the value of the first column."""
    other: str
    """The other row of it."""
    rival_kind: RivalKind
    pairs: int
    """How many comparisons of a named row with another row there are."""
    trials: int
    difference: MeanDifference
    """The named row minus the other row."""
    untested: MeanDifference | None
    """A comparison with too few seeds for a test, if that leaves the claim undecided."""


class _Pair(NamedTuple):
    named: str
    other: str


@judges("SmallestRows", "LargestRows", each_group=EachGroup.ALWAYS)
def extreme_rows(trials: ClaimTrials, claim: Claim) -> Judgment:
    """Compare each named row with each other row, over the seeds of the best configuration.

    The extremes of both sides are not compared: of rows that are equal but for noise, the largest
    of some is above the smallest of the others in nearly every trial.
    """
    table = str(claim["table"])
    column = str(claim["column"])
    named = [str(row) for row in claim["rows"]]
    matching = trials.matching(claim.get("where") or {})
    used: dict[int, dict[str, float]] = {}
    for trial in trials.results.same_configuration(matching.index):
        values = _column_values(trials, trial, table, column)
        if values.keys() > set(named):
            used[trial] = values
        else:
            trials.left_out[trial] = LeftOut(LeftOutReason.NO_ROWS, table, column)
    if not used:
        raise NotTestable(Obstacle(kind=ObstacleKind.NO_TABLE, names=[table, column], rows=named))
    sign = 1
    if claim["kind"] == "SmallestRows":
        sign = -1
    comparisons = Comparisons(sign, _compare_pairs(list(used.values()), named))
    pair = comparisons.deciding
    untested = comparisons.untested
    difference = comparisons.differences[pair]
    decision = decide(
        difference, sign, p_value=comparisons.p_values.get(pair), is_testable=untested is None
    )
    procedure = NOT_TESTED
    if untested is None:
        procedure = Procedure(
            method=t_test(difference, Method.PAIRED_T),
            unit=Unit.SEEDS,
            count=difference.first_count,
            comparisons=len(comparisons.p_values),
        )
    return Judgment(
        verdict=decision.verdict,
        evidence=TableRowsEvidence(
            column=column,
            named=pair.named,
            other=pair.other,
            rival_kind=comparisons.rival_kind,
            pairs=len(comparisons.differences),
            trials=len(used),
            difference=difference,
            untested=untested,
        ),
        procedure=procedure,
        trials=list(used),
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


def _compare_pairs(
    tables: Sequence[Mapping[str, float]], named: Sequence[str]
) -> dict[_Pair, MeanDifference]:
    """Compare each named row with each other row, over the tables that have both."""
    others: dict[str, None] = {}  # an ordered set
    for values in tables:
        others |= dict.fromkeys(row for row in values if row not in named)
    differences = {}
    for pair in (_Pair(row, other) for row in named for other in others):
        both = [values for values in tables if pair.other in values]
        differences[pair] = paired_difference(
            np.array([values[pair.named] for values in both]),
            np.array([values[pair.other] for values in both]),
        )
    return differences
