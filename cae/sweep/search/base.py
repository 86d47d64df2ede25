"""What a search is to the rest of the package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt
from typing_extensions import override

from cae.run.json_values import JsonObject

INITIAL = "initial design"
"""Method of a suggestion that no model made: the first ones."""
MODEL = "model"
"""Method of a suggestion that a model of the earlier results made."""
NO_MODEL = "no model"
"""Method of a suggestion after the initial design for which there is nothing to learn from."""


@dataclass(frozen=True)
class TrialResult:
    """What is known about a candidate that was suggested."""

    candidate: int
    """Its index among the candidates."""
    epochs: int
    """Epochs that the trial has in all."""
    values: Sequence[float] = ()
    """The sweep's metric after each epoch so far, from the first one."""
    has_ended: bool = False
    is_diverged: bool = False
    """Whether it ended with a loss that is not finite."""


@dataclass(frozen=True)
class Suggestion:
    """The next candidate, and why it is the next one."""

    candidate: int
    """Its index among the candidates."""
    method: str
    """INITIAL, MODEL or NO_MODEL."""
    reason: str
    """A sentence."""
    mean: float | None = None
    """The value of the metric that the model predicts; None without a model."""
    low: float | None = None
    high: float | None = None
    """The bounds between which the model expects it with probability 0.95."""
    expected_improvement: float | None = None
    """In standard deviations of the values so far; see `cae.sweep.search.model_based`."""

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
    """The parameters that vary, by dotted name."""
    groups: Sequence[str] = ()
    """The comparability group of each point; empty if there is one group."""
    rungs: Sequence[int] = ()
    """Epochs at which trials may be stopped."""
    mode: str = "min"
    """Whether smaller or larger values of the metric are better."""
    cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What a search computes from the points once."""

    def group(self, candidate: int) -> str:
        """The comparability group of a point."""
        if not self.groups:
            return ""
        return self.groups[candidate]


class Search(BaseModel, ABC):
    """A method of choosing points of a search space, as a sweep file declares it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[str]
    """How sweep.json and the page call it."""
    learns: ClassVar[bool] = False
    """Whether a suggestion depends on the results of earlier trials."""

    @abstractmethod
    def summary(self) -> str:
        """What it does, in words for `cae-sweep plan`."""

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
    """Points in random order, the same at each call: a sample of 48 begins with that of 24."""

    name: ClassVar[str] = "random"

    seed: NonNegativeInt = 0
    """Another seed gives another order and, of random dimensions, other draws."""

    @override
    def summary(self) -> str:
        return "points in random order"
