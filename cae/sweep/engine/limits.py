"""Limits of an unattended sweep: hung trials, consecutive failures, a full disk."""

from __future__ import annotations

import errno
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cae.run.events import ABORTED, GAVE_UP
from cae.run.records import Record
from cae.run.status import measured, predict, work
from cae.run.trial_state import TrialState

HUNG_FACTOR = 20
"""Without --epoch-timeout, a trial is hung if an epoch takes this many times the estimate."""
MIN_HUNG_SECONDS = 600.0
"""Without --epoch-timeout, no trial is hung before this time."""
PAUSE_SECONDS = 15.0
"""Trials are examined every second. A longer time between two examinations is a pause: Ctrl-Z,
SIGSTOP, a suspended container."""
WORKER_START_SECONDS = 600.0
"""A sweep on this machine ends if its first worker takes longer to start; 10 s are usual."""
MIN_FREE_BYTES = 200_000_000
"""A sweep ends if less is free on the disk of the run, while it can still record its end."""
DISK_CHECK_SECONDS = 5.0
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE)
"""Errors of the disk, not of a trial."""


@dataclass(frozen=True)
class Limits:
    """When a trial counts as hung, and when a sweep is aborted."""

    epoch_seconds: float | None = None
    """A trial is hung if an epoch takes longer. None: HUNG_FACTOR times the estimate; 0: never."""
    failures: int = 10
    """The sweep is aborted after so many consecutive failed trials; 0: never."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class HungTrial:
    """A trial without a finished epoch for too long."""

    number: int
    reason: str


class LimitMonitor:
    """Checks the limits of a sweep.

    It uses the monotonic clock: setting the system clock does not matter.
    """

    def __init__(self, limits: Limits, folder: Path) -> None:
        self.limits = limits
        self.folder = folder
        self.heartbeats: dict[int, float] = {}
        """When each running trial started or finished its last epoch."""
        self.consecutive_failures: list[tuple[int, str]] = []
        """Number and reason of the trials that failed since the last one that did not."""
        self.waits_for_worker = False
        """Whether no worker has started since Ray Tune was started on this machine."""
        self._waited_seconds = 0.0
        self._wait_checked = 0.0
        self._disk_checked = 0.0
        self._hung_checked = time.monotonic()

    def heartbeat(self, number: int) -> None:
        """A trial started or finished an epoch."""
        self.waits_for_worker = False
        self.heartbeats[number] = time.monotonic()

    def queued(self, number: int) -> None:
        """A trial waits for a worker: it is not expected to report anything."""
        self.heartbeats.pop(number, None)

    def ended(self, number: int, state: TrialState, reason: str) -> None:
        """A trial ended."""
        self.queued(number)
        if state.is_failure:
            self.consecutive_failures.append((number, reason))
        else:
            self.consecutive_failures.clear()

    def hung_trials(self, records: Mapping[int, Record]) -> list[HungTrial]:
        """Trials whose current epoch takes too long."""
        hung: list[HungTrial] = []
        if self.limits.epoch_seconds == 0:
            return hung
        now = time.monotonic()
        self._forgive_pause(now)
        epoch_times: list[tuple[float, float]] | None = None
        for number, heartbeat in self.heartbeats.items():
            elapsed = now - heartbeat
            limit = self.limits.epoch_seconds
            if limit is None:
                if elapsed < MIN_HUNG_SECONDS:
                    continue
                if epoch_times is None:
                    epoch_times = measured(records.values())
                limit = _estimated_limit(epoch_times, records[number])
            if elapsed > limit:
                reason = (
                    f"hung: no epoch for {elapsed:.0f} s; the limit is {limit:.0f} s "
                    "(--epoch-timeout)"
                )
                hung.append(HungTrial(number, reason))
        return hung

    def _forgive_pause(self, now: float) -> None:
        """Do not count time in which this process was stopped: its workers were probably too."""
        pause = now - self._hung_checked
        self._hung_checked = now
        if pause > PAUSE_SECONDS:
            for number in self.heartbeats:
                self.heartbeats[number] += pause

    def expect_worker(self) -> None:
        """Ray Tune starts the first worker."""
        self.waits_for_worker = True
        self._waited_seconds = 0.0
        self._wait_checked = time.monotonic()

    def has_waited_too_long(self) -> bool:
        """Whether the first worker should have started. It is examined every second."""
        if not self.waits_for_worker:
            return False
        now = time.monotonic()
        self._waited_seconds += min(now - self._wait_checked, PAUSE_SECONDS)
        self._wait_checked = now
        return self._waited_seconds > WORKER_START_SECONDS

    def abort_reason(self) -> str:
        """Why the sweep should be aborted; empty if it should not."""
        failures = self.consecutive_failures
        if self.limits.failures and len(failures) >= self.limits.failures:
            number, reason = failures[-1]
            return (
                f"{GAVE_UP}: {len(failures)} trials failed one after another, "
                f"the last was trial {number}: {reason}"
            )
        now = time.monotonic()
        if now - self._disk_checked > DISK_CHECK_SECONDS:
            self._disk_checked = now
            free = shutil.disk_usage(self.folder).free
            if free < MIN_FREE_BYTES:
                return f"{ABORTED}: only {free / 1e6:,.0f} MB are free on the disk of {self.folder}"
        return ""


def _estimated_limit(epoch_times: list[tuple[float, float]], record: Record) -> float:
    if not epoch_times:
        return math.inf
    return max(MIN_HUNG_SECONDS, HUNG_FACTOR * predict(epoch_times, work(record)))
