"""Ray's ASHA, made to survive: fed from the journal, never fooled by NaN, with a reason for each stop.

What Ray 2.60's own does not do (reference: its source, tune/schedulers/async_hyperband.py): it forgets its rungs on a
restore, fills lower rungs with the values of later epochs, lets NaN pass, and leaves out the last rung for some numbers.
"""

from __future__ import annotations

import itertools
import math
from bisect import insort
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from cae.run.events import EpochFinished, Event
from cae.sweep.spec.sweep_file import ASHA


@dataclass(frozen=True)
class Stop:
    """Why a trial was stopped."""

    rung: int
    """The epoch at which it was judged."""
    value: float
    cutoff: float
    seen: int
    """How many trials had come to the rung before."""

    def reason(self, metric: str, mode: str, reduction_factor: float) -> str:
        side = "above" if mode == "min" else "below"
        return (
            f"epoch {self.rung}: {metric} {self.value:.4g} is {side} the cutoff {self.cutoff:.4g}, "
            f"which the best 1/{reduction_factor:g} of the {self.seen} trials before it at this rung reach"
        )


class Rungs:
    """The values that trials had at each rung, in the order of their coming, and the decision for each."""

    def __init__(
        self,
        rungs: Iterable[int],
        *,
        mode: str,
        reduction_factor: float,
        min_trials: int = 1,
        exempt: Collection[int] = (),
        audited: Collection[int] = (),
    ) -> None:
        self.values: dict[int, list[float]] = {
            rung: [] for rung in rungs
        }  # each sorted, the worst first
        self.judged: set[tuple[int, int]] = set()
        self.sign = 1.0 if mode == "max" else -1.0
        self.reduction_factor = reduction_factor
        self.min_trials = min_trials
        self.exempt = exempt
        """Trials that are no part of the contest: others need them."""
        self.audited = audited
        self.spared: dict[int, Stop] = {}
        """Trials of the audit that would have ended, each by the first rung that said so."""

    def report(self, trial: int, epoch: int, value: float) -> Stop | None:
        """Enters a trial's value; a Stop if the trial has to end here. A trial is judged once at each rung, at that very
        epoch; a value that is not finite is neither entered nor judged: its trial ends by itself, as diverged."""
        out = trial in self.exempt or trial in self.spared or (trial, epoch) in self.judged
        if out or epoch not in self.values or not math.isfinite(value):
            return None
        self.judged.add((trial, epoch))
        before = self.values[epoch]
        merit, seen = self.sign * value, len(before)
        cutoff = (
            _percentile(before, 1 - 1 / self.reduction_factor)
            if seen >= self.min_trials
            else -math.inf
        )
        insort(before, merit)
        stop = Stop(epoch, value, self.sign * cutoff, seen) if merit < cutoff else None
        if stop and trial in self.audited:
            self.spared[trial] = stop
            return None
        return stop

    def replay(self, events: Iterable[Event], metric: str) -> dict[int, Stop]:
        """Enters all epochs of a journal in their order, as they came the first time. Returns the stops, by trial: one
        whose trial the journal does not say has ended was decided, and the process died before it could be carried out."""
        stops = {}
        for event in events:
            if isinstance(event, EpochFinished):
                value = event.metrics.get(metric, math.nan)
                stop = self.report(event.trial, event.epoch, value)
                if stop:
                    stops[event.trial] = stop
        return stops


def _percentile(ascending: list[float], share: float) -> float:
    """numpy.percentile's linear rule on a list that is sorted already: O(1), where Ray sorts at each arrival."""
    position = (len(ascending) - 1) * share
    low = math.floor(position)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (ascending[high] - ascending[low]) * (position - low)


def rungs_of(
    scheduler: ASHA | None,
    rungs: list[int],
    mode: str,
    exempt: Collection[int] = (),
    audited: Collection[int] = (),
) -> Rungs:
    """The rungs of a sweep; without a scheduler there are none, and nothing is stopped."""
    if not scheduler:
        return Rungs([], mode=mode, reduction_factor=2)
    factor, least = scheduler.reduction_factor, scheduler.min_trials
    return Rungs(
        rungs, mode=mode, reduction_factor=factor, min_trials=least, exempt=exempt, audited=audited
    )


class JournaledASHA(ASHAScheduler):
    """Ray's scheduler with the decisions of `Rungs`. Trials are known by their numbers (`config["number"]`)."""

    def __init__(self, rungs: Rungs, metric: str, mode: str) -> None:
        super().__init__(time_attr="epoch", metric=metric, mode=mode, max_t=2**31)
        self.rungs, self.metric_name = rungs, metric
        self.stops: dict[int, Stop] = {}
        self.controller: TuneController | None = None
        self.turns: dict[str, int] = {}
        self.counter = itertools.count()

    def on_trial_add(self, tune_controller: TuneController, trial: RayTrial) -> None:
        self.controller = (
            tune_controller  # the one handle by which a single trial can be ended from outside
        )
        self.turns[trial.trial_id] = next(self.counter)  # one that is taken up again comes last

    def choose_trial_to_run(self, tune_controller: TuneController) -> RayTrial | None:
        """The first that waits. Ray's own looks through all trials of the sweep, those that have ended too, each time."""
        waiting = [
            trial for trial in tune_controller.get_live_trials() if trial.status == RayTrial.PENDING
        ]
        return min(waiting, key=lambda trial: self.turns[trial.trial_id], default=None)

    def on_trial_result(
        self, tune_controller: TuneController, trial: RayTrial, result: dict[str, Any]
    ) -> str:
        number = trial.config["number"]
        stop = self.rungs.report(number, result["epoch"], result[self.metric_name])
        if stop:
            self.stops[number] = stop
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)

    def on_trial_complete(
        self, tune_controller: TuneController, trial: RayTrial, result: dict[str, Any]
    ) -> None:
        # a last epoch is not put before the scheduler; where others are judged at it, its value counts for them
        if "epoch" in result and self.metric_name in result:
            self.rungs.report(trial.config["number"], result["epoch"], result[self.metric_name])

    def on_trial_remove(self, tune_controller: TuneController, trial: RayTrial) -> None:
        pass

    def debug_string(self) -> str:
        return f"ASHA: {len(self.stops)} stopped"
