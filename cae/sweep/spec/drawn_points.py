"""Points of search spaces with random dimensions."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import random
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
from ray.tune.search.sample import Domain, Function
from ray.tune.search.variant_generator import RecursiveDependencyError, generate_variants
from typing_extensions import override

from cae.sweep.spec.search_points import GridPoints
from cae.sweep.spec.space_forms import Space
from cae.sweep.spec.trained_points import Point, key_of
from cae.trial.messages import ConfigError
from cae.trial.plain_values import to_plain

SAMPLE_SEED = 0
"""Seed of random dimensions and of the order of trials: a sample of 48 begins with the sample of
24."""
MAX_DRAWN_TOGETHER = 10_000
"""Points of larger spaces are drawn one by one when they are used: a plan may use 20 of millions,
and drawing one takes about 0.1 ms."""
FUNCTION_CHECKS = 100
"""Of a larger space so many points are drawn twice, to check the functions of
tune.sample_from."""


def is_random(space: Space) -> bool:
    """Whether points of a search space are drawn."""
    return any(isinstance(domain, Domain) for domain in space.values())


class DrawnPoints(Sequence[Point]):
    """The points of a grid with random dimensions, each drawn when it is used.

    The seed of a point depends on the values of its grid and on how often that combination was
    drawn before, so a point does not depend on others.
    """

    def __init__(self, space: Space, samples: int, index: int) -> None:
        """Create `samples` points for each combination of the grid of a space.

        `index` is the position of the space in the union.
        """
        self._space = space
        self._samples = samples
        self._index = index
        self._cells = _cells(space)

    @override
    def __len__(self) -> int:
        return self._samples * len(self._cells)

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> list[Point]: ...
    @override
    def __getitem__(self, index: int | slice) -> Point | list[Point]:
        """Draw a point. Raises ConfigError if a function of tune.sample_from raises an error."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        sample, position = divmod(index, len(self._cells))
        cell = self._cells[position]
        text = f"{SAMPLE_SEED + self._index} {sample} {key_of(cell)}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        return next(_draw({**self._space, **cell}, 1, seed))


def expand(space: Space, samples: int, index: int = 0) -> Sequence[Point]:
    """Every point of a search space: its grid, and `samples` draws of random dimensions.

    Draws are seeded: they are the same each time, and independent between the spaces of a union.
    Up to MAX_DRAWN_TOGETHER are drawn one after the other, as Ray Tune draws them; the points of
    larger spaces are drawn when they are used.

    Args:
        space: Domains by dotted name.
        samples: Number of draws.
        index: Position of the space in the union.

    Raises ConfigError if a function of tune.sample_from returns other values each time.
    """
    if not is_random(space):
        return GridPoints(space)
    lazy = DrawnPoints(space, samples, index)
    points: Sequence[Point] = lazy
    if len(lazy) <= MAX_DRAWN_TOGETHER:
        points = list(_draw(space, samples, SAMPLE_SEED + index))
    functions = [key for key, domain in space.items() if isinstance(domain, Function)]
    if functions and not _is_repeatable(points, space, samples, index):
        raise ConfigError(
            [
                f"space: {', '.join(functions)}: the function of tune.sample_from returns other "
                "values each time; use the random or numpy.random module in it, or tune.choice, "
                "tune.uniform, ..."
            ]
        )
    return points


def _is_repeatable(points: Sequence[Point], space: Space, samples: int, index: int) -> bool:
    """Whether the points are the same if they are drawn again."""
    if isinstance(points, DrawnPoints):
        return repr(points[:FUNCTION_CHECKS]) == repr(points[:FUNCTION_CHECKS])
    return repr(points) == repr(list(_draw(space, samples, SAMPLE_SEED + index)))


def _draw(space: Space, samples: int, seed: int) -> Iterator[Point]:
    """Draw the points. The global random numbers, which functions may use, are seeded too.

    The draws are those of Ray Tune for the whole space, which copies all of it for each point.
    """
    random_state = np.random.RandomState(seed)
    cells = _cells(space)
    with _seeded_global_random_numbers(seed), _without_warnings_of_ray():
        for _ in range(samples):
            for cell in cells:
                try:
                    variants = generate_variants({**space, **cell}, random_state=random_state)
                    _, variant = next(iter(variants))
                except (ValueError, RecursionError, RecursiveDependencyError) as error:
                    raise ConfigError([_drawing_error(space, error)]) from error
                yield {key: to_plain(value) for key, value in variant.items()}


def _cells(space: Space) -> GridPoints:
    """The combinations of the grids and constants of a space."""
    return GridPoints({key: value for key, value in space.items() if not isinstance(value, Domain)})


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
