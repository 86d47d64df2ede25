"""Progress of a run and an estimate of the time left, as numbers, from its records.

Imports neither ray nor torch: `status` has to respond quickly.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from cae.run.formatting import count_of, format_value
from cae.run.groups import split_by_group
from cae.run.json_values import JsonObject
from cae.run.metric_direction import Mode
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.trial_state import TrialState

VALIDATION_IMAGES_PER_TRAIN_IMAGE = 3
"""So many validation images cost as much as one training image, which needs a backward pass too."""


class BestTrial(NamedTuple):
    """A trial, an epoch of it (counted from 1) and the value of a metric in that epoch."""

    trial: int
    epoch: int
    value: float


class GroupBest(NamedTuple):
    """The best trial of a comparability group."""

    label: str
    """The parameters in which the groups differ; empty if there is one group."""
    best: BestTrial
    is_earlier: bool = False
    """Whether the trial is of an earlier sweep of the run."""


@dataclass(frozen=True)
class Progress:
    """The progress of a run at one moment."""

    counts: dict[TrialState, int]
    """Number of trials of the current sweep by state; states that no trial has are left out."""
    bests: list[GroupBest]
    """The best value of the metric so far, of all trials of the run, in each comparability group
    that has one."""
    groups: int
    """Number of comparability groups."""
    seconds_left: float | None
    """None if no epoch has been measured yet or nothing is left."""
    earlier_counts: dict[TrialState, int] = field(default_factory=dict)
    """Number of trials of earlier sweeps of the run by state."""
    to_come: int = 0
    """Number of trials that a search is still to suggest."""

    @property
    def best_is_earlier(self) -> bool:
        """Whether `best` is of an earlier sweep."""
        return self.best is not None and self.bests[0].is_earlier

    @property
    def earlier(self) -> int:
        """Number of trials of earlier sweeps of the run."""
        return sum(self.earlier_counts.values())

    @property
    def best(self) -> BestTrial | None:
        """The best value of the metric so far.

        None if no ranked trial has one, or if there are several comparability groups.
        """
        if self.groups > 1 or not self.bests:
            return None
        return self.bests[0].best

    @property
    def requested(self) -> int:
        """Number of trials of the current sweep."""
        known = sum(self.counts.values()) - self.counts.get(TrialState.WITHDRAWN, 0)
        return known + self.to_come

    @property
    def ended(self) -> int:
        """Number of trials in a final state."""
        return sum(count for state, count in self.counts.items() if state.is_final)


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """What `cae-sweep status` reports about a run."""

    run: str
    """Location of the run: a path or a URI."""
    title: str
    """Title of the sweep."""
    is_running: bool
    """Whether a process runs the sweep now."""
    metric: str
    mode: Mode
    """The metric by which trials are ranked."""
    progress: Progress
    """Progress of the current sweep, and the best trial of the run."""
    failures: dict[int, str]
    """Why trials failed, by their numbers."""
    restarts: dict[int, str] = field(default_factory=dict)
    """Which finished epochs had to be trained again, and why, by number of the trial."""
    undefined_trials: list[int] = field(default_factory=list)
    """Trials that are in no table: the lines of the journal that define them are damaged."""
    left_out: list[JsonObject] = field(default_factory=list)
    """Points of the search space that are impossible (`LeftOutPoints`)."""
    examined: int | None = None
    """How many points were examined."""
    session_end: str = ""
    """Why the newest session ended; empty while it runs and after it was killed."""

    @property
    def has_failures(self) -> bool:
        """Whether a requested trial failed (exit code 1)."""
        return any(state.is_failure for state in self.progress.counts)

    def to_json(self) -> JsonObject:
        """The values of `cae-sweep status --json`."""
        best = None
        if self.progress.best is not None:
            best = self.progress.best._asdict()
        values: JsonObject = {
            "run": self.run,
            "title": self.title,
            "running": self.is_running,
            "trials": self.progress.requested,
            "ended": self.progress.ended,
            "states": self.progress.counts,
            "earlier_trials": self.progress.earlier,
            "earlier_states": self.progress.earlier_counts,
            "metric": self.metric,
            "mode": self.mode,
            "best": best,
            "best_is_earlier": self.progress.best_is_earlier,
            "seconds_left": self.progress.seconds_left,
            "failures": self.failures,
            "restarts": self.restarts,
            "undefined_trials": self.undefined_trials,
        }
        if self.session_end:
            values["session_end"] = self.session_end
        if self.left_out:
            values["left_out"] = self.left_out
        if self.progress.groups > 1:  # `best` is None then
            values["groups"] = [
                {"group": group.label, **group.best._asdict()} for group in self.progress.bests
            ]
        return values


def run_status(run: RunDir) -> RunStatus:
    """The status of a run. Raises RunError if it has no readable sweep.json."""
    sweep = run.read_sweep()
    records_by_number = run.records()
    records = records_by_number.values()
    failures = {record.number: record.reason for record in records if record.state.is_failure}
    restarts = {record.number: restart_text(record) for record in records if record.lost_epochs}
    return RunStatus(
        run=str(run),
        title=sweep.title,
        is_running=run.in_use(),
        metric=sweep.metric,
        mode=sweep.mode,
        progress=progress(
            records, sweep.metric, sweep.mode, sweep.slots, sweep.trials_with_suggestions
        ),
        failures=failures,
        restarts=restarts,
        undefined_trials=run.undefined_trials(records_by_number),
        left_out=sweep.left_out,
        examined=sweep.examined,
        session_end=sweep.session_end,
    )


def restart_text(record: Record) -> str:
    """Which finished epochs of a trial had to be trained again, and why."""
    epochs = count_of(record.lost_epochs, "finished epoch")
    return f"{epochs} trained again because {record.restart_reason}"


def progress(
    records: Iterable[Record], metric: str, mode: Mode, slots: int, trials: int | None = None
) -> Progress:
    """The progress of a run.

    Args:
        records: All trials of the run.
        metric: The metric by which they are ranked.
        mode: Which values of the metric are better.
        slots: Number of trials that run at the same time.
        trials: Number of trials of the current sweep if a search suggests some of them while the
            sweep runs; None: all are known.
    """
    records = list(records)
    requested = [record for record in records if record.is_requested]
    earlier = [record for record in records if not record.is_requested]
    earlier_numbers = {record.number for record in earlier}
    groups = split_by_group(records)
    bests: list[GroupBest] = []
    for group in groups:
        best = _best_trial(group.records, metric, mode)
        if best is not None:
            bests.append(GroupBest(group.label, best, best.trial in earlier_numbers))
    to_come = 0
    if trials is not None:
        to_come = max(0, trials - len(requested))
    return Progress(
        counts=_count_states(requested),
        bests=bests,
        groups=len(groups),
        seconds_left=_seconds_left(requested, max(slots, 1), to_come),
        earlier_counts=_count_states(earlier),
        to_come=to_come,
    )


def _count_states(records: list[Record]) -> dict[TrialState, int]:
    """Number of trials by state, in the order in which states are listed to users."""
    counts = Counter(record.state for record in records)
    return {state: counts[state] for state in TrialState if counts[state]}


MAX_SHOWN_GROUPS = 3


def best_text(progress: Progress, metric: str) -> str:
    """The best value in one line, or those of the first comparability groups; may be empty."""
    if progress.best is not None:
        trial, epoch, value = progress.best
        return f"best {metric} {format_value(value)} (trial {trial}, epoch {epoch})"
    if not progress.bests:
        return ""
    parts: list[str] = []
    for group in progress.bests[:MAX_SHOWN_GROUPS]:
        best = group.best
        parts.append(f"{format_value(best.value)} at {group.label} (trial {best.trial})")
    if len(progress.bests) > MAX_SHOWN_GROUPS:
        parts.append("...")
    return f"best {metric} of each of {progress.groups} groups: {'; '.join(parts)}"


def _best_trial(records: list[Record], metric: str, mode: Mode) -> BestTrial | None:
    """The best value of a group's trials; of equal values that of the lowest number."""
    ranked: list[BestTrial] = []
    for record in records:
        best = record.best(metric, mode)
        if best is not None:
            ranked.append(BestTrial(record.number, best.epoch, best.value))
    sign = 1
    if mode == "max":
        sign = -1
    return min(ranked, key=lambda best: (sign * best.value, best.trial), default=None)


