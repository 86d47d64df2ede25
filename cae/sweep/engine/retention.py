"""Which checkpoints of ended trials are deleted, and how much disk a plan needs."""

from __future__ import annotations

from collections.abc import Mapping

from cae.run.groups import Group
from cae.run.metric_direction import Mode
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.trial_state import TrialState
from cae.sweep.spec.plan import Plan
from cae.sweep.spec.planned_trial import PlannedTrial
from cae.trial.checkpoint import BEST, LAST, PREVIOUS, PREVIOUS_BEST
from cae.trial.checkpoint_writer import LARGE_BYTES, MAX_UNSAVED_SECONDS

KEPT_STOPPED_TRIALS = 10
"""How many trials of each comparability group that were stopped for their values keep their best
weights: the best ones by the sweep's metric."""
BYTES_PER_VALUE = 4
RUNNING_COPIES = 3 * 2 + 2
"""Copies of the network in a running trial's folder: last and previous checkpoint with two moments
of the optimizer each, and the best weights with those before them."""
ENDED_COPIES = 3 + 1
"""Copies in an ended trial's folder: the last checkpoint and the best weights."""
SLOW_WRITE_BYTES_PER_SECOND = 100e6
OTHER_BYTES = 500_000
"""Log, samples and latent codes of a trial."""


def trial_bytes(planned: PlannedTrial, copies: int = RUNNING_COPIES) -> int:
    """How much disk a trial needs."""
    return BYTES_PER_VALUE * copies * int(planned.sizes["parameters"]) + OTHER_BYTES


def plan_bytes(plan: Plan, slots: int) -> int:
    """How much disk the remaining trials of a plan need at most."""
    ended = [trial_bytes(planned, ENDED_COPIES) for planned in plan.remaining]
    running = [trial_bytes(planned) for planned in plan.remaining]
    extra = sorted(more - less for more, less in zip(running, ended, strict=True))
    total = sum(ended) + sum(extra[-slots:])
    if plan.search is not None:
        largest = max(trial_bytes(candidate, ENDED_COPIES) for candidate in plan.search.candidates)
        total += plan.to_come * largest
    return total


def stop_seconds(plan: Plan) -> float:
    """How long a worker needs to end when the sweep is stopped; 0: no longer than usual.

    A worker with a large network finishes its epoch and writes the checkpoints that it postponed.
    """
    trials = list(plan.trials)
    if plan.search is not None:
        trials += plan.search.candidates
    sizes = [trial_bytes(planned, ENDED_COPIES) - OTHER_BYTES for planned in trials]
    largest = max(sizes, default=0)
    if largest < LARGE_BYTES:
        return 0.0
    return 2 * MAX_UNSAVED_SECONDS + largest / SLOW_WRITE_BYTES_PER_SECOND


def prune_checkpoints(
    run: RunDir, records: Mapping[int, Record], number: int, metric: str, mode: Mode
) -> None:
    """Delete the checkpoints that nothing can need again, after a trial has ended.

    A finished trial keeps its best weights, and its last checkpoint in case it is extended. A
    stopped trial is not resumed: it keeps its best weights if it was stopped by its patience, or is
    among the best of those that were stopped for their values. A diverged trial is retried from the
    beginning: it keeps its best weights. All others may be resumed by a retry and keep everything.
    """
    state = records[number].state
    if state == TrialState.FINISHED:
        run.delete_trial_files(number, PREVIOUS, PREVIOUS_BEST)
    elif state == TrialState.DIVERGED:
        run.delete_trial_files(number, PREVIOUS, PREVIOUS_BEST, LAST)
    elif state == TrialState.STOPPED:
        run.delete_trial_files(number, PREVIOUS, PREVIOUS_BEST, LAST)
        if not records[number].is_cut_short:
            return
        ranked = _ranked_stopped_trials(records, records[number].group, metric, mode)
        # Trials further behind lost their weights when an earlier trial stopped.
        surplus = set(ranked[KEPT_STOPPED_TRIALS : KEPT_STOPPED_TRIALS + 1])
        if number in ranked[KEPT_STOPPED_TRIALS:]:
            surplus.add(number)
        for worse in surplus:
            run.delete_trial_files(worse, BEST)


def _ranked_stopped_trials(
    records: Mapping[int, Record], group: Group, metric: str, mode: Mode
) -> list[int]:
    """Numbers of the trials of a group that were stopped for their values, the best first."""
    sign = 1
    if mode != "min":
        sign = -1
    values: list[tuple[float, int]] = []
    for record in records.values():
        if record.is_cut_short and record.group == group:
            best = record.best(metric, mode)
            if best is not None:
                values.append((sign * best.value, record.number))
    return [number for _, number in sorted(values)]
