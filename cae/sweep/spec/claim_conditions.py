"""Conditions of `--where` that choose some trials of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cae.run.selection import Condition, condition_on, select_by_values
from cae.sweep.spec.planned_trial import PlannedTrial


class Choices:
    """What conditions of `--where` can choose from the trials of a plan."""

    def __init__(self, trials: Sequence[PlannedTrial]) -> None:
        """`trials`: those that the sweep requests, without dependencies."""
        self._trials = trials
        self._values: dict[int, dict[str, Any]] = {}
        for trial in trials:
            self._values[trial.number] = values_of(trial)

    def choose(
        self, chosen: Sequence[PlannedTrial], names: Iterable[str]
    ) -> tuple[list[Condition], list[PlannedTrial]]:
        """Return conditions that all chosen trials meet, and the trials that meet them.

        The result has other trials too if no conditions on these parameters choose exactly the
        `chosen` ones.

        Args:
            chosen: Some of the trials.
            names: Parameters by dotted name; there are conditions on those that exclude trials
                which the others do not exclude.
        """
        conditions: list[Condition] = []
        selected = list(self._trials)
        for name in dict.fromkeys(names):
            own = self._conditions_on(name, chosen)
            met = self._select(selected, own)
            if len(met) < len(selected):
                conditions += own
                selected = met
        for name in [condition.name for condition in conditions]:
            others = [condition for condition in conditions if condition.name != name]
            if len(self._select(self._trials, others)) == len(selected):
                conditions = others
        return conditions, selected

    def _select(
        self, trials: Sequence[PlannedTrial], conditions: Sequence[Condition]
    ) -> list[PlannedTrial]:
        return select_by_values(trials, conditions, lambda trial: self._values[trial.number])

    def _conditions_on(self, name: str, chosen: Sequence[PlannedTrial]) -> list[Condition]:
        """The values that the chosen trials have; empty if one of them lacks the parameter."""
        conditions: dict[Condition, None] = {}  # an ordered set
        for trial in chosen:
            condition = condition_on(self._values[trial.number], name)
            if condition is None:
                return []
            conditions[condition] = None
        return list(conditions)


def values_of(trial: PlannedTrial) -> dict[str, Any]:
    """The values by which `--where` chooses a planned trial."""
    return {**trial.axes, **trial.trial.flat()}
