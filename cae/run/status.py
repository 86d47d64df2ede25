"""How far a run has come and how long it will take, from its records alone. No ray, no torch: `status` has to be quick."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cae.run.records import Record
from cae.run.trial_state import TrialState


@dataclass(frozen=True)
class Progress:
    """A run at one moment."""

    counts: dict[TrialState, int]
    """Trials by state; states that no trial has are left out."""
    best: tuple[int, int, float] | None
    """Trial, epoch and value of the best metric so far."""
    seconds_left: float | None
    """None where nothing has been measured yet, or nothing is left."""

    @property
    def requested(self) -> int:
        return sum(count for state, count in self.counts.items() if state != "withdrawn")

    @property
    def ended(self) -> int:
        return sum(self.counts.get(state, 0) for state in TrialState if state.is_final)


def progress(records: Iterable[Record], metric: str, mode: str, slots: int) -> Progress:
    """`slots`: how many trials run at a time."""
    records = list(records)
    counted = Counter(record.state for record in records)
    ranked = [(record.number, *found) for record in records if (found := record.best(metric, mode))]
    sign = 1 if mode == "min" else -1
    best = min(ranked, key=lambda row: (sign * row[2], row[0])) if ranked else None
    counts = {state: counted[state] for state in TrialState if counted[state]}
    return Progress(counts, best, _seconds_left(records, max(slots, 1)))


def _seconds_left(records: list[Record], slots: int) -> float | None:
    """Epochs left, each as long as a network of its size takes, over the slots. Of the trials that have not begun, as
    many epochs are expected as those that have ended came to: early stopping ends most of them before their last."""
    times = measured(records)
    left = [record for record in records if record.state in ("running", "pending", "interrupted")]
    if not times or not left:
        return None
    seconds_of = line(times)
    ended = [
        len(record.epochs) / record.config["epochs"]
        for record in records
        if record.state in ("finished", "stopped")
    ]
    share = float(np.mean(ended)) if ended else 1.0
    seconds = []
    for record in left:
        epochs = record.config["epochs"]
        expected = max(
            epochs * share if record.state == "pending" else epochs, len(record.epochs) + 1
        )
        seconds.append(max(expected - len(record.epochs), 0) * seconds_of(work(record)))
    return float(max(sum(seconds) / slots, *seconds))  # one trial does not train in two slots


def measured(records: Iterable[Record]) -> list[tuple[float, float]]:
    """The work of an epoch, and the seconds it took in the mean, of each trial that has some."""
    found = ((record, record.mean("seconds")) for record in records)
    return [(work(record), seconds) for record, seconds in found if seconds is not None]


def work(record: Record) -> float:
    """Of an epoch: proportional to its floating-point operations, of which a validation image costs a third."""
    flops, train, val = (
        record.sizes.get(name, default)
        for name, default in (("megaflops", 1), ("train_images", 1), ("val_images", 0))
    )
    return float(flops) * (float(train) + float(val) / 3)


def predict(measured: list[tuple[float, float]], work: float) -> float:
    """Seconds for some work, from measured (work, seconds)."""
    return line(measured)(work)


def line(measured: list[tuple[float, float]]) -> Callable[[float], float]:
    """Seconds by work: a line through what was measured, never below half of the quickest."""
    works, seconds = np.array(measured).T
    least, mean, mean_work = float(seconds.min()), float(seconds.mean()), float(works.mean())
    if len(set(works)) < 3:
        return lambda work: mean * (work / mean_work if mean_work else 1)
    slope, start = map(float, np.polyfit(works, seconds, 1))
    return lambda work: max(start + slope * work, least / 2)


def duration(seconds: float | None) -> str:
    """`42 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def shown(value: Any) -> str:
    """A value as people read it: four significant digits, tuples as 16-32-64."""
    if isinstance(value, list | tuple):
        return "-".join(map(shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def axes_shown(axes: Mapping[str, Any]) -> str:
    """A trial's point in the space, short: `kernel_size=3 padding=same`."""
    return " ".join(f"{key.split('.', 1)[-1]}={shown(value)}" for key, value in axes.items())
