"""Asynchronous successive halving (ASHA), with decisions that can be rebuilt from a journal.

Differences to Ray 2.60 (tune/schedulers/async_hyperband.py), which loses its rungs on a restore,
enters the values of later epochs into lower rungs, accepts NaN, and omits the last rung for some
numbers of epochs. Imports neither ray nor torch.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Collection, Iterable
from typing import Annotated, ClassVar

from annotated_types import Gt
from pydantic import PositiveInt
from typing_extensions import override

from cae.run.metric_direction import Mode
from cae.sweep.schedulers.base import Judge, Scheduler, Stop


class ASHA(Scheduler):
    """Asynchronous successive halving (Li et al. 2020), the variant that stops trials.

    A trial that reaches a rung (epoch `grace_epochs`, then times `reduction_factor`, and so on)
    continues if it is among the best 1 / `reduction_factor` of the trials that reached the rung
    before; otherwise it is stopped. The first `min_trials` at a rung always continue: they would be
    compared with one or two others only.
    """

    name: ClassVar[str] = "asha"

    grace_epochs: PositiveInt = 1
    """Epochs that every trial trains: the first rung."""
    reduction_factor: Annotated[float, Gt(1)] = 3
    """The best 1 / `reduction_factor` of the trials at a rung continue; also the ratio of two
    rungs."""
    min_trials: PositiveInt = 3
    """How many trials have to reach a rung before one is stopped there."""

    @override
    def rungs(self, epochs: int) -> list[int]:
        """The epochs at which trials are judged. At the last epoch there is nothing to stop."""
        rungs: set[int] = set()
        rung = float(self.grace_epochs)
        while rung < epochs:
            rungs.add(round(rung))
            rung *= self.reduction_factor
        return sorted(rungs)

    @override
    def create_judge(
        self,
        epochs: int,
        metric: str,
        mode: Mode,
        exempt: Collection[int] = (),
        audited: Collection[int] = (),
    ) -> ASHAJudge:
        return ASHAJudge(
            self.rungs(epochs),
            metric=metric,
            mode=mode,
            reduction_factor=self.reduction_factor,
            min_trials=self.min_trials,
            exempt=exempt,
            audited=audited,
        )

    @override
    def expected_epochs(self, epochs: int, rungs: list[int], trials: int) -> float:
        expected = 0.0
        share_left = 1.0
        previous_rung = 0
        for rung in rungs:
            if rung < epochs:
                expected += share_left * (rung - previous_rung)
                previous_rung = rung
                share_left /= self.reduction_factor
        return expected + share_left * (epochs - previous_rung)

    @override
    def summary(self) -> str:
        return f"about 1 of {self.reduction_factor:g} trials continues"


class ASHAJudge(Judge):
    """The values of the trials at each rung, in the order in which they were reported."""

    def __init__(
        self,
        rungs: Iterable[int],
        *,
        metric: str,
        mode: Mode,
        reduction_factor: float,
        min_trials: int = 1,
        exempt: Collection[int] = (),
        audited: Collection[int] = (),
    ) -> None:
        super().__init__(exempt, audited)
        self.metric = metric
        self.mode = mode
        self.reduction_factor = reduction_factor
        self.min_trials = min_trials
        self.merits: dict[int, list[float]] = {rung: [] for rung in rungs}
        """Per rung the values of the trials, negated if smaller is better, in ascending order."""
        self._judged: set[tuple[int, int]] = set()

    @property
    @override
    def judged_epochs(self) -> list[int]:
        return list(self.merits)

    @override
    def judge(self, trial: int, epoch: int, value: float) -> Stop | None:
        """A trial is judged once at each rung, in the epoch of the rung."""
        if epoch not in self.merits or (trial, epoch) in self._judged:
            return None
        self._judged.add((trial, epoch))
        sign = 1.0
        if self.mode == "min":
            sign = -1.0
        earlier = self.merits[epoch]
        seen = len(earlier)
        merit = sign * value
        cutoff = -math.inf
        if seen >= self.min_trials:
            cutoff = _percentile(earlier, 1 - 1 / self.reduction_factor)
        insort(earlier, merit)
        if merit >= cutoff:
            return None
        reason = self._reason(epoch, value, sign * cutoff, seen)
        return Stop(rung=epoch, value=value, cutoff=sign * cutoff, seen=seen, reason=reason)

    def _reason(self, epoch: int, value: float, cutoff: float, seen: int) -> str:
        side = "below"
        if self.mode == "min":
            side = "above"
        return (
            f"epoch {epoch}: {self.metric} {value:.4g} is {side} the cutoff {cutoff:.4g} of the "
            f"best "
            f"1/{self.reduction_factor:g} of {seen} earlier trials at this rung"
        )


def _percentile(ascending: list[float], share: float) -> float:
    """numpy.percentile's linear rule for a sorted list: O(1); Ray sorts at each report."""
    position = (len(ascending) - 1) * share
    low = math.floor(position)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (ascending[high] - ascending[low]) * (position - low)