def _seconds_left(records: list[Record], slots: int, to_come: int) -> float | None:
    """Estimate the time until all remaining trials have ended.

    Trials that a search is still to suggest take as long as those that ended did on average.

    Each epoch takes as long as epochs of networks of its size took. A pending or waiting trial is
    expected to run for the mean share of its epochs that ended trials ran for: early stopping ends
    most trials before their last epoch.
    """
    times = measured(records)
    remaining = [record for record in records if record.state.is_remaining]
    if not times or not (remaining or to_come):
        return None
    seconds_of = line(times)
    share = _mean_share_of_epochs(records)
    seconds: list[float] = []
    for record in remaining:
        expected_epochs: float = record.config["epochs"]
        if record.state in (TrialState.PENDING, TrialState.WAITING):
            expected_epochs *= share
        done = len(record.epochs)
        epochs_left = max(expected_epochs, done + 1) - done
        seconds.append(epochs_left * seconds_of(work(record)))
    for _ in range(to_come):
        seconds.append(_mean_seconds(records))
    # At least as long as the longest trial: one trial does not run in two slots.
    return float(max(sum(seconds) / slots, *seconds))


def _mean_seconds(records: list[Record]) -> float:
    """The mean seconds of all epochs of the trials that have ended, or of all trials."""
    ended = [record for record in records if record.state.is_final]
    totals: list[float] = []
    for record in ended or records:
        totals.append(sum(row.get("seconds", 0.0) for row in record.epochs.values()))
    return statistics.fmean(totals)


