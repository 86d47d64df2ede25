"""MLflow: one run per trial on a tracking server or in a SQLite file, by MLflow's own library."""

from __future__ import annotations

import logging
import shlex
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path

from typing_extensions import override

from cae.errors import RunError
from cae.report.data import tables
from cae.report.exporters import trackers
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.trial_state import TrialState

STATUS = {
    TrialState.FINISHED: "FINISHED",
    TrialState.KILLED: "KILLED",
    TrialState.STOPPED: "KILLED",
    TrialState.INTERRUPTED: "KILLED",
    TrialState.WITHDRAWN: "KILLED",
    TrialState.RUNNING: "RUNNING",
    TrialState.WAITING: "SCHEDULED",
    TrialState.PENDING: "SCHEDULED",
}
"""MLflow's name of each state; all others are FAILED. The tag `state` has ours."""
TERMINATED = frozenset({"FINISHED", "FAILED", "KILLED"})
"""MLflow's names of states that have an end."""
KEY_TAG = "cae-sweep.trial"
"""Tag with the location of the run and the number of the trial."""
MAX_PARAMETERS = 100
"""Of one batch, limited by MLflow."""
MAX_METRICS = 1000
"""Of one batch, limited by MLflow."""
MAX_NAME = 240
MAX_VALUE = 6000
MAX_TAG = 5000
"""Characters, limited by MLflow: 250 in names, to which a number may be added."""
NOT_IN_URLS = frozenset("?#%")
"""Characters that end the path of a database's URL, or that are decoded in it."""


def write(run: RunDir, out: Path | None) -> str:
    """Write the trials as runs of one experiment into `out` (default: mlflow/ in the run's folder).

    Returns the command that shows them. Raises RunError if the folder contains other files, or
    MLflow is not installed.
    """
    results = tables.read([run])
    uri = database_uri((out or run.path / "mlflow").resolve())
    folder = trackers.prepare_folder(run, "mlflow", out)
    with trackers.report_missing_library("mlflow"):
        tracker = MlflowTracker(uri, results.runs[0].name, run.location(), folder / "artifacts")
        for record in trackers.records(results):
            tracker.write(record)
    return show_command(uri)


def database_uri(folder: Path) -> str:
    """The address of the SQLite file in a folder. Raises RunError if MLflow would not find it."""
    database = folder / "mlflow.db"
    special = sorted(set(str(database)) & NOT_IN_URLS)
    if special:
        raise RunError(
            f"{folder}: MLflow finds no folder whose path contains {' '.join(special)}; "
            "choose another one with -o"
        )
    return f"sqlite:///{database}"


def show_command(uri: str) -> str:
    """The command that shows the runs of a tracking folder."""
    return f"mlflow ui --backend-store-uri {shlex.quote(uri)}"


