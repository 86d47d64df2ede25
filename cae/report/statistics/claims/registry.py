"""Registration of the functions that judge claims, by the kind of claim."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from cae.report.statistics.claims.trials import ClaimTrials
from cae.report.statistics.claims.verdict import Claim, Judgment

Judge = Callable[[ClaimTrials, Claim], Judgment]
"""Judges one claim. Raises NotTestable if the run lacks what the claim needs."""

REGISTERED_JUDGES: dict[str, Judge] = {}
"""By kind of claim: the name of its class in cae/sweep/spec/claims.py. `kinds.all_judges` imports
every module first."""


class EachGroup(StrEnum):
    """When a claim is judged in each comparability group, instead of in all trials."""

    NEVER = "never"
    """The claim compares trials: those of different groups if it contrasts their parameters."""
    IF_DEFINITIONS_DIFFER = "if definitions differ"
    """The claim compares numbers of the same trial."""
    ALWAYS = "always"
    """The claim is about the best configuration."""


EACH_GROUP: dict[str, EachGroup] = {}
"""By kind of claim."""


def judges(*kinds: str, each_group: EachGroup = EachGroup.NEVER) -> Callable[[Judge], Judge]:
    """Register the decorated function for these kinds of claims.

    Raises ValueError if another function is registered for one of them.
    """

    def register(judge: Judge) -> Judge:
        for kind in kinds:
            if kind in REGISTERED_JUDGES:
                raise ValueError(f"claims of kind {kind} are judged by {REGISTERED_JUDGES[kind]}")
            REGISTERED_JUDGES[kind] = judge
            EACH_GROUP[kind] = each_group
        return judge

    return register
