"""Sequences of points: those of a grid are computed when they are used."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, overload

from typing_extensions import override

from cae.sweep.spec.trained_points import Point
from cae.trial.plain_values import to_plain

MAX_SHUFFLED_TOGETHER = 5_000_000
"""The positions of more points are shuffled as far as they are used: a list of them would need
gigabytes."""


class GridPoints(Sequence[Point]):
    """The points of a grid, in the order of Ray Tune: the first name in the alphabet varies first.

    A grid may have millions of points, of which a sample is used.
    """

    def __init__(self, space: Mapping[str, Any]) -> None:
        """Create the points of a space of constants and tune.grid_search."""
        self._constants: dict[str, Any] = {}
        self._grids: dict[str, list[Any]] = {}
        for name, domain in space.items():
            if isinstance(domain, Mapping):
                self._grids[name] = domain["grid_search"]
                self._constants[name] = None  # the place among the names
            else:
                self._constants[name] = to_plain(domain)
        self._length = 1
        for values in self._grids.values():
            self._length *= len(values)

    @override
    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> list[Point]: ...
    @override
    def __getitem__(self, index: int | slice) -> Point | list[Point]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(self._length))]
        if not 0 <= index < self._length:
            raise IndexError(index)
        point = dict(self._constants)
        for name in sorted(self._grids):
            values = self._grids[name]
            index, position = divmod(index, len(values))
            point[name] = to_plain(values[position])
        return point


class JoinedPoints:
    """The points of several sequences, one after the other or in random order."""

    def __init__(self, parts: Sequence[Sequence[Point]], shuffle_seed: int | None = None) -> None:
        """Join sequences. `shuffle_seed`: seed of a random order; None: in their order."""
        self._parts = parts
        self._ends = list(accumulate(len(part) for part in parts))
        self._shuffle_seed = shuffle_seed

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def __iter__(self) -> Iterator[Point]:
        for position in self._positions():
            part = bisect_right(self._ends, position)
            start = self._ends[part] - len(self._parts[part])
            yield self._parts[part][position - start]

    def _positions(self) -> Iterable[int]:
        """The positions of all points in the order of this sequence."""
        count = len(self)
        if self._shuffle_seed is None:
            return range(count)
        generator = random.Random(self._shuffle_seed)
        if count > MAX_SHUFFLED_TOGETHER:
            return _shuffled(count, generator)
        positions = list(range(count))
        generator.shuffle(positions)
        return positions


def _shuffled(count: int, generator: random.Random) -> Iterator[int]:
    """The integers below `count` in random order, in memory for those that are used.

    Fisher-Yates from the first position on; only positions that were swapped are stored.
    """
    moved: dict[int, int] = {}
    for position in range(count):
        other = generator.randrange(position, count)
        yield moved.pop(other, other)
        if other != position:
            moved[other] = moved.pop(position, position)
