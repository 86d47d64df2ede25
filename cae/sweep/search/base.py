"""The interface of searches: candidates, results and suggestions."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt
from typing_extensions import override

from cae.run.json_values import JsonObject

INITIAL = "initial design"
"""Method of the first suggestions of a comparability group, which use no model."""
MODEL = "model"
"""Method of a suggestion that uses a model of the results so far."""
NO_MODEL = "no model"
"""Method of a later suggestion without a model: the results so far do not differ."""


@dataclass(frozen=True)
class TrialResult:
    """The trial of a candidate that was suggested, and its results so far."""

    candidate: int
    """Its index among the candidates."""
    epochs: int
    """Epochs that the trial trains unless it is stopped."""
    values: Sequence[float] = ()
    """The sweep's metric after epochs 1, 2, ...; NaN where it is missing."""
    has_ended: bool = False
    """Whether the trial is in a final state."""
    is_diverged: bool = False
    """Whether the trial ended because its loss was not finite."""
    seconds: float = math.nan
    """Seconds of training of all its epochs; estimated from those so far if some are missing. NaN
    without an epoch."""


@dataclass(frozen=True)
class Suggestion:
    """The next candidate, and why it is the next one."""

    candidate: int
    """Its index among the candidates."""
    method: str
    """INITIAL, MODEL or NO_MODEL."""
    reason: str
    """Why it is the next one, in words for the journal and `cae-sweep logs`."""
    mean: float | None = None
    """The predicted value of the metric; None without a model."""
    low: float | None = None
    """Lower bound of the interval that contains the value with probability 0.95."""
    high: float | None = None
    """Upper bound of this interval."""
    expected_improvement: float | None = None
    """In standard deviations of the costs so far, with a second objective in products of both
    objectives' standard deviations; see `cae.sweep.search.model_based`."""

    def to_json(self) -> JsonObject:
        """The suggestion as the journal records it."""
        values: JsonObject = {"method": self.method, "reason": self.reason}
        for name in ("mean", "low", "high", "expected_improvement"):
            value = getattr(self, name)
            if value is not None:
                values[name] = value
        return values


@dataclass(frozen=True)
class Candidates:
    """The points among which a search chooses, in random order."""

    points: Sequence[Mapping[str, Any]]
    """The parameters of each point that vary, by dotted name."""
    groups: Sequence[str] = ()
    """The key of the comparability group of each point; empty if there is one group."""
    rungs: Sequence[int] = ()
    """Epochs at which trials may be stopped, ascending."""
    mode: str = "min"
    """Whether smaller or larger values of the metric are better."""
    amounts: Sequence[float] = ()
    """The second objective of each point if it is known before training; else empty."""
    cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Values that a search computes once from the points, by a name of its own."""

    def group(self, candidate: int) -> str:
        """The key of the comparability group of a candidate."""
        if not self.groups:
            return ""
        return self.groups[candidate]


class Search(BaseModel, ABC):
    """A method of choosing points of a search space, as a sweep file declares it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[str]
    """The name in sweep.json and on the page."""
    learns: ClassVar[bool] = False
    """Whether a suggestion depends on the results of earlier trials."""

    @abstractmethod
    def summary(self) -> str:
        """The order of the points, in words for `cae-sweep plan`."""

    def describe(self) -> JsonObject:
        """Name and parameters for sweep.json."""
        return {"name": self.name, "learns": self.learns, **self.model_dump()}


class Grid(Search):
    """All points of a grid, in its order; with a scheduler in random order."""

    name: ClassVar[str] = "grid"

    @override
    def summary(self) -> str:
        return "all points of the grid"


class Random(Search):
    """Points in a random order with a fixed seed: a larger sample extends a smaller one."""

    name: ClassVar[str] = "random"

    seed: NonNegativeInt = 0
    """The seed of the order, and of the draws of random dimensions."""

    @override
    def summary(self) -> str:
        return "points in random order"
