"""Search spaces: from the declarations of Ray Tune to points, and to the axes that the report
draws."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.tune.search.sample import Categorical, Domain, Float, Function, Integer
from ray.tune.search.variant_generator import RecursiveDependencyError, generate_variants

from cae.sweep.search.base import Grid
from cae.sweep.spec.search_points import GridPoints, JoinedPoints
from cae.sweep.spec.space_forms import Space
from cae.sweep.spec.sweep import Sweep
from cae.sweep.spec.trained_points import Point, TrainedTrials, replace_draws
from cae.trial.config import ConfigError
from cae.trial.plain_values import to_plain

SAMPLE_SEED = 0
"""Seed of random dimensions and of the order of trials: a sample of 48 begins with the sample of
24."""
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

    @property
    def space_size(self) -> int:
        """How many points the search space has in all."""
        return len(self.trained) + len(self.others)

    def __iter__(self) -> Iterator[Point]:
        yield from self.trained
        yield from self.others


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
    """
    parts: list[Sequence[Point]] = []
    trained_points: list[Point] = []
    for index, space in enumerate(sweep.spaces()):
        axes = {key: domain for key, domain in space.items() if key not in overrides}
        points = expand(axes, sweep.samples, index)
        if is_random(axes):
            replacing, points = replace_draws(axes, list(points), trained())
            trained_points += replacing
        parts.append(points)
    space_size = len(trained_points) + sum(len(part) for part in parts)
    is_sample = max_points is not None and max_points < space_size
    shuffle_seed = None
    is_in_order = isinstance(sweep.search, Grid) or (sweep.search is None and not is_sample)
    if sweep.scheduler is not None or not is_in_order:
        # ASHA compares a trial with those before it: in the order of a grid it would stop nearly
        # all trials, or nearly none.
        shuffle_seed = SAMPLE_SEED
    return Points(trained_points, JoinedPoints(parts, shuffle_seed))


def is_random(space: Space) -> bool:
    """Whether points of a search space are drawn."""
    return any(isinstance(domain, Domain) for domain in space.values())


def interval_names(sweep: Sweep, overrides: Mapping[str, Any]) -> set[str]:
    """The parameters whose values are drawn from an interval or by a function: nobody wrote them
    down."""
    names: set[str] = set()
    for space in sweep.spaces():
        for name, domain in space.items():
            if name not in overrides and isinstance(domain, Float | Integer | Function):
                names.add(name)
    return names


def expand(space: Space, samples: int, index: int = 0) -> Sequence[Point]:
    """Every point of a search space: its grid, and `samples` draws of random dimensions.

    Draws are seeded: they are the same each time, and independent between the spaces of a union.

    Args:
        space: Domains by dotted name.
        samples: Number of draws.
        index: Position of the space in the union.

    Raises ConfigError if a function of tune.sample_from returns other values each time.
    """
    if not is_random(space):
        return GridPoints(space)
    points = list(_draw(space, samples, index))
    functions = [key for key, domain in space.items() if isinstance(domain, Function)]
    if functions and not _are_equal(points, list(_draw(space, samples, index))):
        raise ConfigError(
            [
                f"space: {', '.join(functions)}: the function of tune.sample_from returns other "
                "values each time; use the random or numpy.random module in it, or tune.choice, "
                "tune.uniform, ..."
            ]
        )
    return points


def _draw(space: Space, samples: int, index: int) -> Iterator[Point]:
    """Draw the points. The global random numbers, which functions may use, are seeded too."""
    random_state = np.random.RandomState(SAMPLE_SEED + index)
    with _seeded_global_random_numbers(SAMPLE_SEED + index), _without_warnings_of_ray():
        for _ in range(samples):
            try:
                for _, variant in generate_variants(dict(space), random_state=random_state):
                    yield {key: to_plain(value) for key, value in variant.items()}
            except (ValueError, RecursionError, RecursiveDependencyError) as error:
                raise ConfigError([_drawing_error(space, error)]) from error


def _drawing_error(space: Space, error: Exception) -> str:
    """The message for a search space from which Ray Tune cannot draw."""
    cause = error.__context__ or error
    functions = [key for key, domain in space.items() if isinstance(domain, Function)]
    if functions:
        return (
            f"space: {', '.join(functions)}: the function of tune.sample_from raised "
            f"{type(cause).__name__}: {cause}; it receives the other values by dotted name: "
            'lambda config: config["arch.kernel_size"]'
        )
    return f"space: no values can be drawn: {type(cause).__name__}: {cause}"


@contextlib.contextmanager
def _without_warnings_of_ray() -> Iterator[None]:
    """Turn off the warnings of Ray, which would be repeated for each point."""
    logger = logging.getLogger("ray.tune.search.sample")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _seeded_global_random_numbers(seed: int) -> Iterator[None]:
    """Seed the modules random and numpy.random, and restore their states afterwards."""
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def _are_equal(points: list[Point], others: list[Point]) -> bool:
    return repr(points) == repr(others)


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
                drawn = [point[key] for point in expand(space, sweep.samples, index)]
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
    for value in _as_json(candidates):
        if value not in values:
            values.append(value)
    return {"values": values, "scale": _scale_of(values)}


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
