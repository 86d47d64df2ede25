"""Search spaces: from the declarations of Ray Tune to points, and to the axes that the report
draws."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ray.tune.search.sample import Categorical, Float, Function, Integer

from cae.sweep.search.base import Grid, Random
from cae.sweep.search.model_based import ModelBased
from cae.sweep.spec.drawn_points import (
    MAX_DRAWN_TOGETHER,
    SAMPLE_SEED,
    DrawnPoints,
    expand,
    is_random,
)
from cae.sweep.spec.search_points import JoinedPoints
from cae.sweep.spec.sweep import Sweep
from cae.sweep.spec.trained_points import Point, TrainedTrials, key_of, replace_draws
from cae.trial.messages import ConfigError
from cae.trial.plain_values import to_plain

SPACES_PER_SEED = 1000
"""More spaces than a union has: two seeds of a search have no draws in common."""
MIN_LOG_RATIO = 50
"""A grid of positive numbers has a logarithmic axis if the largest is this many times the
smallest."""


@dataclass(frozen=True)
class Points:
    """The points of a search space in the order in which they run; those of grids are computed when
    they are used."""

    trained: list[Point]
    """Points that the run has trained already and that replace random draws."""
    others: JoinedPoints
    space_size: int
    """How many points the search space has in all."""
    skipped: frozenset[str] = frozenset()
    """Keys of the trained points of spaces too large to be searched for them: their draws are
    skipped when they occur."""

    def __iter__(self) -> Iterator[Point]:
        return islice(self._all(), self.space_size)

    def _all(self) -> Iterator[Point]:
        yield from self.trained
        for point in self.others:
            if not self.skipped or key_of(point) not in self.skipped:
                yield point


def select_points(
    sweep: Sweep,
    overrides: Mapping[str, Any],
    max_points: int | None,
    trained: Callable[[], TrainedTrials] = TrainedTrials,
) -> Points:
    """The points of a search space in the order in which they run.

    Args:
        sweep: Its search space may be a union of several.
        overrides: Overridden keys are no axes.
        max_points: Only so many will be used: the order is random, with a fixed seed.
        trained: Returns the trials of the run that count towards the samples of a random space.

    Raises ConfigError for a grid search of a space with a random dimension.
    """
    parts: list[Sequence[Point]] = []
    trained_points: list[Point] = []
    skipped: set[str] = set()
    space_size = 0
    for index, space in enumerate(sweep.spaces()):
        axes = {key: domain for key, domain in space.items() if key not in overrides}
        points = expand(axes, sweep.samples, _draw_index(sweep, index))
        space_size += len(points)
        if is_random(axes) and isinstance(sweep.search, Grid):
            raise ConfigError(
                [
                    "search = Grid(): the search space has a random dimension, such as "
                    "tune.uniform or tune.choice; use search = Random(), or tune.grid_search"
                ]
            )
        if isinstance(points, DrawnPoints):
            known = trained().trained_points_in(axes)
            trained_points += known
            skipped |= {key_of(point) for point in known}
        elif is_random(axes) and isinstance(sweep.search, ModelBased):
            # Draws that are replaced would differ after a resume, when some of them are trained.
            drawn = {key_of(point) for point in points}
            known = trained().trained_points_in(axes)
            known = [point for point in known if key_of(point) not in drawn]
            trained_points += known
            space_size += len(known)
        elif is_random(axes):
            replacing, points = replace_draws(axes, list(points), trained())
            trained_points += replacing
        parts.append(points)
    is_sample = max_points is not None and max_points < space_size
    shuffle_seed = None
    is_in_order = isinstance(sweep.search, Grid) or (sweep.search is None and not is_sample)
    if sweep.scheduler is not None or not is_in_order:
        # ASHA compares a trial with those before it: in the order of a grid it would stop nearly
        # all trials, or nearly none.
        shuffle_seed = SAMPLE_SEED + _search_seed(sweep)
    others = JoinedPoints(parts, shuffle_seed)
    return Points(trained_points, others, space_size, frozenset(skipped))


def _search_seed(sweep: Sweep) -> int:
    if isinstance(sweep.search, Random | ModelBased):
        return sweep.search.seed
    return 0


def _draw_index(sweep: Sweep, index: int) -> int:
    """The position of a space in the union, moved by the seed of the search, for its draws."""
    return index + SPACES_PER_SEED * _search_seed(sweep)


def interval_names(sweep: Sweep, overrides: Mapping[str, Any]) -> set[str]:
    """The parameters whose values are drawn from an interval or by a function: nobody wrote them
    down."""
    names: set[str] = set()
    for space in sweep.spaces():
        for name, domain in space.items():
            if name not in overrides and isinstance(domain, Float | Integer | Function):
                names.add(name)
    return names


def describe_axes(sweep: Sweep, overrides: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The axes for sweep.json: values in the order of the sweep file, scale, bounds, provenance.

    Raises ConfigError if the provenance names a value that the search space does not have.
    """
    axes: dict[str, dict[str, Any]] = {}
    for index, space in enumerate(sweep.spaces()):
        for key, domain in space.items():
            if key in overrides:
                continue
            known = axes.get(key, {}).get("values") or []
            if isinstance(domain, Float | Integer):
                axes[key] = _describe_interval(domain)
            elif isinstance(domain, Function):
                points = expand(space, sweep.samples, _draw_index(sweep, index))
                drawn = [point[key] for point in islice(points, MAX_DRAWN_TOGETHER)]
                axes[key] = _describe_values(drawn, known)
            else:
                axes[key] = _describe_values(_candidates(domain), known)
    for key, sources in sweep.provenance.items():
        values = axes.get(key, {}).get("values")
        if values:
            # The key that sweep.json has had from the beginning.
            axes[key]["origins"] = _provenance(sweep, key, values, sources)
    return axes


