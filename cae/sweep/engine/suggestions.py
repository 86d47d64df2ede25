"""Asks a search for the next trial when a slot is free, and adds the trial to the sweep."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.engine.recorder import Recorder
from cae.sweep.search.base import Candidates, Suggestion, TrialResult
from cae.sweep.spec.open_search import OpenSearch
from cae.sweep.spec.planned_trial import PlannedTrial


class Suggestions:
    """The trials that a search suggests, one after the other.

    A suggestion depends on the journal alone: on the results of the trials before it, in the order
    of their numbers. It is recorded together with the trial before the trial starts, so that a
    resumed sweep has the same suggestions.
    """

    def __init__(
        self,
        search: OpenSearch,
        recorder: Recorder,
        groups: Sequence[str],
        record: Callable[[PlannedTrial, Suggestion], None],
    ) -> None:
        """Create the suggestions of a sweep.

        Args:
            search: The search and its candidates.
            recorder: Its plan receives the new trials.
            groups: The comparability group of each candidate.
            record: Writes a new trial to the journal.
        """
        self._search = search
        self._recorder = recorder
        self._record = record
        self._tried = dict(search.tried)
        self._candidates = Candidates(
            points=[candidate.axes for candidate in search.candidates],
            groups=groups,
            marks=recorder.plan.rungs,
            mode=recorder.plan.mode,
        )

    @property
    def to_come(self) -> int:
        """How many trials are still to be suggested."""
        return min(self._search.trials, len(self._search.candidates)) - len(self._tried)

    def next(self) -> int | None:
        """Add the next trial to the sweep and return its number; None if there are enough."""
        if self.to_come <= 0:
            return None
        records = self._recorder.records
        metric = self._recorder.plan.sweep.metric
        results = [_result(index, records[number], metric) for index, number in self._tried.items()]
        suggestion = self._search.search.suggest(self._candidates, results)
        if suggestion is None:
            return None
        index = suggestion.candidate
        candidate = self._search.candidates[index]
        number = candidate.number or max(records, default=0) + 1
        planned = replace(candidate, number=number)
        plan = self._recorder.plan
        self._recorder.plan = replace(plan, trials=[*plan.trials, planned])
        is_audited = plan.sweep.scheduler is not None and plan.sweep.scheduler.is_audited(
            planned.hash
        )
        judge = self._recorder.scheduler.judge
        judge.add_trial(number, self._candidates.group(index), is_audited=is_audited)
        self._record(planned, suggestion)
        self._tried[index] = number
        return number


def _result(candidate: int, record: Record, metric: str) -> TrialResult:
    values = [record.epochs[epoch].get(metric, math.nan) for epoch in sorted(record.epochs)]
    return TrialResult(
        candidate=candidate,
        epochs=record.config["epochs"],
        values=values,
        has_ended=record.state.is_final,
        is_diverged=record.state == TrialState.DIVERGED,
    )
