"""A run's folder: every file name, and the journal that all else derives from. Standard library only.

    sweep.json        what was asked: the resolved sweep, versions, git commit, device, command
    journal.jsonl     what happened: one JSON object a line, appended and flushed per event, one writer at a time
    trials.csv  epochs.csv  verdicts.json  report.html      derived from the two above, at any time
    trials/0007/      best.safetensors  last.safetensors  previous.safetensors  samples.npz  galleries.npz  log.txt
    control/          requests to the process that runs the sweep: `stop`, `kill-0007`

Events of the journal; `time` is seconds since the epoch (UTC), and stands in every event:

    session   asked: [numbers], command, host, pid, versions, slots, cpus, gpus     a `run` begins
    trial     trial, hash, config: {dotted: value}, axes: {key of the space: value}, sizes: {parameters, ...}; where they
              apply, needs: {parameter: number of the trial that runs first}, needed: true (only others ask for it),
              audit: true (the scheduler lets it run on, to see what stopping costs)
    start     trial, epoch (epochs already done)                                   a worker takes the trial
    epoch     trial, epoch, metrics: {train_loss, val_loss, lr, seconds, ...}; after a start also host, device, worker, gpu_ids
    end       trial, state, reason (a sentence); and, where they apply, best_epoch, metrics (test_...), tables,
              rung, value, cutoff, error (traceback); tables: {name: [row, ...]}
    spared    trial, reason, rung, value, cutoff, seen      the scheduler would have stopped it, and it is of the audit
    alone     trial, reason         it ran out of memory beside others, and is tried once more by itself
    retry     trial, epoch (what it keeps; 0: it begins anew)                       an ended trial is asked for again
    close     reason: complete | interrupted | ...                                  a `run` ends

A number that JSON cannot hold is written as the string "NaN", "Infinity" or "-Infinity" and read back as a float.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import re
import shutil
import socket
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cae.errors import UserError
from cae.files import uncollected, write_whole
from cae.run.events import FINAL_STATES, PUBLISHED, SWEEP, finite, is_event, numbers

STATES = (
    "finished",
    "stopped",
    "diverged",
    "failed",
    "oom",
    "killed",
    "running",
    "interrupted",
    "pending",
    "withdrawn",
)
"""Every state of a trial, in the order in which they are told."""

RANKED_STATES = ("finished", "stopped", "running", "interrupted", "killed")
"""States whose trials may be the best one: each holds a whole checkpoint of a network that learnt."""

PLACE = ("host", "device", "worker", "gpu_ids")
"""Where a trial runs: host, device in words, process, and the numbers that Ray gave it of that host's GPUs (where it asked for some)."""

HIGHER_IS_BETTER = (
    "psnr",
    "ssim",
    "accuracy",
    "f1",
    "auc",
    "elbo",
    "recall",
    "precision",
    "second",
)
LOWER_IS_BETTER = ("loss", "error", "mse", "mae", "bce", "rmse", "l1", "l2", "kl", "fid", "seconds")
"""Words in the names of metrics (the last of the first list is `images_per_second`'s); of its own metric, a sweep tells the mode."""

__all__ = [
    "FINAL_STATES",
    "MEND",
    "PUBLISHED",
    "RANKED_STATES",
    "STATES",
    "Journal",
    "Record",
    "RunDir",
    "RunError",
    "apply",
    "direction",
    "find_run",
    "find_runs",
    "fold",
    "numbers",
    "write_whole",
]

MEND = "what is finished is in the checkpoints; mend it, and the same command goes on"


class RunError(UserError):
    """Something about a run's folder that its user has to know and can mend."""


