"""The states of a trial. Standard library only."""

from __future__ import annotations

from enum import StrEnum


class TrialState(StrEnum):
    """The state of a trial, in the order in which states are listed to users."""

    FINISHED = "finished"
    """All epochs are trained."""
    STOPPED = "stopped"
    """It was stopped early, for a `StopCause`."""
    DIVERGED = "diverged"
    """A loss became infinite or NaN."""
    FAILED = "failed"
    """An error ended it."""
    OUT_OF_MEMORY = "oom"
    """The memory of the host or of its GPU did not suffice."""
    KILLED = "killed"
    """A user ended it with `cae-sweep kill`."""
    RUNNING = "running"
    """A worker trains it."""
    INTERRUPTED = "interrupted"
    """It was started, and the process that ran the sweep ended before it did."""
    WAITING = "waiting"
    """It is paused until the scheduler decides, after other trials, whether it continues."""
    PENDING = "pending"
    """It was never started."""
    WITHDRAWN = "withdrawn"
    """It did not reach a final state, and the newest `run` does not request it."""

    @property
    def is_final(self) -> bool:
        """Whether `run` leaves the trial alone unless a retry is requested."""
        return self in _FINAL

    @property
    def is_successful(self) -> bool:
        """Whether the trial ended as planned: after all epochs, or stopped early."""
        return self in _SUCCESSFUL

    @property
    def is_remaining(self) -> bool:
        """Whether epochs of the trial remain to be trained by the newest `run`."""
        return self in _REMAINING

    @property
    def is_ranked(self) -> bool:
        """Whether the trial may be the best one: it has a usable checkpoint of its best epoch."""
        return self in _RANKED

    @property
    def is_failure(self) -> bool:
        """Whether the trial ended because of an error or for lack of memory (exit code 1)."""
        return self in _FAILURES

    @property
    def is_retryable(self) -> bool:
        """Whether `run --retry` accepts the state."""
        return self in _RETRYABLE


class StopCause(StrEnum):
    """Why a trial was stopped early."""

    SCHEDULER = "scheduler"
    """It was worse than other trials."""
    PATIENCE = "patience"
    """Its own metric had not improved for many epochs: it is trained to the end, as far as its
    curve shows."""
    WORST_VALUE = "worst_value"
    """Its metric was worse than the limit of the sweep."""


_FINAL = frozenset(
    {
        TrialState.FINISHED,
        TrialState.STOPPED,
        TrialState.DIVERGED,
        TrialState.FAILED,
        TrialState.OUT_OF_MEMORY,
        TrialState.KILLED,
    }
)
_SUCCESSFUL = frozenset({TrialState.FINISHED, TrialState.STOPPED})
_REMAINING = frozenset(
    {TrialState.RUNNING, TrialState.INTERRUPTED, TrialState.WAITING, TrialState.PENDING}
)
_RANKED = frozenset(
    {
        TrialState.FINISHED,
        TrialState.STOPPED,
        TrialState.RUNNING,
        TrialState.INTERRUPTED,
        TrialState.WAITING,
        TrialState.KILLED,
        TrialState.WITHDRAWN,
    }
)
_FAILURES = frozenset({TrialState.FAILED, TrialState.OUT_OF_MEMORY})
_RETRYABLE = frozenset(
    {TrialState.FAILED, TrialState.OUT_OF_MEMORY, TrialState.DIVERGED, TrialState.KILLED}
)