class MlflowTracker(trackers.Tracker):
    """Writes to a tracking server or folder of MLflow: one run per trial.

    The run of a trial is found again by a tag, so that a resumed sweep continues it. Parameters
    cannot be changed: if a trial was extended, the tag `epochs` has the new number.
    """

    def __init__(self, uri: str, experiment: str, location: str, artifacts: Path | None) -> None:
        """Open the experiment, or create it. Raises ImportError if MLflow is not installed.

        Args:
            uri: Address of the server or of the database.
            experiment: Name of the experiment.
            location: Of the run; part of the tag.
            artifacts: Folder of the experiment's files; None: chosen by the server.
        """
        from mlflow.tracking import MlflowClient

        # Otherwise it prints each step of the creation of its tables.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        self._client = MlflowClient(tracking_uri=uri)
        self._location = location
        self._run_ids: dict[int, str] = {}
        self._metric_names: dict[int, dict[str, None]] = {}
        """Ordered sets of the metrics of each trial."""
        known = self._client.get_experiment_by_name(experiment)
        if known is not None:
            self._experiment = known.experiment_id
        else:
            artifact_location = None
            if artifacts is not None:
                artifact_location = artifacts.resolve().as_uri()
            self._experiment = self._client.create_experiment(
                experiment, artifact_location=artifact_location
            )

    @override
    def start(self, record: Record) -> None:
        from mlflow.entities import Param

        key = f"{self._location}#{record.number}"
        known = self._client.search_runs(
            [self._experiment], f"tags.`{KEY_TAG}` = '{_quoted(key)}'", max_results=1
        )
        known_parameters: Mapping[str, str] = {}
        if known:
            known_parameters = known[0].data.params
            run_id = known[0].info.run_id
            self._client.update_run(run_id, status="RUNNING")
        else:
            run_id = self._client.create_run(
                self._experiment,
                start_time=_start_milliseconds(record),
                tags={KEY_TAG: _quoted(key)},
                run_name=f"trial {record.number}",
            ).info.run_id
        self._run_ids[record.number] = run_id
        settings = trackers.settings(record)
        valid_names = _valid_names(settings)
        parameters = []
        for name, value in settings.items():
            valid_name = valid_names[name]
            text = str(value)[:MAX_VALUE]
            if valid_name not in known_parameters:
                parameters.append(Param(valid_name, text))
            elif known_parameters[valid_name] != text:
                # Parameters cannot be changed, tags can: an extended trial has more epochs.
                self._client.set_tag(run_id, valid_name, text[:MAX_TAG])
        for first in range(0, len(parameters), MAX_PARAMETERS):
            self._client.log_batch(run_id, params=parameters[first : first + MAX_PARAMETERS])

    @override
    def log(self, record: Record, measurements: Iterable[trackers.Measurement]) -> None:
        from mlflow.entities import Metric

        measurements = list(measurements)
        names = self._metric_names.setdefault(record.number, {})
        for measurement in measurements:
            names |= dict.fromkeys(measurement.metrics)
        valid_names = _valid_names(names)
        metrics = []
        for epoch, time, values, _ in measurements:
            for name, value in values.items():
                metrics.append(Metric(valid_names[name], value, _milliseconds(time), epoch))
        run_id = self._run_ids[record.number]
        for first in range(0, len(metrics), MAX_METRICS):
            self._client.log_batch(run_id, metrics=metrics[first : first + MAX_METRICS])

    @override
    def end(self, record: Record) -> None:
        from mlflow.entities import RunTag

        run_id = self._run_ids.pop(record.number)
        tags = [
            RunTag("state", record.state),
            RunTag("hash", record.hash),
            RunTag("reason", record.reason[:MAX_TAG]),
        ]
        self._client.log_batch(run_id, tags=tags)
        status = STATUS.get(record.state, "FAILED")
        if record.is_fully_trained:
            status = STATUS[TrialState.FINISHED]
        if status in TERMINATED:
            self._client.set_terminated(run_id, status, _milliseconds(_end_time(record)))
        else:
            self._client.update_run(run_id, status=status)

    @override
    def close(self) -> None:
        for run_id in self._run_ids.values():
            self._client.set_terminated(run_id, "KILLED")  # interrupted: start continues it
        self._run_ids.clear()


def _start_milliseconds(record: Record) -> int | None:
    """None, which MLflow replaces by the present time, for a trial that was not started."""
    start = trackers.start_time(record)
    if not start and record.end is not None:
        start = record.end.time
    if not start:
        return None
    return _milliseconds(start)


def _end_time(record: Record) -> float:
    """When a trial ended, or was interrupted: after its last epoch."""
    if record.end is not None:
        return record.end.time
    return max([trackers.start_time(record), *record.epoch_times.values()])


def _quoted(key: str) -> str:
    """A text that can be between quotes in a filter of MLflow."""
    return urllib.parse.quote(key, safe="/:#")


def _valid_names(names: Iterable[str]) -> dict[str, str]:
    """A name that MLflow allows for each name; different ones stay different."""
    valid_names: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        if name in valid_names:
            continue
        valid_name = _valid_name(name)
        number = 1
        while valid_name in used:
            number += 1
            valid_name = f"{_valid_name(name)}_{number}"
        valid_names[name] = valid_name
        used.add(valid_name)
    return valid_names


def _valid_name(name: str) -> str:
    """Replace characters that MLflow does not allow in names, and what a path would resolve."""
    characters = []
    for character in name[:MAX_NAME]:
        if character.isalnum() or character in "_-. /":
            characters.append(character)
        else:
            characters.append("_")
    parts = []
    for part in "".join(characters).split("/"):
        if part in ("", ".", ".."):
            parts.append("_" * max(1, len(part)))
        else:
            parts.append(part)
    return "/".join(parts)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
