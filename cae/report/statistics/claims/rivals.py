"""Several comparisons of which each has to support a claim: something against all its rivals."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from cae.report.statistics.claims.verdict import ALPHA
from cae.report.statistics.inference import MeanDifference, holm

Key = TypeVar("Key", bound=Hashable)


class RivalKind(StrEnum):
    """Why the evidence shows this comparison of several."""

    ONLY = "only"
    CLOSEST = "closest"
    LEAST_CERTAIN = "least certain"


@dataclass(frozen=True)
class Comparisons(Generic[Key]):
    """What is claimed to be larger (sign 1) or smaller (sign -1), minus each rival."""

    sign: int
    differences: Mapping[Key, MeanDifference]
    are_certain: bool = False
    """Whether the differences are not random, and need no test."""

    @functools.cached_property
    def p_values(self) -> dict[Key, float]:
        """With Holm's correction. Comparisons with too few seeds have none."""
        if self.are_certain:
            return dict.fromkeys(self.differences, 0.0)
        p_values = {}
        for key, difference in self.differences.items():
            if difference.is_testable:
                p_values[key] = difference.p_value()
        return holm(p_values)

    @property
    def contradicting(self) -> list[Key]:
        """Those whose rival is significantly more extreme."""
        return [key for key, p in self.p_values.items() if self.lead(key) < 0 and p < ALPHA]

    @property
    def uncertain(self) -> list[Key]:
        return [key for key in self.differences if not self.p_values.get(key, 1.0) < ALPHA]

    @property
    def deciding(self) -> Key:
        """The one that decides: one that contradicts, otherwise one that is not certain.

        A claim that each supports is as certain as the least certain support.
        """
        candidates = self.contradicting or self.uncertain
        if candidates:
            return min(candidates, key=self.lead)
        least_certain = max(self.p_values.values())
        candidates = [key for key, p in self.p_values.items() if p == least_certain]
        return min(candidates, key=self.lead)

    @property
    def rival_kind(self) -> RivalKind:
        if len(self.differences) == 1:
            return RivalKind.ONLY
        is_closest = self.deciding == min(self.differences, key=self.lead)
        if self.contradicting or (is_closest and not self.uncertain):
            return RivalKind.CLOSEST
        return RivalKind.LEAST_CERTAIN

    @property
    def untested(self) -> MeanDifference | None:
        """The first comparison with too few seeds, unless the claim is contradicted anyway."""
        if self.contradicting or self.are_certain:
            return None
        for difference in self.differences.values():
            if not difference.is_testable:
                return difference
        return None

    def lead(self, key: Key) -> float:
        """Return by how much the claim holds in this comparison."""
        return self.sign * self.differences[key].value
