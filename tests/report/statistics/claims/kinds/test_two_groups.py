"""BetterThan and NoDifference, on runs whose losses decide them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cae import BetterThan, NoDifference
from cae.report.statistics.claims.kinds.two_groups import TwoGroupsEvidence
from cae.report.statistics.claims.need import NeedKind
from cae.report.statistics.claims.verdict import (
    Direction,
    Method,
    Obstacle,
    ObstacleKind,
    Procedure,
    Unit,
    Verdict,
)
from cae.run.trial_state import TrialState
from tests.report.statistics.claims.claim_runs import (
    FEWER_EPOCHS,
    HIGH,
    KERNEL,
    KERNEL_3,
    KERNEL_5,
    LOW,
    Judge,
    judge_only_claim,
    seeds,
)
from tests.report.synthetic_runs import MakeWriter


def three_better_than_five(
    margin: float = 0.0, where: dict[str, int] | None = None, metric: str = "val_loss"
) -> BetterThan:
    return BetterThan(
        id="C1",
        text="Three is better than five.",
        metric=metric,
        this=KERNEL_3,
        that=KERNEL_5,
        margin=margin,
        where=dict(where or {}),
    )


def three_equals_five(margin: float) -> NoDifference:
    return NoDifference(
        id="C2",
        text="They are alike.",
        metric="val_loss",
        this=KERNEL_3,
        that=KERNEL_5,
        margin=margin,
    )


@pytest.mark.parametrize(
    ("first", "second", "verdict", "direction"),
    [
        (LOW, HIGH, Verdict.SUPPORTED, Direction.AS_CLAIMED),
        (HIGH, LOW, Verdict.CONTRADICTED, Direction.OPPOSITE),
    ],
)
def test_two_groups_are_compared_by_a_paired_test_over_seeds(
    first: tuple[float, ...],
    second: tuple[float, ...],
    verdict: Verdict,
    direction: Direction,
    judge: Judge,
) -> None:
    result = judge(three_better_than_five(), [*seeds(3, *first), *seeds(5, *second)])
    judgment = result.judgment
    assert result.verdict == verdict
    assert judgment.direction == direction
    assert judgment.procedure == Procedure(method=Method.PAIRED_T, unit=Unit.EQUAL_SEEDS, count=3)
    assert judgment.p_value is not None
    assert judgment.p_value < 0.05
    assert judgment.effect == pytest.approx(sum(first) / 3 - sum(second) / 3)
    assert result.seeds == 3
    assert result.trials == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("first", "second"), [((0.01, 0.02, 0.03), (0.02, 0.01, 0.031)), (LOW, LOW)]
)
def test_a_difference_that_is_not_significant_is_undecided(
    first: tuple[float, ...], second: tuple[float, ...], judge: Judge
) -> None:
    result = judge(three_better_than_five(), [*seeds(3, *first), *seeds(5, *second)])
    assert result.verdict == Verdict.UNDECIDED
    assert result.judgment.p_value is not None


@pytest.mark.parametrize(("first", "second"), [(0.01, 0.02), (1e-6, 0.9)])
def test_one_seed_never_supports_a_claim(first: float, second: float, judge: Judge) -> None:
    result = judge(three_better_than_five(), [*seeds(3, first), *seeds(5, second)])
    assert result.verdict == Verdict.UNDECIDED
    assert result.judgment.procedure.method == Method.NONE
    assert result.judgment.p_value is None
    assert result.judgment.direction == Direction.AS_CLAIMED
    assert result.seeds == 1


def test_groups_of_several_configurations_are_compared_by_their_means_over_seeds(
    writer: MakeWriter,
) -> None:
    """Regression: three seeds of each of two networks counted as six observations."""
    losses = {3: (0.010, 0.020), 5: (0.021, 0.031)}
    claim = three_better_than_five()
    run = writer(claims=[claim.described()], overrides={})
    trials = []
    for kernel, of_kernel in losses.items():
        for position, loss in enumerate(of_kernel):
            for seed in range(3):
                trials.append((kernel, 0.1 * kernel + 0.01 * position, seed, loss + 1e-5 * seed))
    run.session(list(range(1, len(trials) + 1)))
    for number, (kernel, rate, seed, loss) in enumerate(trials, 1):
        run.trial(number, {KERNEL: kernel, "optimizer.lr": rate}, seed=seed)
        run.start(number)
        run.epoch(number, 1, loss)
        run.end(number, "finished", best_epoch=1, metrics={})
    result = judge_only_claim(run.close())
    means = {kernel: np.array(of_kernel) + 1e-5 for kernel, of_kernel in losses.items()}
    expected = stats.ttest_ind(means[3], means[5], equal_var=False)
    assert result.verdict == Verdict.UNDECIDED
    assert result.judgment.p_value == pytest.approx(expected.pvalue)
    assert result.judgment.procedure == Procedure(method=Method.WELCH_T, unit=Unit.MEANS, count=4)
    assert result.need.kind == NeedKind.POINTS
    assert len(result.trials) == 12


def test_a_group_without_trials_is_not_testable(judge: Judge) -> None:
    result = judge(three_better_than_five(), seeds(3, *LOW))
    assert result.verdict == Verdict.NOT_TESTABLE
    assert result.judgment.evidence == Obstacle(
        kind=ObstacleKind.NO_TRIAL, names=["val_loss"], conditions=KERNEL_5
    )
    assert result.seeds == 0


def test_a_metric_of_unknown_direction_is_not_testable(judge: Judge) -> None:
    claim = three_better_than_five(metric="parameters")
    result = judge(claim, [*seeds(3, *LOW), *seeds(5, *HIGH)])
    assert result.judgment.evidence == Obstacle(
        kind=ObstacleKind.UNKNOWN_DIRECTION, names=["parameters"]
    )


def test_a_difference_smaller_than_the_claimed_margin_is_not_supported(judge: Judge) -> None:
    trials = [*seeds(3, *LOW), *seeds(5, *HIGH)]
    result = judge(three_better_than_five(margin=0.05), trials)
    assert result.verdict == Verdict.CONTRADICTED
    assert result.judgment.direction == Direction.OPPOSITE


@pytest.mark.parametrize("epochs", [10, 4])
def test_an_overridden_setting_meets_the_condition_of_a_claim(epochs: int, judge: Judge) -> None:
    """Both the epochs of the report and those of the run meet the condition."""
    claim = three_better_than_five(where={"epochs": epochs})
    trials = [*seeds(3, *LOW), *seeds(5, *HIGH)]
    result = judge(claim, trials, overrides=FEWER_EPOCHS)
    assert result.verdict == Verdict.SUPPORTED
    assert result.overrides == FEWER_EPOCHS


def test_a_setting_that_no_trial_has_does_not_meet_the_condition(judge: Judge) -> None:
    claim = three_better_than_five(where={"epochs": 20})
    trials = [*seeds(3, *LOW), *seeds(5, *HIGH)]
    result = judge(claim, trials, overrides=FEWER_EPOCHS)
    assert result.verdict == Verdict.NOT_TESTABLE


def test_groups_that_differ_in_other_settings_are_two_samples(writer: MakeWriter) -> None:
    run = writer(claims=[three_better_than_five().described()], overrides={})
    run.session([1, 2, 3, 4, 5])
    for number, loss in enumerate([0.010, 0.011, 0.020, 0.021, 0.022], 1):
        kernel = 3
        if number > 2:
            kernel = 5
        run.trial(number, {KERNEL: kernel, "optimizer.lr": 0.1 * kernel}, seed=number)
        run.start(number)
        run.epoch(number, 1, loss)
        run.end(number, TrialState.FINISHED)
    result = judge_only_claim(run.close())
    evidence = result.judgment.evidence
    assert result.verdict == Verdict.SUPPORTED
    assert result.judgment.procedure == Procedure(method=Method.WELCH_T)
    assert isinstance(evidence, TwoGroupsEvidence)
    assert not evidence.comparison.has_equal_settings


@pytest.mark.parametrize(
    ("margin", "verdict"), [(0.005, Verdict.SUPPORTED), (1e-7, Verdict.UNDECIDED)]
)
def test_no_difference_is_an_equivalence_within_its_margin(
    margin: float, verdict: Verdict, judge: Judge
) -> None:
    alike = (0.01001, 0.01019, 0.01012)
    result = judge(three_equals_five(margin), [*seeds(3, *LOW), *seeds(5, *alike)])
    assert result.verdict == verdict
    assert result.judgment.procedure.is_equivalence


def test_a_difference_beyond_the_margin_contradicts_equality(judge: Judge) -> None:
    result = judge(three_equals_five(0.001), [*seeds(3, *LOW), *seeds(5, *HIGH)])
    assert result.verdict == Verdict.CONTRADICTED


def test_no_difference_with_one_seed_is_undecided(judge: Judge) -> None:
    result = judge(three_equals_five(0.001), [*seeds(3, 0.01), *seeds(5, 0.02)])
    assert result.verdict == Verdict.UNDECIDED
    assert result.judgment.p_value is None
    assert result.judgment.effect == pytest.approx(-0.01)


def test_a_size_needs_neither_several_seeds_nor_a_test(judge: Judge) -> None:
    """The networks of later trials of these runs have more parameters."""
    claim = three_better_than_five(metric="parameters").model_copy(update={"mode": "min"})
    result = judge(claim, [*seeds(3, 0.01), *seeds(5, 0.02)])
    assert result.verdict == Verdict.SUPPORTED
    assert result.judgment.procedure == Procedure(method=Method.NOT_NEEDED)
    assert result.judgment.p_value is None
    opposite = claim.model_copy(update={"mode": "max"})
    assert judge(opposite, [*seeds(3, 0.01), *seeds(5, 0.02)]).verdict == Verdict.CONTRADICTED


def test_accuracies_that_do_not_vary_are_tested_by_permutations(judge: Judge) -> None:
    result = judge(three_better_than_five(), [*seeds(3, *[0.01] * 3), *seeds(5, *[0.02] * 3)])
    assert result.verdict == Verdict.UNDECIDED
    assert result.judgment.procedure.method == Method.PERMUTATION
    assert result.judgment.p_value == 0.25
    assert result.need.kind == NeedKind.NO_SPREAD