def _mean_share_of_epochs(records: list[Record]) -> float:
    """The mean share of its epochs after which a trial finished or was stopped; 1 if none did."""
    ended = [record for record in records if record.state.is_successful]
    if not ended:
        return 1.0
    shares = [len(record.epochs) / record.config["epochs"] for record in ended]
    return statistics.fmean(shares)


def measured(records: Iterable[Record]) -> list[tuple[float, float]]:
    """The work of an epoch and its mean seconds, for each trial with a measured epoch."""
    times: list[tuple[float, float]] = []
    for record in records:
        seconds = record.mean("seconds")
        if seconds is not None:
            times.append((work(record), seconds))
    return times


def work(record: Record) -> float:
    """The work of an epoch, proportional to its floating-point operations."""
    megaflops = float(record.sizes.get("megaflops", 1))
    train_images = float(record.sizes.get("train_images", 1))
    val_images = float(record.sizes.get("val_images", 0))
    return megaflops * (train_images + val_images / VALIDATION_IMAGES_PER_TRAIN_IMAGE)


def predict(measured: list[tuple[float, float]], work: float) -> float:
    """Estimated seconds of an epoch with this work, from pairs of work and seconds."""
    return line(measured)(work)


def line(measured: list[tuple[float, float]]) -> Callable[[float], float]:
    """Fit seconds as a function of work to pairs of work and seconds.

    A line by least squares, at least half of the smallest measured time. With fewer than three
    different values of work: proportional to work.
    """
    works = [pair[0] for pair in measured]
    seconds = [pair[1] for pair in measured]
    min_seconds = min(seconds)
    mean_seconds = statistics.fmean(seconds)
    mean_work = statistics.fmean(works)
    if len(set(works)) < 3:
        return lambda work: mean_seconds * (work / mean_work if mean_work else 1)
    slope, intercept = statistics.linear_regression(works, seconds)
    return lambda work: max(intercept + slope * work, min_seconds / 2)