def _describe_interval(domain: Float | Integer) -> dict[str, Any]:
    scale = "linear"
    if "Log" in type(domain.sampler).__name__:
        scale = "log"
    low = _finite(domain.lower)
    high = _finite(domain.upper)
    return {"values": None, "low": low, "high": high, "scale": scale}


def _finite(bound: float) -> float | None:
    """A bound of an interval; None if it has none (tune.randn)."""
    if math.isfinite(bound):
        return bound
    return None


def _candidates(domain: Any) -> list[Any]:
    """The values of a grid, a choice or a constant."""
    if isinstance(domain, Categorical):
        return [to_plain(value) for value in domain.categories]
    if isinstance(domain, Mapping) and "grid_search" in domain:
        return list(domain["grid_search"])
    return [to_plain(domain)]


def _describe_values(candidates: list[Any], known: list[Any]) -> dict[str, Any]:
    """An axis of distinct values, after those of other spaces of the union."""
    values = list(known)
    distinct = {_hashable(value) for value in values}
    for value in _as_json(candidates):
        key = _hashable(value)
        if key not in distinct:
            distinct.add(key)
            values.append(value)
    return {"values": values, "scale": _scale_of(values)}


def _hashable(value: Any) -> Any:
    """An object that is equal for equal values: a grid may have a million of them."""
    if isinstance(value, list | dict):
        return json.dumps(value, sort_keys=True)
    return value


def _scale_of(values: list[Any]) -> str:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "category"
    if min(values) > 0 and max(values) / min(values) >= MIN_LOG_RATIO:
        return "log"
    return "linear"


def _provenance(
    sweep: Sweep, key: str, values: list[Any], sources: Mapping[Any, list[Any]]
) -> list[list[Any]]:
    """[value, source] for each value of an axis; values that no source names are inferred."""
    values_by_source = {source: _as_json(named) for source, named in sources.items()}
    is_in_all_spaces = all(key in space for space in sweep.spaces())
    if not is_in_all_spaces:  # the other spaces have the value of the base trial
        base_value = _as_json(sweep.base.flat().get(key))
        if base_value not in values:
            values = [base_value, *values]
    for named in values_by_source.values():
        for value in named:
            if value not in values:
                known = ", ".join(map(repr, values))
                raise ConfigError(
                    [f"provenance: {key} has no value {value!r} in the search space: {known}"]
                )
    pairs: list[list[Any]] = []
    for value in values:
        source = "inferred"
        for candidate, named in values_by_source.items():
            if value in named:
                source = candidate
                break
        pairs.append([value, source])
    return pairs


def _as_json(value: Any) -> Any:
    """A value as sweep.json contains it: tuples are lists."""
    return json.loads(json.dumps(value, default=str))
