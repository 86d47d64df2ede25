"""RisesWith, FallsWith and CorrelatesWith: trends and correlations over trials."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cae import CorrelatesWith, FallsWith, RisesWith
from cae.report.statistics.claims.kinds.rank_correlations import RankCorrelationEvidence
from cae.report.statistics.claims.need import NeedKind
from cae.report.statistics.claims.verdict import (
    ClaimResult,
    LeftOut,
    LeftOutReason,
    Method,
    Obstacle,
    ObstacleKind,
    Unit,
    Verdict,
)
from cae.sweep.spec.claims import Claim
from tests.report.statistics.claims.claim_runs import (
    KERNEL,
    KERNEL_3,
    LOW,
    Judge,
    TrialLoss,
    judge_only_claim,
    judge_with_stopped_trials,
    seeds,
)
from tests.report.synthetic_runs import MakeWriter

FIELDS: dict[str, Any] = {"id": "C4", "text": "A trend.", "metric": "val_loss"}


@pytest.mark.parametrize(
    ("kind", "verdict"), [(RisesWith, Verdict.SUPPORTED), (FallsWith, Verdict.CONTRADICTED)]
)
def test_a_trend_is_judged_by_a_rank_correlation(
    kind: type[RisesWith], verdict: Verdict, judge: Judge
) -> None:
    trials = []
    for kernel in (3, 5, 7, 9, 11):
        trials += seeds(kernel, kernel / 100, kernel / 99)
    result = judge(kind(**FIELDS, axis=KERNEL), trials)
    evidence = result.judgment.evidence
    assert result.verdict == verdict
    assert result.judgment.procedure.method == Method.SPEARMAN
    assert not result.judgment.procedure.is_exact
    assert result.judgment.effect == pytest.approx(0.98, abs=0.02)
    assert isinstance(evidence, RankCorrelationEvidence)
    assert evidence.trend is not None
    assert (evidence.trend.first.setting, evidence.trend.last.setting) == (3, 11)
    assert evidence.trend.has_equal_settings


def test_steps_against_a_trend_are_counted(judge: Judge) -> None:
    trials = [TrialLoss(3, 0, 0.01), TrialLoss(5, 0, 0.03), TrialLoss(7, 0, 0.02)]
    result = judge(RisesWith(**FIELDS, axis=KERNEL), trials)
    evidence = result.judgment.evidence
    assert result.verdict == Verdict.UNDECIDED
    assert isinstance(evidence, RankCorrelationEvidence)
    assert evidence.trend is not None
    assert (evidence.trend.settings, evidence.trend.reversals) == (3, 1)


def test_few_trials_cannot_be_significant(judge: Judge) -> None:
    trials = [TrialLoss(3, 0, 0.01), TrialLoss(5, 0, 0.02), TrialLoss(7, 0, 0.03)]
    result = judge(RisesWith(**FIELDS, axis=KERNEL), trials)
    evidence = result.judgment.evidence
    assert result.judgment.procedure.is_exact
    assert result.judgment.p_value == pytest.approx(2 / 6)
    assert isinstance(evidence, RankCorrelationEvidence)
    assert not evidence.can_be_significant
    assert evidence.trend is not None
    assert evidence.trend.sufficient_seeds == 2


def test_a_trend_over_one_value_is_not_testable(judge: Judge) -> None:
    result = judge(RisesWith(**FIELDS, axis=KERNEL), seeds(3, *LOW))
    assert result.verdict == Verdict.NOT_TESTABLE
    assert result.judgment.evidence == Obstacle(
        kind=ObstacleKind.ONLY_TRIALS_AT_VALUE, conditions=KERNEL_3
    )


def test_metrics_that_rise_together_are_correlated(judge: Judge) -> None:
    trials = [TrialLoss(3 + 2 * step, 0, 0.01 + 0.001 * step) for step in range(8)]
    claim = CorrelatesWith(**FIELDS, other="test_loss", sign="positive")
    result = judge(claim, trials)
    assert result.verdict == Verdict.SUPPORTED
    assert result.judgment.effect == pytest.approx(1)


def test_a_metric_with_one_value_does_not_correlate(judge: Judge) -> None:
    claim = CorrelatesWith(**FIELDS, other="latent_values", sign="positive")
    result = judge(claim, seeds(3, *LOW))
    assert result.judgment.evidence == Obstacle(
        kind=ObstacleKind.CONSTANT, names=["latent_values"], count=3
    )


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (RisesWith(**FIELDS, axis=KERNEL, at_epoch=1), Verdict.SUPPORTED),
        (
            CorrelatesWith(**FIELDS, other=KERNEL, sign="negative", at_epoch=1),
            Verdict.CONTRADICTED,
        ),
        (
            CorrelatesWith(**FIELDS, other="val_psnr", sign="negative", at_epoch=1),
            Verdict.SUPPORTED,
        ),
    ],
)
def test_a_claim_at_an_epoch_counts_the_trials_that_were_stopped_later(
    claim: Claim, verdict: Verdict, writer: MakeWriter
) -> None:
    result = judge_with_stopped_trials(writer, claim)
    evidence = result.judgment.evidence
    assert result.verdict == verdict
    assert len(result.trials) == 10
    assert isinstance(evidence, RankCorrelationEvidence)
    assert evidence.at_epoch == 1


def test_a_claim_without_an_epoch_leaves_out_stopped_trials(writer: MakeWriter) -> None:
    result = judge_with_stopped_trials(writer, RisesWith(**FIELDS, axis=KERNEL))
    assert result.verdict == Verdict.NOT_TESTABLE
    assert result.left_out == [LeftOut(LeftOutReason.STATE, "stopped")] * 9


def test_a_claim_at_an_epoch_that_no_trial_reached_is_not_testable(writer: MakeWriter) -> None:
    result = judge_with_stopped_trials(writer, RisesWith(**FIELDS, axis=KERNEL, at_epoch=7))
    assert result.verdict == Verdict.NOT_TESTABLE
    assert result.left_out == [LeftOut(LeftOutReason.NO_EPOCH, "7")] * 10


def judge_configurations(
    writer: MakeWriter, claim: Claim, points: list[tuple[int, float]], seeds_per_point: int
) -> ClaimResult:
    """Judge a claim on configurations with a kernel size and a loss; seeds differ little."""
    count = len(points) * seeds_per_point
    run = writer(claims=[claim.described()], overrides={})
    run.session(list(range(1, count + 1)))
    for number in range(1, count + 1):
        index, seed = divmod(number - 1, seeds_per_point)
        kernel, loss = points[index]
        run.trial(number, {KERNEL: kernel, "optimizer.lr": 0.1 * index}, seed=seed)
        run.start(number)
        run.epoch(number, 1, loss + 1e-6 * seed)
        run.end(number, "finished", best_epoch=1, metrics={})
    return judge_only_claim(run.close())


CORRELATES = CorrelatesWith(
    id="C8", text="Wider is better.", metric="val_loss", other=KERNEL, sign="negative"
)
POINTS = [(1, 0.05), (2, 0.03), (3, 0.06), (4, 0.02), (5, 0.04), (6, 0.01)]
"""The rank correlation of these six is -0.6, which is not significant."""


@pytest.mark.parametrize("claim", [CORRELATES, FallsWith(**FIELDS, axis=KERNEL)])
def test_seeds_of_a_configuration_are_one_observation(claim: Claim, writer: MakeWriter) -> None:
    """Regression: ten seeds of the same six networks made their correlation significant."""
    result = judge_configurations(writer, claim, POINTS, 10)
    evidence = result.judgment.evidence
    assert isinstance(evidence, RankCorrelationEvidence)
    assert evidence.observations == 6
    assert evidence.correlation.coefficient == pytest.approx(-0.6)
    assert evidence.correlation.p_value == pytest.approx(spearmanr_p(POINTS), abs=0.002)
    assert result.verdict == Verdict.UNDECIDED
    assert result.need.kind == NeedKind.POINTS
    assert len(result.trials) == 60
    assert result.seeds == 10
    assert result.judgment.procedure.unit == Unit.MEANS
    assert result.judgment.procedure.count == 6


def spearmanr_p(points: list[tuple[int, float]]) -> float:
    """The exact two-sided p value, from all permutations of these few points."""
    values = [loss for _, loss in points]
    ranks = stats.rankdata(values)
    x = np.arange(len(values))
    observed = abs(np.corrcoef(x, ranks)[0, 1])
    orders = np.array(list(itertools.permutations(ranks)))
    correlations = [np.corrcoef(x, order)[0, 1] for order in orders]
    return float(np.mean(np.abs(correlations) >= observed - 1e-9))


def test_metrics_of_one_configuration_correlate_over_its_seeds(judge: Judge) -> None:
    claim = CorrelatesWith(
        id="C9", text="Both rise.", metric="test_loss", other="val_loss", sign="positive"
    )
    result = judge(claim, seeds(3, 0.01, 0.03, 0.02, 0.05, 0.04))
    evidence = result.judgment.evidence
    assert result.verdict == Verdict.SUPPORTED
    assert isinstance(evidence, RankCorrelationEvidence)
    assert evidence.observations == 5
    assert not evidence.is_over_configurations
