"""What is watched while a sweep runs alone: trials that hang, failures one after another, the disk."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cae.run.records import Record
from cae.run.status import measured, predict, work
from cae.run.trial_state import TrialState

PATIENCE, LEAST_PATIENCE_S = 20, 600.0
"""An epoch may take so many times what is expected of it, and so many seconds at least."""
LEAST_FREE = 200_000_000
"""Bytes on the disk of the run, below which a sweep ends while it can still write down that it did."""
DISK_SECONDS = 5.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors that are the disk's fault, and not a trial's."""


@dataclass(frozen=True)
class Limits:
    """When a trial, and when a whole sweep, is given up."""

    epoch_seconds: float | None = None
    """A trial hangs whose epoch takes longer. None: PATIENCE times what is expected of it, once some epoch has been timed."""
    failures: int = 10
    """The sweep ends when so many trials fail one after another; 0: never."""


DEFAULTS = Limits()


class Guard:
    """Hears of the trials' life signs, and says what is wrong. Its clock is monotonic: one that is set does not matter."""

    def __init__(self, limits: Limits, folder: Path) -> None:
        self.limits, self.folder = limits, folder
        self.heard: dict[int, float] = {}
        self.failed: list[tuple[int, str]] = []
        self.looked = 0.0

    def sign(self, number: int) -> None:
        """A trial has begun, or has finished an epoch."""
        self.heard[number] = time.monotonic()

    def waits(self, number: int) -> None:
        """A trial stands in the queue, where it gives no sign of life."""
        self.heard.pop(number, None)

    def ended(self, number: int, state: TrialState, reason: str) -> None:
        self.waits(number)
        self.failed = [*self.failed, (number, reason)] if state.is_failure else []

    def hung(self, records: Mapping[int, Record]) -> list[tuple[int, str]]:
        """Trials that gave no sign for too long, each with the reason in words."""
        found, times = [], None
        for number, heard in self.heard.items():
            silent, limit = time.monotonic() - heard, self.limits.epoch_seconds
            if limit is None:
                if silent < LEAST_PATIENCE_S:
                    continue
                times = times if times is not None else measured(records.values())
                limit = (
                    max(LEAST_PATIENCE_S, PATIENCE * predict(times, work(records[number])))
                    if times
                    else float("inf")
                )
            if silent > limit:
                found.append(
                    (
                        number,
                        f"hung: no epoch for {silent:.0f} s, and {limit:.0f} s is the limit (--epoch-timeout)",
                    )
                )
        return found

    def trouble(self) -> str:
        """Why the sweep should end, in words; "" where nothing is wrong."""
        if self.limits.failures and len(self.failed) >= self.limits.failures:
            number, reason = self.failed[-1]
            return f"given up: {len(self.failed)} trials failed one after another, the last was trial {number}: {reason}"
        if time.monotonic() - self.looked > DISK_SECONDS:
            self.looked = time.monotonic()
            if (free := shutil.disk_usage(self.folder).free) < LEAST_FREE:
                return f"given up: only {free / 1e6:,.0f} MB are free on the disk of {self.folder}"
        return ""
