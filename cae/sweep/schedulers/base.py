"""What a scheduler is to the rest of the package. Imports neither ray nor torch."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from cae.run.events import EpochFinished, Event
from cae.run.metric_direction import Mode
from cae.run.trial_state import StopCause


@dataclass(frozen=True)
class Stop:
    """The decision to stop a trial."""

    rung: int
    """The epoch at which the trial was judged."""
    value: float
    """The metric of the trial in that epoch."""
    cutoff: float
    """The value that the metric would have had to reach."""
    seen: int
    """How many trials had reached the rung before."""
    reason: str
    """A sentence."""
    cause: StopCause = StopCause.SCHEDULER


class Judge(ABC):
    """Decides which trials stop, from their epochs in the order in which they are reported.

    Args:
        exempt: Trials that are not judged: other trials depend on them.
        audited: Trials that are judged and continue (see `Scheduler.audit`).
    """

    def __init__(self, exempt: Collection[int] = (), audited: Collection[int] = ()) -> None:
        self.exempt = exempt
        self.audited = set(audited)
        self.audit_stops: dict[int, Stop] = {}
        """Audit trials that would have been stopped, each with its first stop."""

    @property
    @abstractmethod
    def judged_epochs(self) -> list[int] | None:
        """The epochs at which trials are judged; None: all."""

    def add_trial(self, trial: int, group: str, *, is_audited: bool) -> None:
        """Add a trial that was not planned when the judge was created."""
        del group  # for judges of several groups
        if is_audited:
            self.audited.add(trial)

    @abstractmethod
    def judge(self, trial: int, epoch: int, value: float) -> Stop | None:
        """Record the finite metric of a trial and decide about it; None: it continues."""

    def is_waiting(self, trial: int) -> bool:
        """Whether a trial is paused until `decide` is called."""
        del trial
        return False

    def decide(self) -> dict[int, Stop]:
        """Decide about the trials that wait: those that have to end, each with its stop. The others
        continue. Called when no other trial is left to train."""
        return {}

    def report(self, trial: int, epoch: int, value: float) -> Stop | None:
        """Record the metric of a trial's epoch; a Stop if the trial has to end.

        A value that is not finite is ignored: its trial ends by itself, as diverged. An audit trial
        that would have been stopped is not judged any more, so that it does not influence others.
        """
        if trial in self.exempt or trial in self.audit_stops or not math.isfinite(value):
            return None
        stop = self.judge(trial, epoch, value)
        if stop is not None and trial in self.audited:
            self.audit_stops[trial] = stop
            return None
        return stop

    def replay(self, events: Iterable[Event], metric: str) -> dict[int, Stop]:
        """Report all epochs of a journal in their order, and return the stops by trial.

        If the journal does not record the end of such a trial, the process died after the decision.
        """
        stops: dict[int, Stop] = {}
        for event in events:
            if isinstance(event, EpochFinished):
                value = event.metrics.get(metric, math.nan)
                stop = self.report(event.trial, event.epoch, value)
                if stop is not None:
                    stops[event.trial] = stop
        return stops


class GroupJudge(Judge):
    """A judge per comparability group: trials of different groups are not compared.

    Args:
        create: Creates the judge of a group.
        groups: The group of each trial by its number. Trials without a group are not judged.
    """

    def __init__(self, create: Callable[[], Judge], groups: Mapping[int, str]) -> None:
        self._groups = dict(groups)
        self._judges: dict[str, Judge] = {group: create() for group in sorted(set(groups.values()))}
        self._any_judge = create()
        super().__init__(self._any_judge.exempt, self._any_judge.audited)

    @property
    @override
    def judged_epochs(self) -> list[int] | None:
        return self._any_judge.judged_epochs

    @override
    def add_trial(self, trial: int, group: str, *, is_audited: bool) -> None:
        super().add_trial(trial, group, is_audited=is_audited)
        self._groups[trial] = group
        self._judges[group].add_trial(trial, group, is_audited=is_audited)

    @override
    def is_waiting(self, trial: int) -> bool:
        group = self._groups.get(trial)
        is_audit = trial in self.audited
        return group is not None and not is_audit and self._judges[group].is_waiting(trial)

    @override
    def decide(self) -> dict[int, Stop]:
        stops: dict[int, Stop] = {}
        for judge in self._judges.values():
            stops |= judge.decide()
        for trial in self.audited & set(stops):
            self.audit_stops[trial] = stops.pop(trial)
        return stops

    @override
    def judge(self, trial: int, epoch: int, value: float) -> Stop | None:
        group = self._groups.get(trial)
        if group is None:
            return None
        return self._judges[group].judge(trial, epoch, value)


class Scheduler(BaseModel, ABC):
    """A method of early stopping and its parameters, as a sweep file declares them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[str]
    """How sweep.json and the page call it."""

    audit: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of the trials that is exempt from early stopping, chosen by their hashes: whether they
    end up better than the best trial measures what early stopping loses."""

    @abstractmethod
    def rungs(self, epochs: int) -> list[int]:
        """The epochs at which trials of at most `epochs` epochs are judged."""

    @abstractmethod
    def create_judge(
        self,
        epochs: int,
        metric: str,
        mode: Mode,
        exempt: Collection[int] = (),
        audited: Collection[int] = (),
    ) -> Judge:
        """The judge of a sweep whose longest trial has `epochs` epochs."""

    @abstractmethod
    def expected_epochs(self, epochs: int, rungs: list[int], trials: int) -> float:
        """How many of its `epochs` epochs a trial trains on average, of so many trials."""

    @abstractmethod
    def summary(self) -> str:
        """What happens at a rung, in words for `cae-sweep plan`."""

    def describe(self, epochs: int) -> dict[str, Any]:
        """Name, parameters and rungs for sweep.json."""
        return {"name": self.name, **self.model_dump(), "rungs": self.rungs(epochs)}

    def is_audited(self, trial_hash: str) -> bool:
        """Whether a trial is an audit trial. It is drawn by its hash: resuming draws the same
        ones."""
        digest = hashlib.blake2b(f"audit {trial_hash}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.audit * 2**64


class NeverStop(Judge):
    """The judge of a sweep without early stopping."""

    @property
    def judged_epochs(self) -> list[int]:
        return []

    def judge(self, trial: int, epoch: int, value: float) -> Stop | None:
        return None
