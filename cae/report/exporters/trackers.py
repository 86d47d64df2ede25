"""Experiment trackers: what they have in common, the trials as they record them, and the folder.

Every trial is one run of the tracker, with its whole configuration, the metrics of every epoch and
those of its final evaluation.
"""

from __future__ import annotations

import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cae.errors import RunError
from cae.report.data.cells import to_cell
from cae.report.data.results import Results
from cae.run.paths import RunDir
from cae.run.records import Record

MARK = ".written-by-cae-sweep"
"""Name of an empty file in folders that an export may replace."""


class Measurement(NamedTuple):
    """Metrics of one epoch, or of the final evaluation."""

    epoch: int
    time: float
    """Seconds since the epoch (UTC)."""
    metrics: dict[str, float]
    """Finite values only: the trackers cannot plot others."""
    is_final: bool = False
    """Whether they are those of the final evaluation."""


class Tracker(ABC):
    """An experiment tracker that is open for writing, by its own library.

    Its methods are called by one thread. They may raise any exception of the library.
    """

    @abstractmethod
    def start(self, record: Record) -> None:
        """Create the run of a trial, or open it again; its configuration is recorded."""

    @abstractmethod
    def log(self, record: Record, measurements: Iterable[Measurement]) -> None:
        """Record metrics of a trial that was started. The same ones may be recorded again."""

    @abstractmethod
    def end(self, record: Record) -> None:
        """Close the run of a trial, with the trial's state."""

    @abstractmethod
    def close(self) -> None:
        """Write everything to the disk or the server."""

    def write(self, record: Record) -> None:
        """Record all that is known about a trial."""
        self.start(record)
        self.log(record, measurements(record))
        self.end(record)


def prepare_folder(run: RunDir, tracker: str, out: Path | None) -> Path:
    """Create an empty folder for an export: `out`, or a subfolder of the run with its name.

    A folder of an earlier export is replaced. Raises RunError if it contains other files, or if the
    subfolder of the run is a link: a run of others could name a folder outside.
    """
    folder = run.path / tracker
    if out is not None:
        folder = out.resolve()
    else:
        _check_no_link(folder)
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is not a folder; choose another one with -o")
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise RunError(f"{folder}: contains other files; choose another folder with -o")
    shutil.rmtree(folder, ignore_errors=True)
    open_folder(folder)
    return folder


def open_folder(folder: Path) -> None:
    """Create a folder for a tracker, or use it again. Raises RunError if it is a link."""
    _check_no_link(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def _check_no_link(folder: Path) -> None:
    if folder.is_symlink():
        raise RunError(f"{folder}: is a link; delete it, or choose another folder with -o")


@contextmanager
def report_missing_library(tracker: str) -> Iterator[None]:
    """Convert the ImportError of a library that is not installed to a RunError."""
    try:
        yield
    except ImportError as error:
        raise RunError(
            f"--to {tracker}: the library {error.name} is not installed; "
            "run pip install 'cae-sweep[export]'"
        ) from None


def records(results: Results) -> Iterator[Record]:
    for run in results.runs:
        yield from run.records.values()


def settings(record: Record) -> dict[str, Any]:
    """Return the configuration, the axes and the sizes of a trial as single values.

    A configuration leaves out some defaults; what the search space sets is never missing, also if
    it is a default or None.
    """
    settings: dict[str, Any] = {}
    for name, value in {**record.axes, **record.config, **record.sizes}.items():
        if value is not None or name in record.axes:
            settings[name] = to_cell(value)
    return settings


def start_time(record: Record) -> float:
    """Return when a trial was first started; 0 if it never was."""
    if record.starts:
        return record.starts[0].time
    return 0.0


def measurements(record: Record) -> Iterator[Measurement]:
    """Yield the metrics of each epoch, then those of the final evaluation."""
    for epoch in sorted(record.epochs):
        yield measurement_of_epoch(record, epoch)
    yield from final_measurements(record)


def measurement_of_epoch(record: Record, epoch: int) -> Measurement:
    return Measurement(epoch, record.epoch_times[epoch], _finite(record.epochs[epoch]))


def final_measurements(record: Record) -> list[Measurement]:
    """Return the metrics of the final evaluation; empty without one."""
    if record.end is None or not record.final_metrics:
        return []
    metrics = _finite(record.final_metrics)
    return [Measurement(record.last_epoch, record.end.time, metrics, is_final=True)]


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
