"""SmallestAt and LargestAt: one value of an axis against every other value."""

from __future__ import annotations

import pytest
from scipy import stats

from cae import LargestAt, SmallestAt
from cae.report.statistics.claims.kinds.extremes import ExtremeEvidence
from cae.report.statistics.claims.rivals import RivalKind
from cae.report.statistics.claims.verdict import Method, Obstacle, ObstacleKind, Unit, Verdict
from tests.report.statistics.claims.claim_runs import (
    HIGH,
    KERNEL,
    KERNEL_3,
    LOW,
    Judge,
    TrialLoss,
    seeds,
)

HIGHEST = (0.03, 0.0302, 0.0303)


def trials_of_three_kernels() -> list[TrialLoss]:
    return [*seeds(3, *LOW), *seeds(5, *HIGH), *seeds(7, *HIGHEST)]


def extreme(kind: type[SmallestAt], value: int) -> SmallestAt:
    return kind(id="C3", text="An extreme.", metric="val_loss", axis=KERNEL, value=value)


@pytest.mark.parametrize(
    ("kind", "value", "verdict", "rival"),
    [
        (SmallestAt, 3, Verdict.SUPPORTED, "5"),
        (SmallestAt, 7, Verdict.CONTRADICTED, "3"),
        (LargestAt, 7, Verdict.SUPPORTED, "5"),
    ],
)
def test_an_extreme_is_judged_against_every_other_value(
    kind: type[SmallestAt], value: int, verdict: Verdict, rival: str, judge: Judge
) -> None:
    result = judge(extreme(kind, value), trials_of_three_kernels())
    evidence = result.judgment.evidence
    procedure = result.judgment.procedure
    assert result.verdict == verdict
    assert isinstance(evidence, ExtremeEvidence)
    assert (evidence.rival, evidence.other_values) == (rival, 2)
    assert evidence.rival_kind == RivalKind.CLOSEST
    assert (procedure.method, procedure.unit) == (Method.PAIRED_T, Unit.EQUAL_SEEDS)
    assert procedure.comparisons == 2
    assert len(result.trials) == 9


def test_an_extreme_is_as_certain_as_its_least_certain_comparison(judge: Judge) -> None:
    """Kernel size 5 is not significantly different, kernel size 7 is clearly worse."""
    close = (0.0100, 0.0103, 0.0102)
    trials = [*seeds(3, *LOW), *seeds(5, *close), *seeds(7, *HIGHEST)]
    result = judge(extreme(SmallestAt, 3), trials)
    evidence = result.judgment.evidence
    assert result.verdict == Verdict.UNDECIDED
    assert isinstance(evidence, ExtremeEvidence)
    assert (evidence.rival, evidence.rival_kind) == ("5", RivalKind.LEAST_CERTAIN)


def test_the_p_value_of_a_supported_extreme_is_the_largest_of_its_comparisons(
    judge: Judge,
) -> None:
    """Regression: it was that of the closest value, though a farther one varies more."""
    close_and_certain = (0.0200, 0.0203, 0.0201)
    far_and_varying = (0.0300, 0.0400, 0.0350)
    trials = [*seeds(3, *LOW), *seeds(5, *close_and_certain), *seeds(7, *far_and_varying)]
    result = judge(extreme(SmallestAt, 3), trials)
    evidence = result.judgment.evidence
    expected = stats.ttest_rel(LOW, far_and_varying).pvalue
    assert result.verdict == Verdict.SUPPORTED
    assert result.judgment.p_value == pytest.approx(expected)
    assert result.q_value == pytest.approx(expected)
    assert isinstance(evidence, ExtremeEvidence)
    assert (evidence.rival, evidence.rival_kind) == ("7", RivalKind.LEAST_CERTAIN)


def test_a_value_with_one_seed_leaves_an_extreme_undecided(judge: Judge) -> None:
    trials = [*seeds(3, *LOW), *seeds(5, *HIGH), *seeds(7, 0.03)]
    result = judge(extreme(SmallestAt, 3), trials)
    evidence = result.judgment.evidence
    assert result.verdict == Verdict.UNDECIDED
    assert result.judgment.procedure.method == Method.NONE
    assert isinstance(evidence, ExtremeEvidence)
    assert evidence.untested is not None
    assert (evidence.untested.first_count, evidence.untested.second_count) == (3, 1)


def test_a_value_of_no_trial_is_not_testable(judge: Judge) -> None:
    result = judge(extreme(SmallestAt, 9), trials_of_three_kernels())
    assert result.verdict == Verdict.NOT_TESTABLE
    assert result.judgment.evidence == Obstacle(
        kind=ObstacleKind.NO_TRIAL_AT_VALUE, conditions={KERNEL: 9}
    )


def test_a_value_of_every_trial_is_not_testable(judge: Judge) -> None:
    result = judge(extreme(SmallestAt, 3), seeds(3, *LOW))
    assert result.judgment.evidence == Obstacle(
        kind=ObstacleKind.ONLY_TRIALS_AT_VALUE, conditions=KERNEL_3
    )