class RunDir:
    """The files of one run. Building it touches nothing on the disk."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.sweep_json = self.path / "sweep.json"
        self.journal = self.path / "journal.jsonl"
        self.lock_file = self.path / "run.lock"
        self.trials_csv = self.path / "trials.csv"
        self.epochs_csv = self.path / "epochs.csv"
        self.report_html = self.path / "report.html"
        self.verdicts_json = self.path / "verdicts.json"
        self.control = self.path / "control"
        self.stop_request = self.control / "stop"
        self.trouble = ""
        """Why its files can no longer be kept, in words, where that is so."""

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def trial(self, number: int) -> Path:
        return self.path / "trials" / f"{number:04d}"

    def place(self, number: int | None = None) -> str:
        """Where a worker, on whatever host, finds the run, or a trial's folder in it: a path or an address."""
        return str((self.path if number is None else self.trial(number)).resolve())

    def drop(self, number: int, *names: str) -> None:
        """Deletes files of a trial."""
        for name in names:
            (self.trial(number) / name).unlink(missing_ok=True)

    def forget(self, number: int) -> None:
        """Deletes a trial's folder."""
        shutil.rmtree(self.trial(number), ignore_errors=True)

    def refresh(self) -> None:
        """Brings what was asked and what happened to where this process can read them: here they are."""

    def fetch(self, *names: str, number: int | None = None) -> None:
        """Brings files of that name, of one trial or of all, to where this process can read them: here they are."""

    def publish(self, *paths: Path) -> None:
        """Puts files of the run where others can read them: here they are."""

    def request(self, name: str) -> None:
        """Asks the process that runs the sweep for something: `stop`, `kill-0007`."""
        write_whole(self.control / name, "")

    def kill_request(self, number: int) -> Path:
        return self.control / f"kill-{number:04d}"

    def kill_requests(self) -> list[int]:
        """The trials whose end is asked for."""
        return [
            int(path.name.removeprefix("kill-"))
            for path in self.control.glob("kill-*")
            if path.name[5:].isdecimal()
        ]

    def clear_requests(self) -> None:
        """Forgets what was asked of a process that is no more."""
        for path in self.control.glob("*"):
            path.unlink(missing_ok=True)

    def read_sweep(self) -> dict[str, Any]:
        """The resolved sweep of this run. Raises RunError where there is none."""
        try:
            sweep = json.loads(self.sweep_json.read_text())
        except FileNotFoundError:
            raise RunError(f"{self} is not a run: it has no {self.sweep_json.name}") from None
        except (OSError, ValueError) as error:
            raise RunError(f"{self.sweep_json} cannot be read: {error}") from None
        if not isinstance(sweep, dict):
            raise RunError(f"{self.sweep_json} cannot be read: it should hold one JSON object")
        for name, (right, rule) in SWEEP.items():
            if name in sweep and sweep[name] is not None and not right(sweep[name]):
                raise RunError(f"{self.sweep_json} cannot be read: {name} should be {rule}")
        return sweep

    def events(self, *, epochs: Collection[int] | None = None) -> Iterator[dict[str, Any]]:
        """Whole events in their order. A line that is torn (the process died while writing it), or that says what no event
        says, is passed over. `epochs`: only events of these epochs, so that most lines need not be understood."""
        if not self.journal.exists():
            return
        named = re.compile(
            rb'"epoch"\s*:\s*(?:%s)\b' % b"|".join(b"%d" % epoch for epoch in epochs or (0,))
        )
        decode = json.JSONDecoder().raw_decode
        with self.journal.open("rb") as lines:
            for line in lines:
                if epochs is not None and not named.search(line):
                    continue
                try:
                    text = line.decode().strip()
                    event, end = decode(text)
                except (ValueError, RecursionError):
                    continue
                if end == len(text) and is_event(event):
                    yield event

    def records(self) -> dict[int, Record]:
        """What the journal says of each trial, by its number."""
        with uncollected():
            return fold(self.events(), running=self.in_use())

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process; the lock goes with the process, however it ends. Raises RunError if taken."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.lock_file.open("a+") as holder:
            if not _take(holder, patience_s=0.2):  # `status` holds it for a moment
                mend = f"stop it with `cae-sweep stop {self.path}`, or choose another --out"
                raise RunError(f"{self} is in use by {_owner(holder)}: {mend}")
            holder.truncate(0)
            holder.write(f"process {os.getpid()} on {socket.gethostname()}")
            holder.flush()
            yield

    def in_use(self) -> bool:
        """Whether a process is running this sweep now."""
        try:
            with self.lock_file.open("r") as holder:
                return not _take(holder, fcntl.LOCK_SH)
        except OSError:
            return False


