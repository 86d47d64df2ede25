"""Adds a trial to the sweep when a slot is free: the next one that the search suggests."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

from cae.run.records import Record
from cae.run.trial_state import StopCause, TrialState
from cae.sweep.engine.judging import is_audit_trial
from cae.sweep.engine.recorder import Recorder
from cae.sweep.search.base import Candidates, Suggestion, TrialResult
from cae.sweep.search.model_based import SECONDS
from cae.sweep.spec.open_search import OpenSearch
from cae.sweep.spec.planned_trial import PlannedTrial


class Suggestions:
    """The trials that a search suggests, one after the other.

    A suggestion depends on the journal alone: on the results of the trials before it, in the order
    of their numbers. It is recorded with its trial before the trial starts, so that a resumed sweep
    has the same suggestions. The plan of the recorder holds which candidates have been tried.
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
            search: The search and its candidates: that of the recorder's plan.
            recorder: Its plan is replaced by one with the new trial at each suggestion.
            groups: The key of the comparability group of each candidate, in their order.
            record: Writes a new trial to the journal.
        """
        self._search = search.search
        self._planned = search.candidates
        self._recorder = recorder
        self._record = record
        self._candidates = Candidates(
            points=[candidate.axes for candidate in search.candidates],
            groups=groups,
            rungs=recorder.plan.rungs,
            mode=recorder.plan.mode,
            amounts=_amounts(search),
        )

    @property
    def to_come(self) -> int:
        """How many trials are still to be suggested."""
        return self._recorder.plan.to_come

    def next(self) -> int | None:
        """Add the next trial to the sweep and return its number; None if there are enough."""
        if self.to_come <= 0:
            return None
        suggestion = self._search.suggest(self._candidates, self._results())
        if suggestion is None:
            return None
        index = suggestion.candidate
        planned = self._with_number(self._planned[index])
        plan = self._recorder.plan.with_suggestion(index, planned)
        self._recorder.plan = plan
        self._recorder.scheduler.judge.add_trial(
            planned.number, self._candidates.group(index), is_audited=is_audit_trial(plan, planned)
        )
        self._record(planned, suggestion)
        return planned.number

    def _results(self) -> list[TrialResult]:
        """The results of all candidates that have been tried, in the order of their numbers."""
        plan = self._recorder.plan
        if plan.search is None:
            return []
        results: list[TrialResult] = []
        for index, number in plan.search.tried.items():
            results.append(trial_result(index, self._recorder.records[number], plan.sweep.metric))
        return results

    def _with_number(self, candidate: PlannedTrial) -> PlannedTrial:
        """The candidate with the number that it has in the run, or with the next free one."""
        if candidate.number:
            return candidate
        return replace(candidate, number=max(self._recorder.records, default=0) + 1)


def trial_result(candidate: int, record: Record, metric: str) -> TrialResult:
    """What the search needs of a trial; a metric that an epoch lacks is NaN."""
    values = [record.epochs[epoch].get(metric, math.nan) for epoch in sorted(record.epochs)]
    return TrialResult(
        candidate=candidate,
        epochs=_requested_epochs(record),
        values=values,
        has_ended=record.state.is_final,
        is_diverged=record.state == TrialState.DIVERGED,
        seconds=_seconds(record),
    )


def _requested_epochs(record: Record) -> int:
    """How many epochs a trial would have trained if it had not been stopped for its value.

    More would not have improved a trial that was stopped by its patience.
    """
    if record.stop_cause == StopCause.PATIENCE:
        return len(record.epochs)
    return int(record.config["epochs"])


def _seconds(record: Record) -> float:
    """Seconds of training of all epochs; if some are missing, by the mean of the others.

    They belong to the same epochs as the metric, whose final value is estimated, too, for trials
    that ended early.
    """
    seconds = [metrics.get(SECONDS, math.nan) for metrics in record.epochs.values()]
    if not seconds:
        return math.nan
    epochs = _requested_epochs(record)
    if len(seconds) >= epochs:
        return math.fsum(seconds)
    return statistics.fmean(seconds) * epochs


def _amounts(search: OpenSearch) -> list[float]:
    """The second objective of each candidate, if it is known before training; else empty."""
    name = search.search.second_objective
    if name is None or name == SECONDS:
        return []
    return [float(candidate.sizes[name]) for candidate in search.candidates]
