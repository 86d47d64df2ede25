"""Judging one claim."""

from __future__ import annotations

from typing import Any

import pytest

from cae.report.statistics.claims.verdict import ClaimResult
from cae.sweep.spec.claims import Claim
from tests.report.statistics.claims.claim_runs import Judge, TrialLoss, judge_with_losses
from tests.report.synthetic_runs import MakeWriter


@pytest.fixture
def judge(writer: MakeWriter) -> Judge:
    """Judge a claim on finished trials with known losses."""

    def judge_claim(claim: Claim, trials: list[TrialLoss], **sweep: Any) -> ClaimResult:
        return judge_with_losses(writer, claim, trials, **sweep)

    return judge_claim
