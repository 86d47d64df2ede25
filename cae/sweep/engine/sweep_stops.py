"""Rules that end a whole sweep: a target, a plateau, a number of epochs or of hours."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cae.run.events import REACHED
from cae.run.formatting import count_of, format_value
from cae.run.groups import split_by_group
from cae.run.metric_direction import Mode
from cae.run.records import Record
from cae.run.trial_state import TrialState


@dataclass(frozen=True)
class StopRules:
    """The rules that end a sweep although trials remain. None: the rule does not apply."""

    hours: float | None = None
    """Hours since the command started."""
    epochs: int | None = None
    """Finished epochs of all trials of the run, those of earlier commands included."""
    target: float | None = None
    """The sweep ends when the best trial of each comparability group has this value of the metric
    or a better one."""
    plateau: int | None = None
    """The sweep ends when in each comparability group this many trials have finished, diverged or
    been stopped since its best value improved."""


NO_RULES = StopRules()
_WITH_RESULT = frozenset({TrialState.FINISHED, TrialState.STOPPED, TrialState.DIVERGED})
"""States of trials that ended because of their settings."""


class SweepStops:
    """Checks the rules. They are functions of the journal, except for the hours.

    Each method returns why the sweep ends, or an empty text if it continues.
    """

    def __init__(
        self,
        rules: StopRules,
        records: Mapping[int, Record],
        metric: str,
        mode: Mode,
        groups: Collection[str],
    ) -> None:
        """Start the time of the command.

        Args:
            rules: The rules.
            records: All trials of the run; the recorder keeps them up to date.
            metric: The metric of the sweep.
            mode: Whether smaller or larger values of the metric are better.
            groups: The keys of the comparability groups in which the sweep trains. Target and
                plateau count in these groups, with their trials of earlier sweeps.
        """
        self._groups = groups
        self._rules = rules
        self._records = records
        self._metric = metric
        self._mode = mode
        self._started = time.monotonic()
        self._epochs = sum(len(record.epochs) for record in records.values())

    def at_start(self) -> str:
        """Check all rules but the hours before the first trial starts."""
        return self._reached_epochs() or self._reached_target() or self.after_trial()

    def after_epoch(self, value: float) -> str:
        """Count an epoch, and check the epochs and the target.

        Args:
            value: The sweep's metric in this epoch; NaN without it.
        """
        self._epochs += 1
        reason = self._reached_epochs()
        if not reason and self._reaches_target(value):
            reason = self._reached_target()
        return reason

    def after_trial(self) -> str:
        """Check the plateau after a trial has ended."""
        plateau = self._rules.plateau
        if plateau is None:
            return ""
        groups = self._records_by_group()
        if not groups or any(self._trials_since_best(group) < plateau for group in groups):
            return ""
        return f"{REACHED} a plateau: {count_of(plateau, 'trial')} without a better {self._metric}"

    def after_time(self) -> str:
        """Check the hours since the command started."""
        hours = self._rules.hours
        if hours is None or time.monotonic() - self._started < hours * 3600:
            return ""
        return f"{REACHED} --max-hours {format_value(hours)}"

    def _reached_epochs(self) -> str:
        if self._rules.epochs is None or self._epochs < self._rules.epochs:
            return ""
        # An epoch that was trained again, because its checkpoint was lost, was counted twice.
        self._epochs = sum(len(record.epochs) for record in self._records.values())
        if self._epochs < self._rules.epochs:
            return ""
        return f"{REACHED} --max-epochs {self._rules.epochs}: the run has {self._epochs} epochs"

    def _reaches_target(self, value: float) -> bool:
        target = self._rules.target
        if target is None or not math.isfinite(value):
            return False
        if self._mode == "min":
            return value <= target
        return value >= target

    def _reached_target(self) -> str:
        if self._rules.target is None:
            return ""
        reached: list[str] = []
        for records in self._records_by_group():
            value, number = self._best(records)
            if not self._reaches_target(value):
                return ""
            reached.append(f"trial {number} has {format_value(value)}")
        if not reached:
            return ""
        target = f"{self._metric} {format_value(self._rules.target)}"
        return f"{REACHED} the target {target}: {', '.join(reached)}"

    def _records_by_group(self) -> list[list[Record]]:
        """The trials of each group in which the sweep trains; empty for a group without one."""
        records: dict[str, list[Record]] = {key: [] for key in self._groups}
        for group in split_by_group(self._records.values()):
            if group.group.key in records:
                records[group.group.key] = group.records
        return list(records.values())

    def _best(self, records: list[Record]) -> tuple[float, int]:
        """The best value of some trials and the number of its trial; NaN if there is none."""
        best = math.nan
        number = 0
        for record in records:
            best_epoch = record.best(self._metric, self._mode)
            if best_epoch is not None and not self._is_worse_or_equal(best_epoch.value, best):
                best = best_epoch.value
                number = record.number
        return best, number

    def _trials_since_best(self, records: list[Record]) -> int:
        """How many trials ended after the one with the best value, in the order of their ends.

        Trials that an error or a user ended do not count: what they would have reached is unknown.
        """
        ended = [record for record in records if record.state.is_final and record.end is not None]
        ended.sort(key=lambda record: (_end_time(record), record.number))
        best = math.nan
        since = 0
        for record in ended:
            if record.state in _WITH_RESULT:
                since += 1
            best_epoch = record.best(self._metric, self._mode)
            if best_epoch is not None and not self._is_worse_or_equal(best_epoch.value, best):
                best = best_epoch.value
                since = 0
        return since

    def _is_worse_or_equal(self, value: float, best: float) -> bool:
        """Whether a value is no improvement; False if there is no best value yet (NaN)."""
        if self._mode == "min":
            return value >= best
        return value <= best


def _end_time(record: Record) -> float:
    if record.end is None:
        return math.inf
    return record.end.time
