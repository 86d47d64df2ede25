"""SmallestRows and LargestRows: some rows of a table against its other rows."""

from __future__ import annotations

import pytest

from cae import LargestRows, SmallestRows
from cae.report.statistics.claims.verdict import (
    LeftOut,
    LeftOutReason,
    Method,
    Obstacle,
    ObstacleKind,
    Procedure,
    Unit,
    Verdict,
)
from tests.report.statistics.claims.claim_runs import judge_with_tables
from tests.report.synthetic_runs import MakeWriter


def extreme_classes(kind: type[SmallestRows], rows: list[str]) -> SmallestRows:
    return kind(id="C1", text="Classes.", table="per_class", column="mse", rows=rows)


@pytest.mark.parametrize(
    ("kind", "rows", "verdict"),
    [
        (SmallestRows, ["cat", "dog"], Verdict.SUPPORTED),
        (LargestRows, ["frog"], Verdict.SUPPORTED),
        (SmallestRows, ["frog"], Verdict.CONTRADICTED),
    ],
)
def test_rows_of_tables_are_compared_over_seeds(
    kind: type[SmallestRows], rows: list[str], verdict: Verdict, writer: MakeWriter
) -> None:
    result = judge_with_tables(writer, extreme_classes(kind, rows), seeds=3)
    assert result.verdict == verdict
    assert result.judgment.procedure == Procedure(method=Method.PAIRED_T, unit=Unit.SEEDS, count=3)
    assert result.seeds == 3


def test_the_least_extreme_named_row_is_compared_with_the_most_extreme_other_row(
    writer: MakeWriter,
) -> None:
    """The largest of cat and dog is dog; the smallest other row is frog."""
    claim = extreme_classes(SmallestRows, ["cat", "dog"])
    result = judge_with_tables(writer, claim, seeds=3)
    dog = (0.011 + 0.012 + 0.0118) / 3
    frog = (0.03 + 0.031 + 0.033) / 3
    assert result.judgment.effect == pytest.approx(dog - frog)


def test_rows_of_one_trial_are_undecided(writer: MakeWriter) -> None:
    claim = extreme_classes(SmallestRows, ["cat", "dog"])
    result = judge_with_tables(writer, claim, seeds=1)
    assert result.verdict == Verdict.UNDECIDED
    assert result.seeds == 1


@pytest.mark.parametrize("rows", [["cat", "cow"], ["cat", "dog", "frog"]])
def test_a_claim_about_missing_rows_or_about_all_rows_is_not_testable(
    rows: list[str], writer: MakeWriter
) -> None:
    result = judge_with_tables(writer, extreme_classes(SmallestRows, rows), seeds=3)
    assert result.verdict == Verdict.NOT_TESTABLE
    assert result.judgment.evidence == Obstacle(
        kind=ObstacleKind.NO_TABLE, names=["per_class", "mse"], rows=rows
    )
    assert result.left_out == [LeftOut(LeftOutReason.NO_ROWS, "per_class", "mse")] * 3
    assert result.seeds == 0
