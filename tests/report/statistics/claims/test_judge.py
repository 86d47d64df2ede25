"""Judging all claims of a run."""

from __future__ import annotations

import pytest

from cae import BetterThan, NotTestable
from cae.report.data import tables
from cae.report.statistics.claims.judge import judge_claims
from cae.report.statistics.claims.kinds import all_judges
from cae.report.statistics.claims.registry import judges
from cae.report.statistics.claims.verdict import Obstacle, ObstacleKind, Verdict
from cae.sweep.spec import claims
from tests.report.statistics.claims.claim_runs import (
    FEWER_EPOCHS,
    HIGH,
    KERNEL_3,
    KERNEL_5,
    LOW,
    Judge,
    seeds,
)
from tests.report.synthetic_runs import MakeWriter


def test_every_kind_of_claim_has_a_judge() -> None:
    """Except NotTestable, which no run can decide."""
    kinds = {kind.__name__ for kind in claims.KINDS}
    assert kinds - set(all_judges()) == {"NotTestable"}


def test_a_kind_of_claim_has_one_judge() -> None:
    judge = all_judges()["Threshold"]
    with pytest.raises(ValueError, match="Threshold"):
        judges("Threshold")(judge)


def test_a_claim_that_is_declared_not_testable_has_its_reason(judge: Judge) -> None:
    claim = NotTestable(id="C9", text="It is blurry.", reason="nobody measured it")
    result = judge(claim, seeds(3, *LOW))
    assert result.verdict == Verdict.NOT_TESTABLE
    assert result.judgment.evidence == Obstacle(
        kind=ObstacleKind.DECLARED, text="nobody measured it"
    )


def test_a_claim_of_a_newer_version_is_not_testable(writer: MakeWriter) -> None:
    run = writer(claims=[{"kind": "Newer", "id": "C1", "text": "A claim."}])
    (result,) = judge_claims(tables.read([run.close()]))
    assert (result.id, result.kind, result.text) == ("C1", "Newer", "A claim.")
    assert result.judgment.evidence == Obstacle(kind=ObstacleKind.UNKNOWN_KIND, text="Newer")


def test_a_tested_claim_has_the_settings_that_differ_from_the_report(judge: Judge) -> None:
    claim = BetterThan(
        id="C1", text="Three is better.", metric="val_loss", this=KERNEL_3, that=KERNEL_5
    )
    result = judge(claim, [*seeds(3, *LOW), *seeds(5, *HIGH)], overrides=FEWER_EPOCHS)
    assert result.verdict == Verdict.SUPPORTED
    assert result.overrides == FEWER_EPOCHS


def test_a_claim_that_is_not_tested_has_no_settings_that_differ(judge: Judge) -> None:
    claim = NotTestable(id="C9", text="It is blurry.", reason="nobody measured it")
    assert judge(claim, seeds(3, *LOW), overrides=FEWER_EPOCHS).overrides == {}
