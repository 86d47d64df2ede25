"""Points of a random search space that the run has trained already.

They count towards `samples`: after a range was narrowed, the trials inside it are not replaced by
new draws.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.search.sample import Categorical, Domain, Float, Function, Integer, Quantized

from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.trial.config import Trial
from cae.trial.messages import ConfigError
from cae.trial.plain_values import to_plain

Point = dict[str, Any]
"""Values by dotted name."""
MAX_STANDARD_DEVIATIONS = 3
"""Values of a normal distribution that are further from its mean do not count as inside."""
_ENDED = (TrialState.FINISHED, TrialState.STOPPED, TrialState.DIVERGED)


@dataclass(frozen=True)
class TrainedTrials:
    """The trials of a run that may count."""

    records: tuple[Record, ...] = ()
    is_trained: Callable[[Point], bool] = bool  # never called without records
    """Whether one of them is the trial of a point."""

    def points_in(self, space: Mapping[str, Any]) -> list[Point]:
        """Their points in a search space, each once, in the order of their numbers."""
        points: dict[str, Point] = {}
        for record in self.records:
            point = _point_of(record, space)
            if point is not None and key_of(point) not in points:
                points[key_of(point)] = point
        return list(points.values())

    def trained_points_in(self, space: Mapping[str, Any]) -> list[Point]:
        """Those of `points_in` that the newest command would not train again."""
        return [point for point in self.points_in(space) if self.is_trained(point)]


def select_trained(
    base: Trial, overrides: Mapping[str, Any], seeds: int, records: Iterable[Record]
) -> TrainedTrials:
    """The trials of a run with a result, or with epochs that can be resumed.

    Args:
        base: The base trial of the sweep.
        overrides: Settings that override base and search space.
        seeds: How many seeds each configuration runs with.
        records: All trials of the run.
    """
    chosen: list[Record] = []
    for record in records:
        can_resume = bool(record.epochs) and not record.state.is_final
        if not record.is_dependency and (record.state in _ENDED or can_resume):
            chosen.append(record)
    trained = {(_configuration(record.config), record.config.get("seed")) for record in chosen}

    def is_trained(point: Point) -> bool:
        try:
            trial = base.override({**point, **overrides})
        except ConfigError:  # reported when the trials are built
            return False
        configuration = _configuration(trial.flat())
        return any((configuration, trial.seed + seed) in trained for seed in range(seeds))

    return TrainedTrials(tuple(chosen), is_trained)


def _configuration(flat: Mapping[str, Any]) -> str:
    """A text that is equal for configurations that differ only in seed and number of epochs."""
    return key_of({name: value for name, value in flat.items() if name not in ("seed", "epochs")})


def key_of(point: Point) -> str:
    """A text that is equal for equal points."""
    return json.dumps(point, sort_keys=True, default=str)


def replace_draws(
    space: Mapping[str, Any], draws: list[Point], trained: TrainedTrials
) -> tuple[list[Point], list[Point]]:
    """Replace new draws by points that are trained already.

    Returns the points that replace draws, and the draws that stay, in their order. There are as
    many points as draws for each combination of the grid.
    """
    drawn = {key_of(point) for point in draws}
    others = [point for point in trained.points_in(space) if key_of(point) not in drawn]
    others = [point for point in others if trained.is_trained(point)]
    if not others:
        return [], draws
    new_draws = [point for point in draws if not trained.is_trained(point)]
    free = Counter(_grid_cell(space, point) for point in new_draws)
    added: list[Point] = []
    surplus: Counter[str] = Counter()
    for point in others:
        cell = _grid_cell(space, point)
        if surplus[cell] < free[cell]:
            surplus[cell] += 1
            added.append(point)
    dropped: set[str] = set()
    for point in reversed(new_draws):  # the last ones: more samples draw them later
        cell = _grid_cell(space, point)
        if surplus[cell]:
            surplus[cell] -= 1
            dropped.add(key_of(point))
    return added, [point for point in draws if key_of(point) not in dropped]


def _grid_cell(space: Mapping[str, Any], point: Point) -> str:
    """The values of the dimensions that are not random."""
    fixed = {name: point[name] for name, domain in space.items() if not isinstance(domain, Domain)}
    return key_of(fixed)


def _point_of(record: Record, space: Mapping[str, Any]) -> Point | None:
    """The point of a trial in a search space; None if it is outside."""
    point: Point = {}
    for name, domain in space.items():
        value = _value(record.config, name)
        candidates = _discrete_values(domain)
        if candidates is not None:
            equal = [candidate for candidate in candidates if _are_equal(candidate, value)]
            if not equal:
                return None
            value = equal[0]
        elif not _is_inside(domain, value):
            return None
        point[name] = value
    return point


def _value(config: Mapping[str, Any], name: str) -> Any:
    """A parameter, or an element of one; elements are counted from 1."""
    parameter, _, element = name.rpartition(".")
    values = config.get(parameter)
    if name not in config and element.isdecimal() and isinstance(values, list):
        if 1 <= int(element) <= len(values):
            return values[int(element) - 1]
    return config.get(name)


def _discrete_values(domain: Any) -> list[Any] | None:
    """The values of a grid, a choice or a constant; None for an interval or a function."""
    if isinstance(domain, Categorical):
        return [to_plain(value) for value in domain.categories]
    if isinstance(domain, Domain):
        return None
    if isinstance(domain, Mapping) and "grid_search" in domain:
        return list(domain["grid_search"])
    return [to_plain(domain)]


def _are_equal(candidate: Any, value: Any) -> bool:
    return bool(json.loads(json.dumps(candidate, default=str)) == value)


def _is_inside(domain: Any, value: Any) -> bool:
    """Whether an interval contains a value. What a function returns is not known."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(domain, Function) or not is_number:
        return False
    sampler = domain.get_sampler()
    if isinstance(sampler, Quantized):
        steps = value / sampler.q
        if not math.isclose(steps, round(steps), abs_tol=1e-9):
            return False
        sampler = sampler.sampler
    elif isinstance(domain, Integer) and not (isinstance(value, int) and value < domain.upper):
        return False
    if not isinstance(domain, Float | Integer) or not domain.lower <= value <= domain.upper:
        return False
    mean = getattr(sampler, "mean", None)
    deviation = getattr(sampler, "sd", None)
    if mean is None or deviation is None:
        return True
    return bool(abs(value - mean) <= MAX_STANDARD_DEVIATIONS * deviation)
