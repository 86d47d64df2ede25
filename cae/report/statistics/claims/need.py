"""What would decide a claim: the result of `needs`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class NeedKind(StrEnum):
    """What would decide a claim."""

    NOTHING = "nothing"
    """It is decided."""
    SEEDS = "seeds"
    FIRST_SEEDS = "first seeds"
    """One seed: the spread is not known, and the number of seeds cannot be computed."""
    MANY_SEEDS = "many seeds"
    """More than `needs.MAX_PRACTICAL_SEEDS`: the effect is small compared with the spread."""
    NO_EFFECT = "no effect"
    """The observed effect is zero, or exactly at the bound: no number of seeds is enough."""
    NO_SPREAD = "no spread"
    """All seeds have equal values, so that more of them change nothing."""
    POINTS = "points"
    """More points of the search space: the test compares configurations, not seeds."""
    TRIALS = "trials"
    """Finished trials that the run lacks."""
    OWN_SETTINGS = "own settings"
    """A run with the report's settings."""
    IMPOSSIBLE = "impossible"
    """No run can decide it."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What would decide a claim, as an estimate."""

    kind: NeedKind
    seeds: int = 0
    """Seeds per configuration in all; 0 if seeds do not decide it, or the number is unknown."""
    more_seeds: int = 0
    """Of them, those that the run lacks."""
    trials: Sequence[int] = ()
    """The number of one trial of each configuration that needs more seeds."""
    first_seed: int = 0
    """The first of the new seeds: after all that these configurations have."""
    seconds: float = math.nan
    """Training time of the new trials; NaN if it is not known."""

    @property
    def is_by_seeds(self) -> bool:
        return self.more_seeds > 0


NOTHING = Need(kind=NeedKind.NOTHING)
