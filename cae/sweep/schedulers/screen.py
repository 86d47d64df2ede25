"""Screening: all trials train a few epochs, then the best ones continue.

Imports neither ray nor torch.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from pydantic import PositiveInt
from typing_extensions import override

from cae.run.metric_direction import Mode
from cae.sweep.schedulers.base import Judge, Scheduler, Stop


class Screen(Scheduler):
    """All trials train `epochs` epochs; then the best `keep` of them continue to their last epoch.

    Unlike ASHA it compares each trial with all others, whatever the order. The best ones continue
    from their checkpoints.
    """

    name: ClassVar[str] = "screen"

    epochs: PositiveInt = 1
    """Epochs that every trial trains."""
    keep: PositiveInt = 3
    """How many trials continue, in each comparability group."""

    @override
    def rungs(self, epochs: int) -> list[int]:
        if self.epochs < epochs:
            return [self.epochs]
        return []

    @override
    def create_judge(
        self,
        epochs: int,
        metric: str,
        mode: Mode,
        exempt: Collection[int] = (),
        audited: Collection[int] = (),
    ) -> ScreenJudge:
        return ScreenJudge(
            self.rungs(epochs),
            metric=metric,
            mode=mode,
            keep=self.keep,
            exempt=exempt,
            audited=audited,
        )

    @override
    def expected_epochs(self, epochs: int, rungs: list[int], trials: int) -> float:
        if not rungs or epochs <= rungs[0]:
            return float(epochs)
        return rungs[0] + min(1.0, self.keep / trials) * (epochs - rungs[0])

    @override
    def summary(self) -> str:
        return f"the best {self.keep} continue after all trials have reached this epoch"


class ScreenJudge(Judge):
    """Collects the values of all trials at the rung and decides about all of them together.

    Audit trials continue without waiting for the decision.
    """

    def __init__(
        self,
        rungs: list[int],
        *,
        metric: str,
        mode: Mode,
        keep: int,
        exempt: Collection[int] = (),
        audited: Collection[int] = (),
    ) -> None:
        super().__init__(exempt, audited)
        self._rungs = rungs
        self._metric = metric
        self._keep = keep
        self._sign = 1.0
        if mode == "max":
            self._sign = -1.0
        self._costs: dict[int, float] = {}
        """By trial; lower is better."""
        self._waiting: set[int] = set()

    @property
    @override
    def judged_epochs(self) -> list[int]:
        return list(self._rungs)

    @override
    def judge(self, trial: int, epoch: int, value: float) -> Stop | None:
        """Record the value at the rung; from then on the trial waits until `decide` is called.

        A trial with a later epoch does not wait any more: an earlier decision let it continue. A
        decision about an audit trial is still missing, because it continues without one.
        """
        if epoch in self._rungs and trial not in self._costs:
            self._costs[trial] = self._sign * value
            self._waiting.add(trial)
        elif self._rungs and epoch > self._rungs[0] and trial not in self.audited:
            self._waiting.discard(trial)
        return None

    @override
    def is_waiting(self, trial: int) -> bool:
        return trial in self._waiting

    @override
    def decide(self) -> dict[int, Stop]:
        """The trials that wait and are not among the best of all trials.

        Trials of earlier decisions are compared too, so that a decision that is repeated after a
        kill is the same.
        """
        ranked = sorted(self._costs, key=lambda trial: (self._costs[trial], trial))
        stops: dict[int, Stop] = {}
        if len(ranked) > self._keep:
            cutoff = self._costs[ranked[self._keep - 1]]
            for trial in ranked[self._keep :]:
                if trial in self._waiting:
                    stops[trial] = self._stop(trial, cutoff, len(ranked))
        self._waiting.clear()
        return stops

    def _stop(self, trial: int, cutoff: float, count: int) -> Stop:
        rung = self._rungs[0]
        value = self._sign * self._costs[trial]
        limit = self._sign * cutoff
        reason = (
            f"epoch {rung}: {self._metric} {value:.4g} is not among the best {self._keep} of "
            f"{count} trials, which have {limit:.4g} or better"
        )
        return Stop(rung=rung, value=value, cutoff=limit, seen=count, reason=reason)
