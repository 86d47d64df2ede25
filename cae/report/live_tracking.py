"""Sends a sweep to an experiment tracker while it runs.

A thread writes, so that a slow server never delays the sweep. If the process dies, the same command
sends what is missing from the journal when it resumes the sweep.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cae.errors import RunError
from cae.report.exporters import trackers
from cae.report.exporters.mlflow import MlflowTracker, database_uri
from cae.report.exporters.tensorboard import TensorBoardTracker
from cae.report.exporters.wandb import WandbTracker
from cae.run.events import EpochFinished, Notice, TrialEnded, TrialStarted
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.storage.store import is_url

Watch = Callable[[Notice], None]
"""Called with each event of a running sweep, when it is stopped, and with None at intervals."""
TrackerName = Literal["mlflow", "wandb", "tensorboard"]
PATIENCE_SECONDS = 2.0
"""After this time at the end of the command, it prints what it waits for."""
FINISH_SECONDS = 300.0
"""How long the end of the command waits for the tracker."""
LIBRARIES = {
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "wandb": ("wandb",),
    "tensorboard": ("tensorboard",),
}
"""What each tracker imports; an MLflow server needs no database here."""
EXTRAS = {"mlflow": "export", "wandb": "wandb", "tensorboard": "export"}
"""The optional dependencies of this package that install it."""
MLFLOW_SERVER = "MLFLOW_TRACKING_URI"
"""Environment variable with the address of an MLflow server."""
MAX_CHARACTERS = 200
"""Of a printed error."""
MAX_PROBLEMS = 3
"""After so many errors in a row, nothing more is sent."""


def check_tracker(name: TrackerName, run: RunDir) -> None:
    """Raise RunError if the library of a tracker is not installed, or has no folder for files."""
    needed = LIBRARIES[name]
    needs_folder = name != "wandb"
    if name == "mlflow" and os.environ.get(MLFLOW_SERVER):
        needed = ("mlflow",)
        needs_folder = False
    for library in needed:
        if importlib.util.find_spec(library) is None:
            raise RunError(
                f"--track {name}: the library {library} is not installed; run pip install "
                f"'cae-sweep[{EXTRAS[name]}]'"
            )
    if needs_folder and is_url(run.location()):
        remedy = "use `cae-sweep export` afterwards"
        if name == "mlflow":
            remedy = f"set {MLFLOW_SERVER} to the address of a server, or {remedy}"
        raise RunError(f"--track {name}: a run in a bucket has no folder for its files; {remedy}")
    folder = run.path / name
    if (needs_folder or name == "wandb") and folder.exists() and not folder.is_dir():
        raise RunError(
            f"--track {name}: {folder} is a file: move it away, its name is that of the tracker's "
            "folder"
        )


def open_tracker(name: TrackerName, run: RunDir) -> trackers.Tracker:
    """Open a tracker for a run, by default in a subfolder of it.

    Raises RunError if the subfolder is a link, and any exception of the library.
    """
    folder = run.path / name
    server = os.environ.get(MLFLOW_SERVER)
    if name == "mlflow" and server:
        return MlflowTracker(server, run.name, run.location(), None)
    trackers.open_folder(folder)
    match name:
        case "mlflow":
            uri = database_uri(folder.resolve())
            return MlflowTracker(uri, run.name, run.location(), folder / "artifacts")
        case "tensorboard":
            return TensorBoardTracker(folder)
        case "wandb":
            return WandbTracker(run.path, run.name, run.location())


@dataclass(frozen=True)
class _Message:
    """New results of a trial that was started."""

    record: Record
    """The trial without its epochs, as it was when the message was made: the sweep changes its own
    records while the thread reads."""
    measurements: Sequence[trackers.Measurement] = ()
    is_end: bool = False


class LiveTracking:
    """Writes the events of a running sweep to a tracker.

    `start` first sends what is missing of earlier commands. The file tracked-NAME.txt of the run
    contains the trials that were sent completely, with the time of their end: "3 1764300000.123". A
    trial that was trained again afterwards has another one, and is sent again.
    """

    def __init__(self, name: TrackerName, run: RunDir, print_line: Callable[[str], None]) -> None:
        """Check that the tracker can be opened (`check_tracker`).

        Args:
            name: The tracker.
            run: The run.
            print_line: Prints a line for the user.
        """
        self._name = name
        self._print = print_line
        check_tracker(name, run)
        self._run = run
        self._notes = run.path / f"tracked-{name}.txt"
        read_sent(self._notes)  # before anything is trained
        self._records: Mapping[int, Record] = {}
        self._messages: queue.Queue[_Message | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True, name=f"track-{name}")
        self._has_started = False
        # Used by the thread:
        self._open: set[int] = set()
        """Trials that were started in the tracker."""
        self._incomplete: set[int] = set()
        """Trials of which a message was not sent."""
        self._problems = 0
        """Errors in a row."""
        self._lost = 0
        """Messages that were not sent."""

    def start(self, records: Mapping[int, Record]) -> None:
        """Send what is missing, and start to follow the events.

        Args:
            records: All trials of the run; kept up to date by the sweep.
        """
        self._records = records
        sent = read_sent(self._notes)
        for number, record in records.items():
            is_sent = record.end is not None and sent.get(number) == record.end.time
            if record.starts and not is_sent:
                measurements = list(trackers.measurements(record))
                self._put(record, measurements, is_end=record.state.is_final)
        self._has_started = True
        self._thread.start()

    def __call__(self, event: Notice) -> None:
        """Take an event, after it was applied to the records."""
        match event:
            case TrialStarted():
                self._put(self._records[event.trial])
            case EpochFinished():
                record = self._records[event.trial]
                measurement = trackers.measurement_of_epoch(record, event.epoch)
                self._put(record, [measurement])
            case TrialEnded():
                record = self._records[event.trial]
                measurements = trackers.final_measurements(record)
                self._put(record, measurements, is_end=True)
            case _:
                pass

    def _put(
        self,
        record: Record,
        measurements: Sequence[trackers.Measurement] = (),
        *,
        is_end: bool = False,
    ) -> None:
        copy = replace(record, epochs={}, epoch_times={}, starts=list(record.starts))
        self._messages.put(_Message(copy, measurements, is_end))

    def finish(self, records: Mapping[int, Record]) -> None:
        """Wait until everything is sent, and close the tracker.

        Args:
            records: As for `start`, which is called if it was not: nothing was left to train.
        """
        if not self._has_started:
            self.start(records)
        self.stop()

    def stop(self) -> None:
        """Like `finish`, but send nothing if the sweep did not start."""
        if not self._has_started:
            return
        self._messages.put(None)
        with contextlib.suppress(KeyboardInterrupt):  # it ends the wait, and not the command
            self._thread.join(PATIENCE_SECONDS)
            if self._thread.is_alive():
                self._print(
                    f"--track {self._name}: waiting until everything is sent, at most "
                    f"{FINISH_SECONDS:.0f} s; Ctrl-C ends the wait"
                )
                self._thread.join(FINISH_SECONDS)
        lost = self._lost
        if self._thread.is_alive():
            lost += self._messages.qsize()
        if lost:
            self._print(
                f"--track {self._name}: messages that were not sent: {lost}; the same command "
                "sends them again"
            )

    # In the thread

    def _work(self) -> None:
        tracker: trackers.Tracker | None = None
        with self._report_problems(None):
            tracker = open_tracker(self._name, self._run)
        while (message := self._messages.get()) is not None:
            if tracker is None or self._problems >= MAX_PROBLEMS:
                self._lost += 1
                continue
            with self._report_problems(message):
                self._send(tracker, message)
                self._problems = 0
        if tracker is not None:
            with self._report_problems(None):
                tracker.close()

    @contextlib.contextmanager
    def _report_problems(self, message: _Message | None) -> Iterator[None]:
        """Print an error of the library or the server, which does not end the sweep."""
        try:
            yield
        except Exception as error:
            if message is not None:
                self._lost += 1
                self._incomplete.add(message.record.number)
            self._problems += 1
            line = " ".join(str(error).split())[:MAX_CHARACTERS]
            self._print(f"--track {self._name}: {type(error).__name__}: {line}")
            if self._problems == MAX_PROBLEMS:
                self._print(f"--track {self._name}: nothing more is sent; the sweep continues")

    def _send(self, tracker: trackers.Tracker, message: _Message) -> None:
        record = message.record
        if record.number not in self._open:
            tracker.start(record)
            self._open.add(record.number)
        if message.measurements:
            tracker.log(record, message.measurements)
        if message.is_end:
            tracker.end(record)
            self._open.discard(record.number)
            if record.end is not None and record.number not in self._incomplete:
                _append(self._notes, f"{record.number} {record.end.time!r}")


@contextlib.contextmanager
def display_and_track(
    display: AbstractContextManager[Watch], tracking: LiveTracking, records: Mapping[int, Record]
) -> Iterator[Watch]:
    """Show a running sweep and track it."""
    tracking.start(records)
    with display as show:

        def watch(event: Notice) -> None:
            show(event)
            tracking(event)

        yield watch


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def read_sent(path: Path) -> dict[int, float]:
    """The trials that were sent completely, with the time of their end in seconds since the epoch.

    Lines that are incomplete or not of this form are ignored. Raises RunError if the file cannot be
    read.
    """
    sent: dict[int, float] = {}
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return sent
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}; delete it to send all") from None
    for line in text.splitlines(keepends=True):
        number, _, time = line.partition(" ")
        if not line.endswith("\n"):
            continue
        with contextlib.suppress(ValueError):
            sent[int(number)] = float(time)
    return sent
