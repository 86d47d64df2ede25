"""MoreImportantThan: the importance of one parameter against that of others."""

from __future__ import annotations

import numpy as np

from cae import MoreImportantThan
from cae.report.statistics.claims.kinds.parameter_importance import (
    MoreImportantEvidence,
    find_lead,
)
from cae.report.statistics.claims.need import NeedKind
from cae.report.statistics.claims.verdict import (
    Method,
    Obstacle,
    ObstacleKind,
    Procedure,
    Unit,
    Verdict,
)
from tests.report.statistics.claims.claim_runs import (
    KERNEL,
    LOW,
    Judge,
    judge_importance,
    judge_only_claim,
    seeds,
)
from tests.report.synthetic_runs import MakeWriter

FILTERS = "arch.encoder_filters.1"


def most_important(axis: str) -> MoreImportantThan:
    return MoreImportantThan(id="C1", text="Early.", metric="val_loss", axis=axis, at_epoch=1)


def test_importance_at_an_epoch_counts_stopped_trials(writer: MakeWriter) -> None:
    result = judge_importance(writer, most_important(KERNEL))
    evidence = result.judgment.evidence
    assert result.verdict == Verdict.SUPPORTED
    assert len(result.trials) == 36
    assert result.judgment.procedure == Procedure(
        method=Method.FOREST, unit=Unit.BOOTSTRAPS, count=199
    )
    assert isinstance(evidence, MoreImportantEvidence)
    assert evidence.at_epoch == 1
    assert evidence.lead is not None
    assert evidence.lead.rival == FILTERS
    assert evidence.lead.importance > evidence.lead.rival_importance


def test_a_less_important_parameter_contradicts_the_claim(writer: MakeWriter) -> None:
    result = judge_importance(writer, most_important(FILTERS))
    assert result.verdict == Verdict.CONTRADICTED
    assert result.judgment.effect is not None
    assert result.judgment.effect < 0


def test_too_few_configurations_are_undecided(writer: MakeWriter) -> None:
    result = judge_importance(writer, most_important(KERNEL), trials=19)
    evidence = result.judgment.evidence
    assert result.verdict == Verdict.UNDECIDED
    assert isinstance(evidence, MoreImportantEvidence)
    assert evidence.lead is None
    assert evidence.configurations == 19


def test_seeds_of_a_configuration_are_not_further_configurations(writer: MakeWriter) -> None:
    """Regression: seven configurations with three seeds each were taken for 21 trials."""
    run = writer(claims=[most_important(KERNEL).described()], overrides={})
    run.session(list(range(1, 22)))
    for number in range(1, 22):
        configuration = number % 7
        axes = {KERNEL: configuration, FILTERS: (configuration * 3) % 7}
        run.trial(number, axes, seed=number // 7)
        run.start(number)
        run.epoch(number, 1, 0.01 * configuration + 1e-5 * number)
        run.end(number, "finished", best_epoch=1)
    result = judge_only_claim(run.close())
    evidence = result.judgment.evidence
    assert result.verdict == Verdict.UNDECIDED
    assert len(result.trials) == 21
    assert isinstance(evidence, MoreImportantEvidence)
    assert evidence.configurations == 7


def test_a_parameter_with_one_value_is_not_testable(judge: Judge) -> None:
    result = judge(most_important(KERNEL), seeds(3, *LOW))
    assert result.judgment.evidence == Obstacle(kind=ObstacleKind.CONSTANT, names=[KERNEL], count=3)


def test_the_only_parameter_that_varies_is_not_testable(judge: Judge) -> None:
    result = judge(most_important(KERNEL), [*seeds(3, *LOW), *seeds(5, *LOW)])
    assert result.judgment.evidence == Obstacle(
        kind=ObstacleKind.NOTHING_ELSE_VARIES, names=[KERNEL]
    )


def test_the_largest_of_many_equal_rivals_does_not_contradict_the_claim() -> None:
    """Regression: the rival was chosen by the data, and its p value not corrected for that."""
    names = [f"p{number}" for number in range(10)]
    random = np.random.default_rng(0)
    contradicted = 0
    for _ in range(300):
        means = random.normal(0.1, 0.02, 10)
        bootstraps = means + random.normal(0, 0.02, (199, 10))
        lead = find_lead(bootstraps, names, "p0", names[1:])
        contradicted += lead.verdict == Verdict.CONTRADICTED
    assert contradicted / 300 < 0.06


def test_parameters_that_change_together_are_not_testable(writer: MakeWriter) -> None:
    """Regression: the forest divided the importance of both between them."""
    rate = "optimizer.lr"
    filters = "arch.filters"
    axes = {name: {"values": None} for name in (KERNEL, filters, rate)}
    run = writer(claims=[most_important(filters).described()], overrides={}, axes=axes)
    run.session(list(range(1, 31)))
    for number in range(1, 31):
        kernel = 3 + number % 3
        run.trial(number, {KERNEL: kernel, rate: 0.1 * kernel, filters: number % 10})
        run.start(number)
        run.epoch(number, 1, 0.01 * kernel + 0.02 * (number % 10))
        run.end(number, "finished")
    result = judge_only_claim(run.close())
    assert result.verdict == Verdict.NOT_TESTABLE
    assert result.judgment.evidence == Obstacle(kind=ObstacleKind.CONFOUNDED, names=[KERNEL, rate])
    assert result.need.kind == NeedKind.POINTS
