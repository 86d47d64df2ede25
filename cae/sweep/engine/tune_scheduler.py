"""Tune's scheduler interface in front of a `Judge`."""

from __future__ import annotations

from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from typing_extensions import override

from cae.sweep.engine import ray_compat
from cae.sweep.schedulers.base import Judge, Stop


class TuneScheduler(FIFOScheduler):
    """Stops the trials that a judge stops. Trials are identified by `config["number"]`."""

    def __init__(self, judge: Judge, metric: str, stop_seconds: float = 0.0) -> None:
        """Create a scheduler.

        Args:
            judge: Decides.
            metric: The metric that it judges.
            stop_seconds: How long workers need to end when the sweep is stopped, if that is longer
                than Tune expects.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.judge = judge
        self.metric_name = metric
        self.stop_seconds = stop_seconds
        self.stops: dict[int, Stop] = {}
        """The decisions by trial number."""
        self.controller: TuneController | None = None
        """Ends single trials on request."""
        self._order: dict[str, int] = {}
        self._added = 0

    @override
    def on_trial_add(self, tune_controller: TuneController, trial: RayTrial) -> None:
        self.controller = tune_controller
        ray_compat.wait_longer_for_workers(tune_controller, self.stop_seconds)
        self._order[trial.trial_id] = self._added  # a trial that is added again comes last
        self._added += 1

    @override
    def choose_trial_to_run(self, tune_controller: TuneController) -> RayTrial | None:
        """The first waiting trial. Ray's own method searches all trials of the sweep each time."""
        waiting = ray_compat.pending_trials(tune_controller)
        return min(waiting, key=lambda trial: self._order[trial.trial_id], default=None)

    @override
    def on_trial_result(
        self, tune_controller: TuneController, trial: RayTrial, result: dict[str, Any]
    ) -> str:
        number = trial.config["number"]
        stop = self.judge.report(number, result["epoch"], result[self.metric_name])
        if stop is None:
            if self.judge.is_waiting(number):
                return str(TrialScheduler.STOP)  # its checkpoint is saved
            return str(TrialScheduler.CONTINUE)
        self.stops[number] = stop
        return str(TrialScheduler.STOP)

    @override
    def on_trial_complete(
        self, tune_controller: TuneController, trial: RayTrial, result: dict[str, Any]
    ) -> None:
        """Tune does not report the last epoch as a result; it may be a rung of longer trials."""
        if "epoch" in result and self.metric_name in result:
            self.judge.report(trial.config["number"], result["epoch"], result[self.metric_name])

    @override
    def on_trial_remove(self, tune_controller: TuneController, trial: RayTrial) -> None:
        pass

    @override
    def debug_string(self) -> str:
        return f"{len(self.stops)} trials stopped"
