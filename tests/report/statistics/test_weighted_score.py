"""The weighted score of the claims of a report."""

from __future__ import annotations

import pytest

from cae.report.statistics.score import ScoredClaim, score


def test_stated_claims_weigh_more_than_inferred_ones() -> None:
    claims = [
        ScoredClaim("stated", "supported", 0.01),
        ScoredClaim("stated", "contradicted", 0.02),
        ScoredClaim("repo", "supported", None),
        ScoredClaim("inferred", "undecided", 0.3),
        ScoredClaim("inferred", "not testable", None),
    ]
    result = score(claims)
    assert result is not None
    assert (result.claims, result.decided, result.supported, result.contradicted) == (5, 3, 2, 1)
    assert result.value == pytest.approx((3 + 2) / (3 + 3 + 2 + 1 + 1))


def test_a_claim_that_is_only_significant_alone_is_not_decided() -> None:
    result = score([ScoredClaim("stated", "supported", 0.06)])
    assert result is not None
    assert (result.decided, result.value) == (0, 0.0)


def test_there_is_no_score_without_claims() -> None:
    assert score([]) is None
