"""Deletes checkpoints that are not needed any more, for `cae-sweep prune`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cae.errors import UserError
from cae.run.pareto import Point, pareto_front
from cae.run.paths import RunDir
from cae.run.ranking import GroupRanking, rank_by_group
from cae.run.records import Record
from cae.run.sweep_json import SweepDescription
from cae.run.trial_state import TrialState
from cae.trial.checkpoint import BEST, LAST, PREVIOUS, PREVIOUS_BEST

SECONDS = "seconds"
"""The second objective that is the sum over the epochs; the others are sizes of the network."""
PRUNED_STATES = frozenset({TrialState.FINISHED, TrialState.STOPPED, TrialState.DIVERGED})
"""Trials in other states start from their checkpoints when they are resumed or retried."""
RESUMED_FROM = (LAST, PREVIOUS, PREVIOUS_BEST)
"""Checkpoints from which trials are resumed; the best weights are used for more."""


@dataclass(frozen=True)
class Pruning:
    """Which checkpoints of a run are deleted."""

    kept: list[int]
    """Trials that keep their best weights: the best ones, those of the Pareto front that a search
    looked for, and those that other trials depend on."""
    files: dict[int, list[str]]
    """Names of the files to delete, by trial."""
    bytes: int
    """Their size on this machine; files in a bucket do not count."""

    @property
    def file_count(self) -> int:
        return sum(map(len, self.files.values()))


def plan_pruning(run: RunDir, keep: int) -> Pruning:
    """Find the checkpoints that are not needed for the best trials, or to resume unfinished ones.

    Args:
        run: The run.
        keep: How many trials of each comparability group keep their best weights: the best ones by
            the sweep's metric. If the search has a second objective, the trials of the Pareto front
            keep them, too.
    """
    records = run.records()
    kept = _trials_to_keep(run, records, keep)
    existing = {name: run.trials_with(name) for name in (BEST, *RESUMED_FROM)}
    files: dict[int, list[str]] = {}
    size = 0
    for number, record in records.items():
        if record.state not in PRUNED_STATES:
            continue
        names = [name for name in RESUMED_FROM if number in existing[name]]
        if number not in kept and number in existing[BEST]:
            names.append(BEST)
        if names:
            files[number] = names
        for name in names:
            path = run.trial(number) / name
            if path.exists():
                size += path.stat().st_size
    return Pruning(sorted(kept & existing[BEST]), files, size)


def _trials_to_keep(run: RunDir, records: dict[int, Record], keep: int) -> set[int]:
    """Numbers of the trials that keep their best weights."""
    kept: set[int] = set()
    sweep = run.read_sweep()
    if any(
        record.is_ranked and record.best(sweep.metric, sweep.mode) for record in records.values()
    ):
        for ranking in rank_by_group(records.values(), sweep, sweep.metric, None):
            kept |= {trial.record.number for trial in ranking.trials[:keep]}
            kept |= _front(ranking, sweep)
    for record in records.values():
        kept |= set(record.dependencies.values())
    return kept


def _front(ranking: GroupRanking, sweep: SweepDescription) -> set[int]:
    """Numbers of the finished trials of the Pareto front; empty without a second objective."""
    objective = str((sweep.search or {}).get("second_objective") or "")
    if not objective:
        return set()
    numbers: dict[Point, int] = {}
    for trial in ranking.trials:
        if trial.record.is_fully_trained:
            value = trial.value
            if sweep.mode == "max":
                value = -value
            # Of equal trials the first one of the ranking counts.
            numbers.setdefault((value, _amount(trial.record, objective)), trial.record.number)
    return {numbers[point] for point in pareto_front(numbers)}


def _amount(record: Record, objective: str) -> float:
    """The second objective of a trial; NaN if it is not known."""
    if objective == SECONDS:
        return _training_seconds(record)
    amount = record.sizes.get(objective)
    if isinstance(amount, int | float):
        return float(amount)
    return math.nan


def _training_seconds(record: Record) -> float:
    """The sum over the epochs whose time was measured, as on the page; NaN without any."""
    seconds = [row.get(SECONDS, math.nan) for row in record.epochs.values()]
    measured = [value for value in seconds if math.isfinite(value)]
    if not measured:
        return math.nan
    return math.fsum(measured)


def prune(run: RunDir, pruning: Pruning) -> None:
    """Delete the files.

    Raises RunError if the sweep runs, and UserError if a trial was resumed meanwhile.
    """
    with run.lock():
        records = run.records()
        if any(records[number].state not in PRUNED_STATES for number in pruning.files):
            raise UserError(f"{run} changed meanwhile: run the same command again")
        for number, names in pruning.files.items():
            run.delete_trial_files(number, *names)
