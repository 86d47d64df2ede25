"""Conditions that choose some trials from others. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from cae.run.selection import Condition, condition_on, select_by_values

Item = TypeVar("Item")


class Choices(Generic[Item]):
    """What conditions of `--where` can choose from some trials, in any form."""

    def __init__(
        self, trials: Sequence[Item], values_of: Callable[[Item], Mapping[str, Any]]
    ) -> None:
        """`values_of`: the values of a trial by dotted name."""
        self._trials = [(trial, values_of(trial)) for trial in trials]
        self._values_of = values_of

    def choose(
        self, chosen: Sequence[Item], names: Iterable[str]
    ) -> tuple[list[Condition], list[Item]]:
        """Return conditions that all chosen trials meet, and the trials that meet them.

        The result has other trials too if no conditions on these parameters choose exactly the
        `chosen` ones.

        Args:
            chosen: Some of the trials.
            names: Parameters by dotted name; there are conditions on those that exclude trials
                which the others do not exclude.
        """
        chosen_values = [self._values_of(trial) for trial in chosen]
        conditions: list[Condition] = []
        selected = self._trials
        for name in dict.fromkeys(names):
            own = _conditions_on(name, chosen_values)
            met = _select(selected, own)
            if len(met) < len(selected):
                conditions += own
                selected = met
        for name in [condition.name for condition in conditions]:
            others = [condition for condition in conditions if condition.name != name]
            if len(_select(self._trials, others)) == len(selected):
                conditions = others
        return conditions, [trial for trial, _ in selected]


Pair = tuple[Item, Mapping[str, Any]]
"""A trial and its values."""


def _select(pairs: Sequence[Pair[Item]], conditions: Sequence[Condition]) -> list[Pair[Item]]:
    return select_by_values(pairs, conditions, lambda pair: pair[1])


def _conditions_on(name: str, chosen: Iterable[Mapping[str, Any]]) -> list[Condition]:
    """The values that the chosen trials have; empty if one of them lacks the parameter."""
    conditions: dict[Condition, None] = {}  # an ordered set
    for values in chosen:
        condition = condition_on(values, name)
        if condition is None:
            return []
        conditions[condition] = None
    return list(conditions)
