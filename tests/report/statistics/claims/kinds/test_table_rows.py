"""SmallestRows and LargestRows: some rows of a table against its other rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cae import LargestRows, SmallestRows
from cae.report.statistics.claims.need import NeedKind
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
from tests.report.statistics.claims.claim_runs import CLASSES, judge_with_tables
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
    assert result.judgment.procedure == Procedure(
        method=Method.PAIRED_T, unit=Unit.SEEDS, count=3, comparisons=2
    )
    assert result.seeds == 3


def test_a_supported_claim_is_as_certain_as_its_least_certain_pair(writer: MakeWriter) -> None:
    claim = extreme_classes(SmallestRows, ["cat", "dog"])
    result = judge_with_tables(writer, claim, seeds=3)
    cat, dog, frog = (np.array(errors) for errors in CLASSES.values())
    p_values = [stats.ttest_rel(cat, frog).pvalue, stats.ttest_rel(dog, frog).pvalue]
    assert result.judgment.effect == pytest.approx(float((dog - frog).mean()))
    assert result.judgment.p_value == pytest.approx(max(2 * min(p_values), max(p_values)))


def test_rows_that_differ_by_noise_only_contradict_nothing(writer: MakeWriter) -> None:
    """Regression: the larger of two noisy rows was compared with the other row."""
    classes = {
        "cat": (0.010, 0.030, 0.021, 0.030),
        "dog": (0.030, 0.010, 0.030, 0.019),
        "frog": (0.020, 0.020, 0.021, 0.020),
    }
    largest = np.maximum(classes["cat"], classes["dog"])
    assert stats.ttest_rel(largest, classes["frog"]).pvalue < 0.001
    claim = extreme_classes(SmallestRows, ["cat", "dog"])
    result = judge_with_tables(writer, claim, seeds=4, classes=classes)
    assert result.verdict == Verdict.UNDECIDED
    assert result.need.kind in (NeedKind.SEEDS, NeedKind.MANY_SEEDS)


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
