"""Early stopping of a trial by its own curve. Imports neither ray nor torch."""

from __future__ import annotations

from typing_extensions import override

from cae.run.formatting import count_of
from cae.run.metric_direction import Mode
from cae.sweep.schedulers.base import Judge, Stop


class CurveJudge(Judge):
    """Stops trials that do not improve any more, or that are hopeless; asks another judge first.

    Args:
        inner: The judge that compares trials with each other.
        patience: A trial is stopped when its metric has not improved for so many epochs; None:
            never.
        worst_value: A trial is stopped at a value that is worse than this; None: never.
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
        best, best_epoch = self._best.get(trial, (cost, epoch))
        if cost < best or trial not in self._best:
            best, best_epoch = cost, epoch
            self._best[trial] = (cost, epoch)
        worst = self._worst_value
        if worst is not None and cost > self._sign * worst:
            reason = (
                f"epoch {epoch}: {self._metric} {value:.4g} is worse than worst_value {worst:g}"
            )
            return Stop(rung=epoch, value=value, cutoff=worst, seen=0, reason=reason)
        if self._patience is not None and epoch - best_epoch >= self._patience:
            reason = (
                f"epoch {epoch}: {self._metric} has not improved for "
                f"{count_of(self._patience, 'epoch')} (patience); it was {self._sign * best:.4g} "
                f"in epoch {best_epoch}"
            )
            return Stop(rung=epoch, value=value, cutoff=self._sign * best, seen=0, reason=reason)
        return None
