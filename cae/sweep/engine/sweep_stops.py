"""When a whole sweep has done enough: its target, a plateau, a number of epochs or hours."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cae.run.events import REACHED
from cae.run.formatting import count_of, format_value
from cae.run.groups import LabeledGroup, split_by_group
from cae.run.metric_direction import Mode
from cae.run.records import Record


@dataclass(frozen=True)
class StopRules:
    """What ends a sweep although trials remain. None: this rule does not apply."""

    hours: float | None = None
    """Hours since the command started."""
    epochs: int | None = None
    """Finished epochs of all trials of the run, those of earlier commands included."""
    target: float | None = None
    """A value of the metric, which the best trial of every comparability group has reached."""
    plateau: int | None = None
    """So many trials ended in each comparability group since its best value last improved."""


NO_RULES = StopRules()


class SweepStops:
    """Checks the rules. They are functions of the journal, except for the hours."""

    def __init__(
        self,
        rules: StopRules,
        records: Mapping[int, Record],
        metric: str,
        mode: Mode,
        groups: Collection[str],
    ) -> None:
        """Create the rules of a sweep.

        Args:
            rules: What ends the sweep.
            records: The trials of the run; they are kept up to date.
            metric: The sweep's metric.
            mode: Whether smaller or larger values are better.
            groups: The keys of the comparability groups of the sweep. A search may not have
                suggested a trial of each yet; the run may have others from earlier sweeps.
        """
        self._rules = rules
        self._records = records
        self._metric = metric
        self._mode = mode
        self._groups = frozenset(groups)
        self._started = time.monotonic()
        self._epochs = sum(len(record.epochs) for record in records.values())

    def at_start(self) -> str:
        """Why nothing is to be done; empty if the sweep has to continue."""
        return self._reached_epochs() or self._reached_target() or self.after_trial()

    def after_epoch(self, value: float) -> str:
        """Why the sweep ends after an epoch with this value of the metric, or ""."""
        self._epochs += 1
        reason = self._reached_epochs()
        if not reason and self._reaches_target(value):
            reason = self._reached_target()
        return reason

    def after_trial(self) -> str:
        """Why the sweep ends after a trial has ended; empty if it continues."""
        plateau = self._rules.plateau
        if plateau is None:
            return ""
        groups = self._started_groups()
        if len(groups) < len(self._groups):
            return ""
        if not groups or any(self._trials_since_best(group.records) < plateau for group in groups):
            return ""
        return f"{REACHED} a plateau: {count_of(plateau, 'trial')} without a better {self._metric}"

    def after_time(self) -> str:
        """Why the sweep ends now; empty if it continues."""
        hours = self._rules.hours
        if hours is None or time.monotonic() - self._started < hours * 3600:
            return ""
        return f"{REACHED} --max-hours {format_value(hours)}"

    def _reached_epochs(self) -> str:
        if self._rules.epochs is None or self._epochs < self._rules.epochs:
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
        groups = self._started_groups()
        if len(groups) < len(self._groups):
            return ""
        reached: list[str] = []
        for group in groups:
            value, number = self._best(group.records)
            if not self._reaches_target(value):
                return ""
            reached.append(f"trial {number} has {format_value(value)}")
        if not reached:
            return ""
        target = f"{self._metric} {format_value(self._rules.target)}"
        return f"{REACHED} the target {target}: {', '.join(reached)}"

    def _started_groups(self) -> list[LabeledGroup[Record]]:
        """The groups of the sweep of which the run has a trial."""
        groups = split_by_group(list(self._records.values()))
        return [group for group in groups if group.group.key in self._groups]

    def _best(self, records: list[Record]) -> tuple[float, int]:
        """The best value of some trials and the number of its trial; NaN if there is none."""
        best = math.nan
        number = 0
        for record in records:
            found = record.best(self._metric, self._mode)
            if found is not None and not self._is_worse_or_equal(found.value, best):
                best = found.value
                number = record.number
        return best, number

    def _trials_since_best(self, records: list[Record]) -> int:
        """How many trials ended after the one with the best value, in the order of their ends."""
        ended = [record for record in records if record.state.is_final and record.end is not None]
        ended.sort(key=lambda record: (_end_time(record), record.number))
        best = math.nan
        since = 0
        for record in ended:
            since += 1
            found = record.best(self._metric, self._mode)
            if found is not None and not self._is_worse_or_equal(found.value, best):
                best = found.value
                since = 0
        return since

    def _is_worse_or_equal(self, value: float, best: float) -> bool:
        if self._mode == "min":
            return value >= best
        return value <= best


def _end_time(record: Record) -> float:
    if record.end is None:
        return math.inf
    return record.end.time
