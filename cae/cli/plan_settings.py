"""Which settings of planned trials are equal, and which differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cae.run.formatting import format_value

if TYPE_CHECKING:  # it imports torch
    from cae.sweep.spec.planned_trial import PlannedTrial


@dataclass(frozen=True)
class PlanSettings:
    """The settings of the axes of a search space, in the trials of a plan."""

    of_all: Mapping[str, Any]
    """Settings that all trials have with the same value."""
    of_most: Mapping[str, Any]
    """Settings that more than half of the trials have with the same value."""
    columns: Sequence[str]
    """The axes whose values differ between trials."""

    def text_of(self, trial: PlannedTrial) -> str:
        """In which settings a trial differs from most trials."""
        if not trial.axes:
            return "the base trial"
        own: dict[str, Any] = {}
        for axis in self.columns:
            if axis in trial.axes and not self._is_as_in_most(axis, trial.axes[axis]):
                own[axis] = trial.axes[axis]
        missing = [axis for axis in self.of_most if axis not in trial.axes]
        parts: list[str] = []
        if own:
            parts.append(settings_text(own))
        parts += [f"no {without_component(axis)}" for axis in missing]
        return ", ".join(parts) or "-"

    def _is_as_in_most(self, axis: str, value: Any) -> bool:
        return axis in self.of_most and format_value(self.of_most[axis]) == format_value(value)


def plan_settings(trials: Sequence[PlannedTrial], axes: Sequence[str]) -> PlanSettings:
    """Compare the settings of trials. Dependencies have none, and are not counted."""
    trials = [trial for trial in trials if trial.axes]
    of_all: dict[str, Any] = {}
    of_most: dict[str, Any] = {}
    columns: list[str] = []
    for axis in axes:
        values = [trial.axes[axis] for trial in trials if axis in trial.axes]
        if not values:
            continue
        counts = Counter(map(format_value, values))
        text, count = counts.most_common(1)[0]
        value = next(value for value in values if format_value(value) == text)
        if count == len(trials):
            of_all[axis] = value
            continue
        columns.append(axis)
        if count > len(trials) / 2:
            of_most[axis] = value
    return PlanSettings(of_all, of_most, columns)


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings in one line: "kernel_size 3, padding same"."""
    parts: list[str] = []
    for axis, value in settings.items():
        parts.append(f"{without_component(axis)} {format_value(value) or 'none'}")
    return ", ".join(parts)


def without_component(axis: str) -> str:
    """`kernel_size` for the axis `arch.kernel_size`."""
    _, dot, parameter = axis.partition(".")
    if not dot:
        return axis
    return parameter
