"""Which checkpoints of trials that have ended are let go: what nothing can ask for again."""

from __future__ import annotations

from collections.abc import Mapping

from cae.rundir import Record, RunDir
from cae.trial.checkpoint import BEST, LAST, PREVIOUS

KEPT_STOPPED = 10
"""Stopped trials whose best weights stay: the best ones, by the sweep's metric."""


def let_go(run: RunDir, records: Mapping[int, Record], number: int, metric: str, mode: str) -> None:
    """After a trial has ended. A finished one keeps `best`, and `last` to go on from should it get more epochs. A stopped one
    does not go on: it keeps `best` if it is among the best of them. All others may be retried, and keep what they have."""
    record, sign = records[number], 1 if mode == "min" else -1
    if record.state not in ("finished", "stopped"):
        return
    for name in (PREVIOUS,) if record.state == "finished" else (PREVIOUS, LAST):
        (run.trial(number) / name).unlink(missing_ok=True)
    if record.state == "stopped":
        found = ((one, one.best(metric, mode)) for one in records.values() if one.state == "stopped")
        order = sorted((sign * best[1], one.number) for one, best in found if best)
        for _, worse in order[KEPT_STOPPED:]:
            (run.trial(worse) / BEST).unlink(missing_ok=True)
