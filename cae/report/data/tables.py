"""Reading runs, and writing trials.csv and epochs.csv.

    trials    one row per trial, whatever its state. A metric under its own name is the value at the
              best epoch, `last_` is the value at the last epoch, and `test_` was measured at the
              end with the best checkpoint
              `peak_host_bytes`, `peak_gpu_bytes` and `gpu_busy` (a share from 0 to 1) are what the
              trial used since it was started or resumed; without measurements they are missing
    epochs    one row per trial and epoch; epochs are counted from 1

The best epoch is by the metric and mode of the sweep. A trial whose state keeps it out of the
ranking (diverged, failed, out of memory) has no best epoch, and its metrics there are empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from cae.errors import RunError
from cae.files import write_whole
from cae.report.data.columns import epochs_table, trials_table
from cae.report.data.results import Results, Run, Session
from cae.run.events import (
    AuditStop,
    EpochFinished,
    Event,
    RetryAlone,
    SessionEnded,
    SessionStarted,
    TrialEnded,
    TrialStarted,
)
from cae.run.formatting import spreadsheet_text
from cae.run.metric_direction import Mode
from cae.run.paths import RunDir
from cae.run.records import replay

DURING_SESSIONS = (TrialStarted, EpochFinished, TrialEnded, AuditStop, RetryAlone, SessionEnded)
"""Events of a session. New trials and retries are recorded before the session that trains them
starts: perhaps days after the last one ended."""


def read(folders: Iterable[RunDir]) -> Results:
    """Read one run, or several to be joined.

    Raises RunError if a folder is not a run, or the runs rank their trials by different metrics.
    """
    runs = []
    # A run that is named twice, perhaps by a link, counts once.
    distinct = list({folder.location(): folder for folder in folders}.values())
    for folder, name in zip(distinct, _unique_names(distinct), strict=True):
        runs.append(_read_run(folder, name))
    if not runs:
        raise RunError("there is no run to report on")
    metric, mode = _common_metric(runs)
    axes: dict[str, dict[str, Any]] = {}
    for run in runs:
        for name, declaration in _axes(run).items():
            axes.setdefault(name, declaration)
    return Results(
        runs=runs,
        metric=metric,
        mode=mode,
        trials=trials_table(runs, metric, mode),
        epochs=epochs_table(runs),
        axes=axes,
    )


def write(results: Results, folder: RunDir) -> None:
    """Write both tables, each completely or not at all."""
    write_whole(folder.trials_csv, csv_text(results, results.trials))
    write_whole(folder.epochs_csv, csv_text(results, results.epochs))


def csv_text(results: Results, frame: pd.DataFrame) -> str:
    """Return a table as CSV; only joined runs have the column that names the run.

    A text that a spreadsheet would take for a formula starts with an apostrophe, as spreadsheets
    show text; control characters are shown.
    """
    if not results.joined:
        frame = frame.drop(columns="run")
    frame = frame.copy(deep=False)
    for name in frame.select_dtypes(exclude=["number", "bool"]):
        frame[name] = frame[name].map(_csv_cell)
    frame = frame.rename(columns=_csv_cell)
    return frame.to_csv(index=False, lineterminator="\n")


def _csv_cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    return spreadsheet_text(value)


def _read_run(folder: RunDir, name: str) -> Run:
    sweep = folder.read_sweep()
    running = folder.in_use()
    sessions: list[Session] = []

    def collect_sessions() -> Iterator[Event]:
        """Collect the sessions while the journal is replayed, so that it is read once."""
        for event in folder.events():
            if isinstance(event, SessionStarted):
                sessions.append(Session(event, event.time))
            elif sessions and isinstance(event, DURING_SESSIONS):
                sessions[-1].end_time = event.time
            yield event

    records = replay(collect_sessions(), is_running=running)
    return Run(folder, name, sweep, records, sessions, running)


def _unique_names(folders: list[RunDir]) -> list[str]:
    """Return the name of each folder, with those of its parents as far as they distinguish it."""
    paths = [folder.location().split("/") for folder in folders]
    for length in range(1, max(map(len, paths), default=1)):
        names = ["/".join(path[-length:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [folder.location() for folder in folders]


def _common_metric(runs: list[Run]) -> tuple[str, Mode]:
    """Return the metric and mode by which all runs rank their trials. Raises RunError."""
    rules = {(run.sweep.metric, run.sweep.mode) for run in runs}
    if len(rules) > 1:
        texts = [f"{run.name} by {run.sweep.metric} ({run.sweep.mode})" for run in runs]
        raise RunError(
            "these runs rank their trials by different metrics and cannot be joined: "
            f"{', '.join(texts)}"
        )
    return rules.pop()


def _axes(run: Run) -> dict[str, dict[str, Any]]:
    """Return the axes in sweep.json; for an old file without them, those that trials name."""
    if run.sweep.axes:
        return dict(run.sweep.axes)
    axes: dict[str, dict[str, Any]] = {}
    for record in run.records.values():
        for name in record.axes:
            axes[name] = {}
    return axes
