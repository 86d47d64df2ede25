"""Threshold: a metric of the best configuration against a bound."""

from __future__ import annotations

import pytest

from cae import Threshold
from cae.report.statistics.claims.kinds.threshold import ThresholdEvidence
from cae.report.statistics.claims.verdict import (
    Method,
    Obstacle,
    ObstacleKind,
    Procedure,
    Unit,
    Verdict,
)
from tests.report.statistics.claims.claim_runs import (
    FEWER_EPOCHS,
    HIGH,
    KERNEL_3,
    LOW,
    Judge,
    judge_only_claim,
    seeds,
)
from tests.report.synthetic_runs import MakeWriter


def loss_below(bound: float, *, as_published: bool = False) -> Threshold:
    return Threshold(
        id="C7",
        text="It is small.",
        metric="val_loss",
        op="<",
        bound=bound,
        as_published=as_published,
    )


@pytest.mark.parametrize(
    ("bound", "verdict"), [(0.02, Verdict.SUPPORTED), (0.005, Verdict.CONTRADICTED)]
)
def test_a_threshold_is_judged_over_seeds(bound: float, verdict: Verdict, judge: Judge) -> None:
    result = judge(loss_below(bound), seeds(3, *LOW))
    assert result.verdict == verdict
    assert result.judgment.procedure == Procedure(
        method=Method.ONE_SAMPLE_T, unit=Unit.SEEDS, count=3
    )
    assert result.judgment.effect == pytest.approx(0.0101 - bound)


def test_the_best_configuration_is_compared_with_the_bound(judge: Judge) -> None:
    result = judge(loss_below(0.015), [*seeds(3, *HIGH), *seeds(5, *LOW)])
    evidence = result.judgment.evidence
    assert result.verdict == Verdict.SUPPORTED
    assert result.trials == [4, 5, 6]
    assert isinstance(evidence, ThresholdEvidence)
    assert evidence.matching_configurations == 2


def test_one_seed_below_the_bound_is_undecided(judge: Judge) -> None:
    assert judge(loss_below(0.02), seeds(3, 0.01)).verdict == Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("bound", "verdict"), [(1e6, Verdict.SUPPORTED), (1e3, Verdict.CONTRADICTED)]
)
def test_a_size_of_the_network_needs_no_test(bound: float, verdict: Verdict, judge: Judge) -> None:
    claim = Threshold(id="C8", text="It is small.", metric="parameters", op="<", bound=bound)
    result = judge(claim, seeds(3, *LOW))
    assert result.verdict == verdict
    assert result.judgment.procedure.method == Method.NOT_NEEDED
    assert not result.judgment.is_tested
    assert result.seeds == 0


def test_a_published_bound_is_compared_under_the_settings_of_the_report(judge: Judge) -> None:
    result = judge(loss_below(0.02, as_published=True), seeds(3, *LOW))
    assert result.verdict == Verdict.SUPPORTED


def test_a_published_bound_is_not_testable_under_other_settings(judge: Judge) -> None:
    claim = loss_below(0.02, as_published=True)
    result = judge(claim, seeds(3, *LOW), overrides=FEWER_EPOCHS)
    assert result.verdict == Verdict.NOT_TESTABLE
    assert result.judgment.evidence == Obstacle(
        kind=ObstacleKind.OTHER_SETTINGS, overrides=FEWER_EPOCHS
    )


@pytest.mark.parametrize(
    ("epochs", "verdict"), [(40, Verdict.NOT_TESTABLE), (4, Verdict.UNDECIDED)]
)
def test_a_published_bound_is_not_compared_with_trials_of_other_commands(
    epochs: int, verdict: Verdict, writer: MakeWriter
) -> None:
    """Regression: only the overrides of the newest command were looked at."""
    claim = loss_below(0.05, as_published=True)
    run = writer(claims=[claim.described()], overrides={})
    run.session([1])
    run.trial(1, KERNEL_3, epochs=epochs)
    run.start(1)
    run.epoch(1, 1, 0.01)
    run.end(1, "finished", best_epoch=1, metrics={})
    result = judge_only_claim(run.close())
    assert result.verdict == verdict
