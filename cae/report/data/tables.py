"""trials.csv and epochs.csv: all that a run's journal says, as two tables. No trial is left out, whatever its state.

    trials    one row per trial. The bare name of a metric is its value at the best epoch, `last_` its value at the last epoch,
              `test_` what was measured at the end on the best checkpoint
    epochs    one row per (trial, epoch), the epochs counted from 1

The best epoch is that of the sweep's own metric and mode. A trial whose state keeps it out of the ranking (diverged, failed,
out of memory) has no best epoch, and its bare metrics are empty. Columns come from looping over the configurations and metrics
in the journal; none is listed by name.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cae.errors import RunError
from cae.files import write_whole
from cae.report import formatting
from cae.run.events import Event, SessionStarted
from cae.run.paths import RunDir
from cae.run.records import Record, replay
from cae.run.sweep_json import SweepDescription

KEY = ["run", "trial"]
"""What identifies a trial: runs that are joined share trial numbers."""


@dataclass
class Session:
    """One `run` command: the event that started it, and the time of its last event."""

    start: SessionStarted
    end_time: float


@dataclass(frozen=True)
class Run:
    """One run as it was read: its folder, sweep.json, trials and sessions. `name` is unique among runs that are joined."""

    folder: RunDir
    name: str
    sweep: SweepDescription
    records: dict[int, Record]
    sessions: list[Session]
    running: bool


@dataclass(frozen=True, eq=False)
class Results:
    """One run, or several joined: what every section of the page is computed from. Nobody changes it, so what is dear to compute
    from it is kept."""

    runs: list[Run]
    metric: str
    mode: str
    trials: pd.DataFrame
    epochs: pd.DataFrame
    axes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The keys of the space, in the order of the sweep file: {"values": [...] | None, "scale": "linear" | "log" | "category"}."""

    @property
    def sweep(self) -> SweepDescription:
        return self.runs[0].sweep

    @property
    def joined(self) -> bool:
        return len(self.runs) > 1

    def record(self, run: str, trial: int) -> Record:
        return next(item.records[trial] for item in self.runs if item.name == run)

    def folder(self, run: str) -> RunDir:
        return next(item.folder for item in self.runs if item.name == run)

    @functools.cached_property
    def labels(self) -> pd.Series[str]:
        """What the page calls each trial: "trial 7", or "trial 7 of cifar_grid" among joined runs."""
        names = "trial " + self.trials["trial"].astype(str)
        return names + " of " + self.trials["run"].astype(str) if self.joined else names

    def mates(self, found: pd.Index[Any]) -> pd.Index[Any]:
        """Of the trials found, those that differ from the first one in their seeds only; the first one among them."""
        groups = self.configurations.loc[found]
        return found[groups == groups.iloc[0]] if len(found) else found

    @functools.cached_property
    def values(self) -> pd.Series[float]:
        """The sweep's metric at each trial's best epoch; NaN where there is none, it is not finite, or only others need the trial."""
        if self.metric not in self.trials:
            return pd.Series(np.nan, index=self.trials.index, dtype=float)
        values = pd.to_numeric(self.trials[self.metric], errors="coerce").astype(float)
        needed = [record.is_dependency for run in self.runs for record in run.records.values()]
        return values.where(np.isfinite(values) & ~np.array(needed, dtype=bool))

    @functools.cached_property
    def counted(self) -> pd.Series[bool]:
        """Whether the sweep itself asks for a trial, and not only another trial."""
        records = [record for run in self.runs for record in run.records.values()]
        return pd.Series(
            [record.is_requested and not record.is_dependency for record in records],
            index=self.trials.index,
            dtype=bool,
        )

    @functools.cached_property
    def ranked(self) -> pd.DataFrame:
        """Trials that may be the best one, the best first; of equals the one with the lower number."""
        order = self.values.dropna().sort_values(ascending=self.mode == "min", kind="stable")
        return self.trials.loc[order.index]

    @functools.cached_property
    def configurations(self) -> pd.Series[str]:
        """A text per trial, equal for trials that differ only in their seed."""
        texts = [
            repr(
                (
                    run.name,
                    sorted(
                        (name, str(value))
                        for name, value in record.config.items()
                        if name != "seed"
                    ),
                )
            )
            for run in self.runs
            for record in run.records.values()
        ]
        return pd.Series(texts, index=self.trials.index, dtype=object)


