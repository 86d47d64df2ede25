"""How the time of the slots was spent, from the journal's own clock: what trained, and where the rest went.

A slot is room for one trial at a time. Its time, in each session, runs from the session's first event to its last one.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pandas as pd

from cae.report.data.tables import Results
from cae.run.records import Record

KINDS = {
    "finished": "training trials that finished or go on",
    "stopped": "training trials that were stopped early",
    "lost": "training trials that failed, diverged or were killed",
    "around": "around the epochs: workers, checkpoints, tests",
    "start-up": "before the first trial began",
    "between": "between trials",
    "tail": "free at the end, nothing left to begin",
}
LOST = ("failed", "diverged", "oom", "killed", "withdrawn")


class Slots(NamedTuple):
    spans: pd.DataFrame
    """A row per time that a trial held a slot: trial (index into the table of trials), lane, begin, end (hours of running), state,
    training (seconds in epochs). Of runs that are joined, one after another."""
    seconds: dict[str, float]
    """Slot seconds by `KINDS`."""
    wall: float
    """Seconds in which the sweep was running."""
    slots: int
    sessions: int

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    @property
    def busy(self) -> float:
        """The share of the slots' time that was training."""
        return (
            sum(self.seconds[kind] for kind in ("finished", "stopped", "lost")) / self.total
            if self.total
            else math.nan
        )


def slots(results: Results) -> Slots:
    rows, seconds, wall, most, sessions, first = [], dict.fromkeys(KINDS, 0.0), 0.0, 0, 0, 0
    for run in results.runs:
        spans = [
            span
            for place, record in enumerate(run.records.values(), first)
            for span in _held(record, place)
        ]
        first += len(run.records)
        for session in run.sessions:
            begin = session.start.time
            until = session.end_time
            count = session.start.slots or 1
            mine = sorted(
                (span for span in spans if begin <= span["begin"] <= until),
                key=lambda span: span["begin"],
            )
            _count(seconds, mine, begin, until, count)
            lanes: list[float] = []
            for span in mine:
                lane = next(
                    (lane for lane, free in enumerate(lanes) if free <= span["begin"] + 1e-6),
                    len(lanes),
                )
                lanes[lane:] = [span["end"], *lanes[lane + 1 :]]
                rows.append(
                    {
                        **span,
                        "lane": lane,
                        **{side: (wall + span[side] - begin) / 3600 for side in ("begin", "end")},
                    }
                )
            wall, most, sessions = wall + until - begin, max(most, count), sessions + bool(mine)
    columns = ["trial", "state", "training", "begin", "end", "lane"]
    return Slots(pd.DataFrame(rows, columns=columns), seconds, wall, most, sessions)


def _held(record: Record, place: int) -> list[dict[str, Any]]:
    """From each start to the trial's end, or to its last epoch before it was taken up again."""
    spans = []
    for number, start in enumerate(record.starts):
        begin = start.time
        after = record.starts[number + 1].time if number + 1 < len(record.starts) else math.inf
        epochs = [epoch for epoch, time in record.epoch_times.items() if begin <= time < after]
        end = max([record.epoch_times[epoch] for epoch in epochs], default=begin)
        if after == math.inf and record.end:
            end = max(end, record.end.time)
        trained = sum(
            second
            for epoch in epochs
            if math.isfinite(second := record.epochs[epoch].get("seconds", math.nan))
        )
        spans.append(
            {
                "trial": place,
                "state": record.state,
                "training": min(trained, end - begin),
                "begin": begin,
                "end": end,
            }
        )
    return spans


def _count(
    seconds: dict[str, float], spans: list[dict[str, Any]], begin: float, until: float, count: int
) -> None:
    held = sum(span["end"] - span["begin"] for span in spans)
    if not spans or until <= begin:
        return
    for span in spans:
        kind = (
            "stopped"
            if span["state"] == "stopped"
            else "lost"
            if span["state"] in LOST
            else "finished"
        )
        seconds[kind] += span["training"]
        seconds["around"] += span["end"] - span["begin"] - span["training"]
    before = (spans[0]["begin"] - begin) * count
    last = spans[-1]["begin"]
    tail = max(
        0.0,
        (until - last) * count
        - sum(max(0.0, span["end"] - max(span["begin"], last)) for span in spans),
    )
    seconds["start-up"] += before
    seconds["tail"] += tail
    seconds["between"] += max(0.0, (until - begin) * count - held - before - tail)
