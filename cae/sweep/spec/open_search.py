"""Searches that choose their trials while the sweep runs: what is known before it starts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cae.run.records import Record
from cae.sweep.search.base import INITIAL, Candidates, Search, TrialResult
from cae.sweep.search.model_based import ModelBased
from cae.sweep.spec.planned_trial import PlannedTrial
from cae.sweep.spec.space_forms import Space
from cae.trial.config import ConfigError

if TYPE_CHECKING:
    from cae.sweep.spec.sweep import Sweep


@dataclass(frozen=True)
class OpenSearch:
    """A search with its candidates."""

    search: ModelBased
    trials: int
    """How many trials the sweep requests in all, without dependencies."""
    candidates: Sequence[PlannedTrial]
    """All points that may be suggested, in the random order of the initial design. Their numbers
    are those of the run, or 0."""
    tried: Mapping[int, int]
    """The numbers of the trials that were suggested or trained before, by candidate, in the order
    of the numbers."""

    def initial_design(self, first_number: int) -> list[PlannedTrial]:
        """The next trials, as far as they do not depend on results, with their numbers."""
        results = [TrialResult(index, epochs=1, has_ended=True) for index in self.tried]
        groups = [str(candidate.group.get("key", "")) for candidate in self.candidates]
        points = [candidate.axes for candidate in self.candidates]
        candidates = Candidates(points, groups)
        design: list[PlannedTrial] = []
        while len(design) < self.to_come:
            suggestion = self.search.suggest(candidates, results)
            if suggestion is None or suggestion.method != INITIAL:
                break
            candidate = self.candidates[suggestion.candidate]
            design.append(replace(candidate, number=first_number + len(design)))
            results.append(TrialResult(suggestion.candidate, epochs=1, has_ended=True))
        return design

    @property
    def to_come(self) -> int:
        """How many trials are still to be suggested."""
        return min(self.trials, len(self.candidates)) - len(self.tried)


def learning_search(search: Search | None) -> ModelBased | None:
    """The search, if its suggestions depend on results."""
    if isinstance(search, ModelBased):
        return search
    return None


def number_of_trials(sweep: Sweep, limit: int | None) -> int:
    """How many trials a search is to suggest. Raises ConfigError if nobody says so."""
    if sweep.seeds > 1:
        raise ConfigError(
            [
                f"seeds = {sweep.seeds}: search = ModelBased() tries each configuration once; "
                "repeat the best ones with other seeds afterwards: --set space=none --set seeds=3"
            ]
        )
    if limit is not None:
        return limit
    if "samples" in sweep.model_fields_set:
        return sweep.samples
    raise ConfigError(
        [
            "search = ModelBased() chooses trials until there are enough: set samples = 48, or use "
            "--max-trials 48"
        ]
    )


def sweep_of_candidates(sweep: Sweep, search: ModelBased) -> Sweep:
    """The sweep with as many draws of random dimensions as there may be candidates.

    Raises ConfigError for a search space without a dimension.
    """
    if not any(sweep.spaces()):
        raise ConfigError(["search = ModelBased(): the search space has no dimension"])
    sizes = [_grid_size(space) for space in sweep.spaces()]
    samples = max(1, math.ceil(search.candidates / sum(sizes)))
    return sweep.model_copy(update={"samples": samples})


def _grid_size(space: Space) -> int:
    size = 1
    for domain in space.values():
        if isinstance(domain, Mapping) and "grid_search" in domain:
            size *= len(domain["grid_search"])
    return size


def open_search(
    search: ModelBased, trials: int, planned: Sequence[PlannedTrial]
) -> tuple[list[PlannedTrial], OpenSearch]:
    """The trials that the sweep requests now, dependencies first, and the search for the others.

    Args:
        search: The search.
        trials: How many trials it is to suggest.
        planned: The dependencies and all candidates, matched with the run.

    Raises ConfigError if candidates have different dependencies.
    """
    dependencies = [item for item in planned if item.is_dependency]
    candidates = [item for item in planned if not item.is_dependency]
    _check_dependencies(candidates)
    numbers: dict[int, int] = {}
    for index, candidate in enumerate(candidates):
        if candidate.record is not None and _is_tried(candidate.record):
            numbers[candidate.number] = index
    tried = {numbers[number]: number for number in sorted(numbers)[:trials]}
    requested = [candidates[index] for index in tried]
    numbered: list[PlannedTrial] = []
    for candidate in candidates:
        if candidate.record is None:
            numbered.append(replace(candidate, number=0))
        else:
            numbered.append(candidate)
    return [*dependencies, *requested], OpenSearch(search, trials, numbered, tried)


def _is_tried(record: Record) -> bool:
    """Whether a trial was suggested, or has results from an earlier sweep."""
    return bool(record.suggestion or record.epochs or record.state.is_final)


def _check_dependencies(candidates: Sequence[PlannedTrial]) -> None:
    names: dict[str, Any] = {}
    for candidate in candidates:
        for name, number in candidate.dependencies.items():
            if names.setdefault(name, number) != number:
                raise ConfigError(
                    [
                        f"search = ModelBased(): the search space varies the trial task.{name}, "
                        "which would have to be trained before each suggestion; leave its "
                        "parameters out of the space, or use search = Random()"
                    ]
                )
