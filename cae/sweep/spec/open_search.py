"""Plans of searches that choose their trials while the sweep runs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

from cae.run.records import Record
from cae.sweep.search.base import INITIAL, Candidates, Search, TrialResult
from cae.sweep.search.model_based import SECONDS, ModelBased, SecondObjective
from cae.sweep.spec.planned_trial import PlannedTrial
from cae.sweep.spec.space_forms import Space
from cae.trial.messages import ConfigError

if TYPE_CHECKING:
    from cae.sweep.spec.sweep import Sweep


@dataclass(frozen=True)
class OpenSearch:
    """A search, its candidates, and which of them have been tried."""

    search: ModelBased
    trials: int
    """How many trials the sweep requests in total, those tried before included and dependencies not
    counted."""
    candidates: Sequence[PlannedTrial]
    """All points that may be suggested, in the random order of the initial design. A candidate that
    is no trial of the run yet has the number 0."""
    tried: Mapping[int, int]
    """Trials that were suggested or trained before: index of the candidate -> number of the trial,
    in the order of the numbers."""

    def initial_design(self, first_number: int) -> list[PlannedTrial]:
        """The next trials that do not depend on results, numbered from `first_number` on."""
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

    def with_tried(self, candidate: int, number: int) -> OpenSearch:
        """This search after the candidate with this index has become a trial with this number."""
        tried = [*self.tried.items(), (candidate, number)]
        return replace(self, tried=dict(sorted(tried, key=_number_of_trial)))

    @property
    def to_come(self) -> int:
        """How many trials are still to be suggested."""
        return min(self.trials, len(self.candidates)) - len(self.tried)


def _number_of_trial(tried: tuple[int, int]) -> int:
    return tried[1]


def learning_search(search: Search | None) -> ModelBased | None:
    """The search if its suggestions depend on results; None for other searches."""
    if isinstance(search, ModelBased):
        return search
    return None


def check_second_objective(sweep: Sweep, search: ModelBased) -> None:
    """Raise ConfigError if rules of the sweep consider the metric alone.

    They would stop the small networks that belong to the Pareto front, or end the sweep while the
    front still improves.
    """
    if search.second_objective is None:
        return
    errors: list[str] = []
    for rule in ("scheduler", "plateau"):
        value = getattr(sweep, rule)
        if value is not None:
            errors.append(
                f"{rule} = {value!r}: it considers {sweep.metric} alone, and search = "
                f"ModelBased(second_objective={search.second_objective!r}) looks for networks that "
                f"are better in {search.second_objective}, too; remove one of them"
            )
    if errors:
        raise ConfigError(errors)


def _check_sizes(search: ModelBased, candidates: Sequence[PlannedTrial]) -> None:
    """Raise ConfigError if the second objective of a candidate is not known."""
    name = search.second_objective
    if name is None or name == SECONDS:
        return
    for candidate in candidates:
        if name not in candidate.sizes:
            arch = type(candidate.trial.arch).__name__
            raise ConfigError(
                [
                    f"search = ModelBased(second_objective={name!r}): a network of {arch} has no "
                    f"{name}; use one of {', '.join(sorted(_sizes(candidate)))}, {SECONDS}"
                ]
            )


def _sizes(candidate: PlannedTrial) -> set[str]:
    return set(get_args(SecondObjective)) & set(candidate.sizes)


def number_of_trials(sweep: Sweep, limit: int | None) -> int:
    """How many trials a search runs: `limit` (`--max-trials`), or the `samples` of the sweep.

    Raises ConfigError if neither is set, and for several seeds per configuration.
    """
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
            "search = ModelBased(): the number of trials is missing; set samples = 48 in the sweep "
            "file, or use --max-trials 48"
        ]
    )


def sweep_of_candidates(sweep: Sweep, search: ModelBased, overrides: Collection[str]) -> Sweep:
    """The sweep with enough draws of its random dimensions for `search.candidates` candidates.

    Args:
        sweep: The sweep with its search space.
        search: Its search.
        overrides: Parameters that are overridden: they are no dimensions.

    Raises ConfigError if the search space has no dimension.
    """
    if not any(sweep.spaces()):
        raise ConfigError(
            [
                "search = ModelBased(): the search space has no dimension; add one to `space`, or "
                "remove `search`"
            ]
        )
    sizes = [_grid_size(space, overrides) for space in sweep.spaces()]
    samples = max(1, math.ceil(search.candidates / sum(sizes)))
    return sweep.model_copy(update={"samples": samples})


def _grid_size(space: Space, overrides: Collection[str]) -> int:
    """The number of combinations of the dimensions that are not random."""
    size = 1
    for name, domain in space.items():
        is_grid = isinstance(domain, Mapping) and "grid_search" in domain
        if is_grid and name not in overrides:
            size *= len(domain["grid_search"])
    return size


def open_search(
    search: ModelBased, trials: int, planned: Sequence[PlannedTrial]
) -> tuple[list[PlannedTrial], OpenSearch]:
    """The trials that the sweep requests now, dependencies first, and the search for the others.

    Args:
        search: The search.
        trials: How many trials the sweep requests in total, without dependencies.
        planned: The dependencies and all candidates, matched with the trials of the run.

    Raises ConfigError if candidates have different dependencies, or no second objective.
    """
    dependencies = [item for item in planned if item.is_dependency]
    candidates = [item for item in planned if not item.is_dependency]
    _check_dependencies(candidates)
    _check_sizes(search, candidates)
    index_of_trial: dict[int, int] = {}
    for index, candidate in enumerate(candidates):
        if candidate.record is not None and _is_tried(candidate.record):
            index_of_trial[candidate.number] = index
    tried: dict[int, int] = {}
    for number in sorted(index_of_trial)[:trials]:
        tried[index_of_trial[number]] = number
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
    """Raise ConfigError if candidates have different dependencies."""
    numbers: dict[str, int] = {}
    for candidate in candidates:
        for name, number in candidate.dependencies.items():
            if numbers.setdefault(name, number) != number:
                raise ConfigError(
                    [
                        f"search = ModelBased(): the search space varies the trial task.{name}, "
                        "which would have to be trained before each suggestion; leave its "
                        "parameters out of the space, or use search = Random()"
                    ]
                )
