"""Compares: two metrics of the same trials."""

from __future__ import annotations

from typing import Literal

import pytest

from cae import Compares
from cae.report.statistics.claims.kinds.metric_pairs import EpochRange, MetricPairsEvidence
from cae.report.statistics.claims.verdict import (
    Direction,
    Judgment,
    Method,
    Obstacle,
    ObstacleKind,
    Procedure,
    Unit,
    Verdict,
)
from tests.report.statistics.claims.claim_runs import KERNEL_3, Judge, TrialLoss, judge_only_claim
from tests.report.synthetic_runs import MakeWriter

Operator = Literal["<", ">"]


def training_compared(op: Operator, epochs: tuple[int, int] | None = None) -> Compares:
    return Compares(
        id="C6", text="Training.", left="train_loss", op=op, right="val_loss", epochs=epochs
    )


@pytest.mark.parametrize(("op", "verdict"), [("<", Verdict.SUPPORTED), (">", Verdict.CONTRADICTED)])
def test_two_metrics_of_the_same_trials_are_compared_in_pairs(
    op: Operator, verdict: Verdict, judge: Judge
) -> None:
    trials = [TrialLoss(3, seed, 0.01 + 0.0013 * seed) for seed in range(8)]
    result = judge(training_compared(op), trials)
    assert result.verdict == verdict
    assert result.judgment.procedure == Procedure(method=Method.WILCOXON, unit=Unit.TRIALS, count=8)
    assert result.judgment.p_value == pytest.approx(2 / 2**8)


def test_few_trials_are_compared_by_a_paired_t_test(judge: Judge) -> None:
    trials = [TrialLoss(3, seed, 0.01 + 0.0001 * seed) for seed in range(5)]
    result = judge(training_compared("<"), trials)
    assert result.verdict == Verdict.SUPPORTED
    assert result.judgment.procedure.method == Method.PAIRED_T


def test_one_trial_is_undecided(judge: Judge) -> None:
    result = judge(training_compared("<"), [TrialLoss(3, 0, 0.01)])
    assert result.verdict == Verdict.UNDECIDED
    assert result.judgment.procedure.method == Method.NONE


def test_metrics_are_averaged_over_the_claimed_epochs(writer: MakeWriter) -> None:
    """The run has three of the claimed epochs 2 to 9."""
    run = writer(claims=[training_compared("<", epochs=(2, 9)).described()], overrides={})
    run.session([1, 2])
    for number in (1, 2):
        run.trial(number, KERNEL_3, seed=number)
        run.start(number)
        for epoch, loss in enumerate([0.9, 0.3, 0.2, 0.1], 1):
            run.epoch(number, epoch, loss)
        run.end(number, "finished")
    evidence = judge_only_claim(run.close()).judgment.evidence
    assert isinstance(evidence, MetricPairsEvidence)
    assert evidence.claimed_epochs == EpochRange(2, 9)
    assert evidence.epochs == EpochRange(2, 4)
    assert evidence.difference.second_mean == pytest.approx(0.2)


def test_epochs_that_no_trial_has_are_not_testable(judge: Judge) -> None:
    result = judge(training_compared("<", epochs=(7, 9)), [TrialLoss(3, 0, 0.01)])
    assert result.judgment.evidence == Obstacle(
        kind=ObstacleKind.NO_COMMON_TRIAL, names=["train_loss", "val_loss"], epochs=(7, 9)
    )


def judge_pairs(
    writer: MakeWriter, op: Operator, left: list[float], right: list[float]
) -> Judgment:
    """Judge whether the train_loss is below or above the val_loss, given pairs of both."""
    run = writer(claims=[training_compared(op).described()], overrides={})
    run.session(list(range(1, len(left) + 1)))
    for number, (train_loss, val_loss) in enumerate(zip(left, right, strict=True), 1):
        run.trial(number, KERNEL_3, seed=number)
        run.start(number)
        run.epoch(number, 1, val_loss, train_loss=train_loss)
        run.end(number, "finished")
    return judge_only_claim(run.close()).judgment


def test_an_outlier_does_not_reverse_the_direction_of_the_signed_rank_test(
    writer: MakeWriter,
) -> None:
    """Left is larger in 19 of 20 trials; the mean difference is negative because of one trial."""
    left = [1.0 + 0.01 * trial for trial in range(19)] + [-100.0]
    right = [0.5] * 20
    judgment = judge_pairs(writer, "<", left, right)
    assert judgment.procedure.method == Method.WILCOXON
    assert judgment.verdict == Verdict.CONTRADICTED
    assert judgment.direction == Direction.OPPOSITE
    assert judgment.effect == pytest.approx(0.585, abs=0.02)
    assert judge_pairs(writer, ">", left, right).verdict == Verdict.SUPPORTED