def _take(holder: IO[str], kind: int = fcntl.LOCK_EX, patience_s: float = 0.0) -> bool:
    try:
        fcntl.flock(holder, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        if not patience_s:
            return False
        time.sleep(patience_s)
        return _take(holder, kind)
    return True


def _owner(holder: IO[str]) -> str:
    holder.seek(0)
    return holder.read().strip() or "another process"


class Journal:
    """Appends events to a run's journal. Hold the run's lock while one is open."""

    def __init__(self, run: RunDir) -> None:
        self._file = run.journal.open("ab+")
        self._file.seek(0, os.SEEK_END)
        if self._file.tell():
            self._file.seek(-1, os.SEEK_END)
            if (
                self._file.read(1) != b"\n"
            ):  # torn by the process before us: close that line, so that ours stays whole
                self._file.write(b"\n")

    def append(self, event: str, **fields: Any) -> dict[str, Any]:
        line = {"event": event, "time": round(time.time(), 3), **finite(fields)}
        try:
            self._file.write(
                json.dumps(line, allow_nan=False, separators=(",", ":")).encode() + b"\n"
            )
            self._file.flush()
            if event in ("end", "close"):  # what took long to earn survives a power cut too
                os.fsync(self._file.fileno())
        except OSError as error:
            raise RunError(
                f"{self._file.name} cannot be written ({error.strerror}): {MEND}"
            ) from error
        return line

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of a disk that is full, which `append` has told
            self._file.close()


def direction(metric: str) -> str | None:
    """Whether more ("max") or less ("min") of a metric is better, by the words in its name; None where they do not tell."""
    words = metric.split("_")
    if any(word in HIGHER_IS_BETTER for word in words):
        return "max"
    return "min" if any(word in LOWER_IS_BETTER for word in words) else None


@dataclass
class Record:
    """All that the journal says of one trial."""

    number: int
    hash: str
    config: dict[str, Any]
    axes: dict[str, Any]
    sizes: dict[str, Any]
    state: str = "pending"
    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    """Metrics by epoch, counted from 1. The first report of an epoch stands; a repeated one changes nothing."""
    epoch_times: dict[int, float] = field(default_factory=dict)
    starts: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] = field(default_factory=dict)
    asked: bool = True
    """Whether the newest `run` asked for this trial: a space that was edited no longer asks for some."""

    dependencies: dict[str, int] = field(default_factory=dict)
    """The trials that have to be finished before this one begins, by the parameter that names them."""
    audit: bool = False
    """Whether it was drawn to run on whatever the scheduler says."""
    spared: dict[str, Any] = field(default_factory=dict)
    """Why the scheduler would have stopped it."""
    is_dependency: bool = False
    """Whether only other trials ask for this one: it is shown, and not ranked."""
    found: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False, compare=False)
    """What was found in the epochs, until they change: of ten thousand trials few change between two looks."""

    @property
    def done(self) -> int:
        """The last epoch that is finished; 0 where none is."""
        return max(self.epochs, default=0)

    def best(self, metric: str, mode: str) -> tuple[int, float] | None:
        """Epoch and value of the best finite value of `metric`; the earliest of equals. None where there is none,
        or where the trial's state keeps it out of the ranking, or where nobody asks for it any more: its settings may be
        other ones than those the sweep has now; or where only other trials need it."""
        if not self.asked or self.is_dependency or self.state not in RANKED_STATES:
            return None
        if (metric, mode) not in self.found:
            values = [
                (epoch, row[metric])
                for epoch, row in sorted(self.epochs.items())
                if math.isfinite(row.get(metric, math.nan))
            ]
            self.found[metric, mode] = min(
                values, key=lambda pair: pair[1] if mode == "min" else -pair[1], default=None
            )
        best: tuple[int, float] | None = self.found[metric, mode]
        return best

    def mean(self, metric: str) -> float | None:
        """Of a metric over all epochs in which it is finite."""
        if (metric, "mean") not in self.found:
            values = [
                row[metric]
                for row in self.epochs.values()
                if math.isfinite(row.get(metric, math.nan))
            ]
            self.found[metric, "mean"] = sum(values) / len(values) if values else None
        mean: float | None = self.found[metric, "mean"]
        return mean


