"""Which checkpoints of trials that have ended are let go: what nothing can ask for again."""

from __future__ import annotations

from collections.abc import Mapping

from cae.run.paths import RunDir
from cae.run.records import Record
from cae.sweep.spec.plan import Plan, PlannedTrial
from cae.trial.checkpoint import BEST, LAST, PREVIOUS

KEPT_STOPPED = 10
"""Stopped trials whose best weights stay: the best ones, by the sweep's metric."""


COPIES, COPIES_ENDED = 3 * 2 + 1, 3 + 1
"""Sizes of a network that a running trial holds (last and previous with two moments of the optimizer each, and best), and an ended one."""


def disk_of(planned: PlannedTrial, copies: int = COPIES) -> int:
    """Bytes that a trial takes."""
    return 4 * copies * int(planned.sizes["parameters"]) + 200_000


def disk(plan: Plan, slots: int) -> int:
    """Bytes that what remains of a plan takes at most."""
    more = sorted(disk_of(planned) - disk_of(planned, COPIES_ENDED) for planned in plan.remaining)
    return sum(disk_of(planned, COPIES_ENDED) for planned in plan.remaining) + sum(more[-slots:])


def let_go(run: RunDir, records: Mapping[int, Record], number: int, metric: str, mode: str) -> None:
    """After a trial has ended. A finished one keeps `best`, and `last` to go on from should it get more epochs. A stopped one
    does not go on: it keeps `best` if it is among the best of them. All others may be retried, and keep what they have."""
    record, sign = records[number], 1 if mode == "min" else -1
    if record.state not in ("finished", "stopped"):
        return
    run.delete_trial_files(
        number, *((PREVIOUS,) if record.state == "finished" else (PREVIOUS, LAST))
    )
    if record.state == "stopped":
        found = (
            (one, one.best(metric, mode)) for one in records.values() if one.state == "stopped"
        )
        order = [
            worse
            for _, worse in sorted((sign * best[1], one.number) for one, best in found if best)
        ]
        for worse in {
            *order[KEPT_STOPPED : KEPT_STOPPED + 1],
            *({number} & set(order[KEPT_STOPPED:])),
        }:  # those behind went before
            run.delete_trial_files(worse, BEST)