def read(folders: Iterable[RunDir]) -> Results:
    """The tables of one run, or of several joined. Raises RunError where a folder is no run, or the runs rank by other metrics."""
    folders = list(folders)
    runs = [_read_run(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    if not runs:
        raise RunError("there is no run to report on")
    rules = {(str(run.sweep.metric), str(run.sweep.mode)) for run in runs}
    if len(rules) > 1:
        named = ", ".join(f"{run.name} by {run.sweep.metric} ({run.sweep.mode})" for run in runs)
        raise RunError(
            f"these runs rank their trials by different metrics and cannot be joined: {named}"
        )
    metric, mode = rules.pop()
    axes: dict[str, dict[str, Any]] = {}
    for run in runs:
        axes |= {name: axis for name, axis in _axes(run).items() if name not in axes}
    return Results(runs, metric, mode, _trials(runs, metric, mode), _epochs(runs), axes)


def write(results: Results, folder: RunDir) -> None:
    """Writes both tables, each whole or absent. One run needs no column that names it."""
    for frame, path in ((results.trials, folder.trials_csv), (results.epochs, folder.epochs_csv)):
        write_whole(path, csv_text(results, frame))


def csv_text(results: Results, frame: pd.DataFrame) -> str:
    return (frame if results.joined else frame.drop(columns="run")).to_csv(
        index=False, lineterminator="\n"
    )


def cell(value: Any) -> Any:
    """A value of a configuration as one cell: tuples as "16-32", mappings as JSON."""
    if isinstance(value, list | tuple):
        return "-".join(str(cell(item)) for item in value)
    return json.dumps(value, sort_keys=True) if isinstance(value, Mapping) else value


def typed(value: Any) -> str:
    """A value of a configuration as people type it."""
    return formatting.parameter(cell(value))


def _read_run(folder: RunDir, name: str) -> Run:
    sweep = folder.read_sweep()
    running = folder.in_use()
    sessions: list[Session] = []

    def collect_sessions() -> Iterator[Event]:
        """Collect the sessions while the journal is replayed, so that it is read once."""
        for event in folder.events():
            if isinstance(event, SessionStarted):
                sessions.append(Session(event, event.time))
            if sessions:
                sessions[-1].end_time = event.time
            yield event

    return Run(
        folder, name, sweep, replay(collect_sessions(), is_running=running), sessions, running
    )


def _names(folders: list[RunDir]) -> list[str]:
    """A unique name per run: the folder's, with its parent's where two are equal."""
    names = [folder.name for folder in folders]
    if len(set(names)) == len(names):
        return names
    return [
        f"{folder.path.resolve().parent.name}/{name}"
        for folder, name in zip(folders, names, strict=True)
    ]


def _axes(run: Run) -> dict[str, dict[str, Any]]:
    """The space of sweep.json; for an old file without one, the keys that the trials themselves name."""
    if run.sweep.axes:
        return dict(run.sweep.axes)
    return {name: {} for record in run.records.values() for name in record.axes}


def _trials(runs: list[Run], metric: str, mode: str) -> pd.DataFrame:
    rows = [
        _row(run.name, record, metric, mode) | _needed_by(run, record)
        for run in runs
        for record in run.records.values()
    ]
    groups = (
        "what",
        "need",
        "axes",
        "best",
        "done",
        "test",
        "last",
        "sizes",
        "config",
        "where",
        "end",
    )
    columns = dict.fromkeys(name for group in groups for row in rows for name in row[group])
    flat = [
        {name: value for group in reversed(groups) for name, value in row[group].items()}
        for row in rows
    ]
    return pd.DataFrame(
        {
            name: column([row.get(name) for row in flat])
            for name in columns or [*KEY, "state", "reason"]
        }
    )


def _row(run: str, record: Record, metric: str, mode: str) -> dict[str, dict[str, Any]]:
    """One trial, by groups of columns. Where two groups share a name, the earlier one stands."""
    end, starts, last = record.end, record.starts, max(record.epochs, default=None)
    best = best_epoch(record, metric, mode)
    seconds = [
        row["seconds"]
        for row in record.epochs.values()
        if math.isfinite(row.get("seconds", math.nan))
    ]
    error = record.error.strip()
    return {
        "what": {"run": run, "trial": record.number, "state": record.state},
        "axes": {name: cell(record.config.get(name, value)) for name, value in record.axes.items()},
        "best": {
            name: value
            for name, value in record.epochs.get(best or 0, {}).items()
            if name != "seconds"
        },
        "done": {
            "best_epoch": best,
            "epochs_done": len(record.epochs),
            "seconds": sum(seconds) if seconds else None,
        },
        "test": dict(record.final_metrics),
        "last": {f"last_{name}": value for name, value in record.epochs.get(last or 0, {}).items()},
        "sizes": {name: cell(value) for name, value in record.sizes.items()},
        "config": {name: cell(value) for name, value in record.config.items()},
        "where": {
            "started": utc([starts[0].time])[0] if starts else None,
            "ended": utc([end.time])[0] if end else None,
            "host": (starts[-1].host or None) if starts else None,
            "device": (starts[-1].device or None) if starts else None,
            "attempts": len(starts),
        },
        "end": {
            "rung": math.nan if end is None or end.rung is None else end.rung,
            "value": math.nan if end is None or end.value is None else end.value,
            "cutoff": math.nan if end is None or end.cutoff is None else end.cutoff,
            "reason": None if end is None else end.reason,
            "error": error.splitlines()[-1].strip() if error else None,
            "hash": record.hash,
        },
    }


def _needed_by(run: Run, record: Record) -> dict[str, dict[str, Any]]:
    """Which trials can begin only once this one is finished; a column where there are such."""
    if not any(other.dependencies for other in run.records.values()):
        return {"need": {}}
    others = [
        str(other.number)
        for other in run.records.values()
        if record.number in other.dependencies.values()
    ]
    return {"need": {"needed_by": ", ".join(others) or None}}


def best_epoch(record: Record, metric: str, mode: str) -> int | None:
    """The best epoch by the sweep's metric; for a trial that does not measure it (one that others need), the epoch its end names."""
    best = record.best(metric, mode)
    if best:
        return best[0]
    if record.end is None or not record.state.is_ranked or not record.is_requested:
        return None
    return record.end.best_epoch


def _epochs(runs: list[Run]) -> pd.DataFrame:
    entries = [
        (run.name, record, epoch)
        for run in runs
        for record in run.records.values()
        for epoch in sorted(record.epochs)
    ]
    rows = [record.epochs[epoch] for _, record, epoch in entries]
    metrics = dict.fromkeys(name for row in rows for name in row)
    frame = {
        "run": pd.Series([name for name, _, _ in entries], dtype=object),
        "trial": np.array([record.number for _, record, _ in entries], dtype=np.int64),
        "epoch": np.array([epoch for _, _, epoch in entries], dtype=np.int64),
        **{
            name: np.array([row.get(name, math.nan) for row in rows], dtype=float)
            for name in metrics
            if name not in ("trial", "epoch")
        },
        "ended": pd.Series(
            utc([record.epoch_times[epoch] for _, record, epoch in entries]), dtype=object
        ),
    }
    return pd.DataFrame(frame)


def utc(times: list[float]) -> list[str]:
    """Seconds since the epoch as ISO 8601 in UTC, to the second."""
    whole = np.floor(np.array(times, dtype=float)).astype("datetime64[s]")
    return [str(text) for text in np.datetime_as_string(whole, timezone="UTC")]


def column(values: list[Any]) -> pd.Series[Any]:
    """A column that keeps what it was given: whole numbers stay whole beside missing ones, mixed values stay apart."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} and all(value is None or abs(value) < 2**63 for value in values):
        return pd.Series(values, dtype="Int64" if None in values else "int64")
    if kinds and kinds <= {int, float}:
        return pd.Series(values, dtype=float) if float in kinds else pd.Series(values, dtype=object)
    return pd.Series(values, dtype=object)
