"""How many claims of a report are decided and supported, and one weighted number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cae.report.statistics.claims.verdict import ALPHA, ClaimResult, Verdict

WEIGHTS: Mapping[str, float] = {"stated": 3.0, "repo": 2.0, "inferred": 1.0}
"""By the provenance of a claim. Claims without one weigh as stated ones."""


class ScoredClaim(NamedTuple):
    """What the score needs of a claim."""

    provenance: str
    verdict: str
    q_value: float | None
    """None: decided without a test, or not decided."""

    @property
    def is_decided(self) -> bool:
        """Whether the claim is decided at a false discovery rate of 5 %."""
        if self.verdict not in (Verdict.SUPPORTED, Verdict.CONTRADICTED):
            return False
        return self.q_value is None or self.q_value < ALPHA


@dataclass(frozen=True, kw_only=True)
class Score:
    """The counts of the claims, and the weighted share of those that are supported."""

    claims: int
    decided: int
    supported: int
    contradicted: int
    value: float
    """From 0 to 1: the weight of the supported claims over the weight of all."""


def score(claims: Sequence[ScoredClaim]) -> Score | None:
    """Return the score of some claims; None without claims."""
    if not claims:
        return None
    decided = [claim for claim in claims if claim.is_decided]
    supported = [claim for claim in decided if claim.verdict == Verdict.SUPPORTED]
    return Score(
        claims=len(claims),
        decided=len(decided),
        supported=len(supported),
        contradicted=len(decided) - len(supported),
        value=_weight(supported) / _weight(claims),
    )


def score_results(results: Sequence[ClaimResult]) -> Score | None:
    """Return the score of judged claims; None without claims."""
    return score(
        [ScoredClaim(result.provenance, result.verdict, result.q_value) for result in results]
    )


def _weight(claims: Sequence[ScoredClaim]) -> float:
    return sum(WEIGHTS.get(claim.provenance, WEIGHTS["stated"]) for claim in claims)
