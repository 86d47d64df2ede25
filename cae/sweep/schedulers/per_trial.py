"""Early stopping of a trial by its own curve. Imports neither ray nor torch."""

from __future__ import annotations

from typing_extensions import override

from cae.run.formatting import count_of
from cae.run.metric_direction import Mode
from cae.run.trial_state import StopCause
from cae.sweep.schedulers.base import Judge, Stop


class CurveJudge(Judge):
    """Stops a trial whose metric does not improve any more, or is worse than a limit.

    Another judge, which compares trials with each other, decides first.

    Args:
        inner: That judge.
        metric: Name of the metric.
        mode: Whether smaller or larger values of the metric are better.
        patience: Stop a trial whose metric has not improved for this many epochs; None: never.
        worst_value: Stop a trial at a value that is worse than this; None: never.
    """

    def __init__(
        self,
        inner: Judge,
        *,
        metric: str,
        mode: Mode,
        patience: int | None,
        worst_value: float | None,
    ) -> None:
        super().__init__(inner.exempt, inner.audited)
        self._inner = inner
        self._metric = metric
        self._sign = 1.0
        if mode == "max":
            self._sign = -1.0
        self._patience = patience
        self._worst_value = worst_value
        self._best: dict[int, tuple[float, int]] = {}
        """Lowest cost of each trial, and its epoch."""

    @property
    @override
    def judged_epochs(self) -> list[int] | None:
        return None

    @override
    def add_trial(self, trial: int, group: str, *, is_audited: bool) -> None:
        super().add_trial(trial, group, is_audited=is_audited)
        self._inner.add_trial(trial, group, is_audited=is_audited)

    @override
    def is_waiting(self, trial: int) -> bool:
        return self._inner.is_waiting(trial)

    @override
    def decide(self) -> dict[int, Stop]:
        stops = self._inner.decide()
        self.audit_stops |= self._inner.audit_stops
        return stops

    @override
    def judge(self, trial: int, epoch: int, value: float) -> Stop | None:
        stop = self._inner.judge(trial, epoch, value)
        if stop is not None:
            return stop
        cost = self._sign * value
        if trial not in self._best or cost < self._best[trial][0]:
            self._best[trial] = (cost, epoch)
        if self._worst_value is not None and cost > self._sign * self._worst_value:
            return self._stop_at_worst_value(epoch, value, self._worst_value)
        best_cost, best_epoch = self._best[trial]
        if self._patience is not None and epoch - best_epoch >= self._patience:
            reason = (
                f"epoch {epoch}: {self._metric} has not improved for "
                f"{count_of(self._patience, 'epoch')} (patience); it was "
                f"{self._sign * best_cost:.4g} in epoch {best_epoch}"
            )
            cutoff = self._sign * best_cost
            return Stop(
                rung=epoch,
                value=value,
                cutoff=cutoff,
                seen=0,
                reason=reason,
                cause=StopCause.PATIENCE,
            )
        return None

    def _stop_at_worst_value(self, epoch: int, value: float, worst: float) -> Stop:
        reason = f"epoch {epoch}: {self._metric} {value:.4g} is worse than worst_value {worst:g}"
        return Stop(
            rung=epoch,
            value=value,
            cutoff=worst,
            seen=0,
            reason=reason,
            cause=StopCause.WORST_VALUE,
        )