def fold(events: Iterable[dict[str, Any]], *, running: bool) -> dict[int, Record]:
    """Replays a journal. `running` tells whether its writer still lives: a trial that started and did not end is
    `running` then, and `interrupted` otherwise."""
    records: dict[int, Record] = {}
    for event in events:
        apply(records, event)
    if not running:
        for record in records.values():
            if record.state == "running":
                record.state = "interrupted"
    for record in records.values():
        if record.state in ("pending", "interrupted") and not record.asked:
            record.state = "withdrawn"
    return dict(sorted(records.items()))


def apply(records: dict[int, Record], event: dict[str, Any]) -> None:
    """Enters one event into the records that all events before it made."""
    kind = event["event"]
    if kind == "epoch":  # of 50 events 49 are these
        if record := records.get(event["trial"]):
            _apply_epoch(record, event)
    elif kind in ("session", "close"):
        asked = set(event["asked"]) if kind == "session" else None
        for record in records.values():
            record.asked = record.asked if asked is None else record.number in asked
            if record.state in (
                "running",
                "withdrawn",
            ):  # what the process before had begun, it left
                record.state = "interrupted" if record.starts else "pending"
    elif kind == "trial":
        known = records.get(event["trial"])
        record = Record(
            event["trial"], event["hash"], event["config"], event["axes"], event["sizes"]
        )
        record.dependencies, record.is_dependency = (
            event.get("needs", {}),
            event.get("needed", False),
        )
        record.audit = event.get("audit", False)
        if known and known.hash == record.hash:  # asked for by others only before, or now
            known.dependencies, known.is_dependency, known.audit, record = (
                record.dependencies,
                record.is_dependency,
                record.audit,
                known,
            )
        elif known:  # the same trial, asked to go on for more epochs
            record.epochs, record.epoch_times, record.starts = (
                known.epochs,
                known.epoch_times,
                known.starts,
            )
            record.spared = known.spared
            record.state, record.end = (
                ("interrupted", {}) if known.state == "finished" else (known.state, known.end)
            )
        records[record.number] = record
    elif kind in ("start", "end", "retry", "spared") and event["trial"] in records:
        record = records[event["trial"]]
        if kind == "start":
            record.state, record.end = "running", {}
            record.starts.append(dict(event))  # its own: the first epoch adds its place to it
        elif kind == "spared":
            record.spared = event
        elif kind == "retry":
            record.state, record.end = "interrupted", {}
            record.found.clear()
            for epoch in [epoch for epoch in record.epochs if epoch > event["epoch"]]:
                del record.epochs[epoch], record.epoch_times[epoch]
        else:
            record.state, record.end = event["state"], event


def _apply_epoch(record: Record, event: dict[str, Any]) -> None:
    epoch = event["epoch"]
    if epoch not in record.epochs:
        record.epochs[epoch] = numbers(event["metrics"])
        record.epoch_times[epoch] = event["time"]
        record.found.clear()
    if "host" in event and record.starts:  # the worker says where it is with its first epoch
        record.starts[-1] |= {key: event[key] for key in PLACE if key in event}


def find_run(path: Path | None, root: Path) -> RunDir:
    """The run that a user means: a folder, a name under `root`, or the newest. Raises RunError with those there are."""
    runs = find_runs(root)
    if path is None:
        if not runs:
            raise RunError(f"there is no run under {root}/ yet: begin with `cae-sweep run SWEEP`")
        return runs[-1]
    found = next(
        (RunDir(place) for place in (path, root / path) if RunDir(place).sweep_json.exists()), None
    )
    if not found:
        raise RunError(
            f"{path} is not a run; there are {', '.join(run.name for run in runs) or f'none under {root}/'}"
        )
    return found


def find_runs(root: Path) -> list[RunDir]:
    """Runs under a folder, the newest last (by the last write to their journals)."""
    runs = [RunDir(path.parent) for path in root.glob("*/sweep.json")] if root.is_dir() else []
    return sorted(
        runs, key=lambda run: run.journal.stat().st_mtime if run.journal.exists() else 0.0
    )
