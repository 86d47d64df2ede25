"""Search spaces: from the declarations of Ray Tune to points, and to the axes that the report
draws."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.tune.search.sample import Categorical, Domain, Float, Integer
from ray.tune.search.variant_generator import generate_variants

from cae.sweep.spec.sweep import Space, Sweep
from cae.trial.config import ConfigError

SAMPLE_SEED = 0
"""Seed of random dimensions and of the order of trials: a sample of 48 begins with the sample of
24."""
MIN_LOG_RATIO = 50
"""A grid of positive numbers has a logarithmic axis if the largest is this many times the
smallest."""

Point = dict[str, Any]
"""Values by dotted name."""


@dataclass(frozen=True)
class Points:
    """The points to run, in their order."""

    points: list[Point]
    space_size: int
    """How many points the search space has in all."""


def select_points(sweep: Sweep, overrides: Mapping[str, Any], max_points: int | None) -> Points:
    """The points of a search space to run.

    Args:
        sweep: Its search space may be a union of several.
        overrides: Overridden keys are no axes.
        max_points: Run only so many, sampled with a fixed seed.
    """
    points: list[Point] = []
    for space in sweep.spaces():
        axes = {key: domain for key, domain in space.items() if key not in overrides}
        points += expand(axes, sweep.samples)
    space_size = len(points)
    is_sample = max_points is not None and max_points < space_size
    if sweep.scheduler is not None or is_sample:
        # ASHA compares a trial with those before it: in the order of a grid it would stop nearly
        # all trials, or nearly none.
        random.Random(SAMPLE_SEED).shuffle(points)
    return Points(points[:max_points], space_size)


def expand(space: Space, samples: int) -> Iterator[Point]:
    """Every point of a search space: its grid, and `samples` draws of random dimensions.

    Draws are seeded: they are the same each time.
    """
    random_state = np.random.RandomState(SAMPLE_SEED)
    repetitions = 1
    if any(isinstance(domain, Domain) for domain in space.values()):
        repetitions = samples
    for _ in range(repetitions):
        for _, variant in generate_variants(dict(space), random_state=random_state):
            point: Point = {}
            for key, value in variant.items():
                if isinstance(value, np.generic):
                    value = value.item()
                point[key] = value
            yield point


def describe_axes(sweep: Sweep, overrides: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The axes for sweep.json: values in the order of the sweep file, scale, bounds, provenance.

    Raises ConfigError if the provenance names a value that the search space does not have.
    """
    axes: dict[str, dict[str, Any]] = {}
    for space in sweep.spaces():
        for key, domain in space.items():
            if key in overrides:
                continue
            if isinstance(domain, Float | Integer):
                axes[key] = _describe_interval(domain)
            else:
                known = axes.get(key, {}).get("values") or []
                axes[key] = _describe_values(domain, known)
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
    return {"values": None, "low": domain.lower, "high": domain.upper, "scale": scale}


def _describe_values(domain: Any, known: list[Any]) -> dict[str, Any]:
    """Values of a grid, a choice or a constant, after those of other spaces of the union."""
    if isinstance(domain, Categorical):
        candidates = list(domain.categories)
    elif isinstance(domain, Mapping) and "grid_search" in domain:
        candidates = list(domain["grid_search"])
    else:
        candidates = [domain]
    new = [value for value in candidates if value not in known]
    values = _as_json([*known, *new])
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
