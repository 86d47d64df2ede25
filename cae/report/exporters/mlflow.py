"""Export of a run as an MLflow tracking folder (a SQLite file), with MLflow's own library."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cae.errors import RunError
from cae.report.data import tables
from cae.report.exporters import trackers
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.trial_state import TrialState

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

STATUS = {
    TrialState.FINISHED: "FINISHED",
    TrialState.KILLED: "KILLED",
    TrialState.STOPPED: "KILLED",
    TrialState.RUNNING: "RUNNING",
    TrialState.PENDING: "SCHEDULED",
}
"""MLflow's name of each state; all others are FAILED."""
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
    database = ((out or run.path / "mlflow") / "mlflow.db").resolve()
    special = sorted(set(str(database)) & NOT_IN_URLS)
    if special:
        raise RunError(
            f"{database.parent}: MLflow finds no folder whose path contains {' '.join(special)}; "
            "choose another one with -o"
        )
    folder = trackers.prepare_folder(run, "mlflow", out)
    with trackers.report_missing_library("mlflow"):
        from mlflow.tracking import MlflowClient

        uri = f"sqlite:///{database}"
        client = MlflowClient(tracking_uri=uri)
        experiment = client.create_experiment(
            results.runs[0].name, artifact_location=(folder / "artifacts").resolve().as_uri()
        )
        for record in trackers.records(results):
            _write_trial(client, experiment, record)
    return f"mlflow ui --backend-store-uri {shlex.quote(uri)}"


def _write_trial(client: MlflowClient, experiment: str, record: Record) -> None:
    from mlflow.entities import Metric, Param, RunTag

    start = trackers.start_time(record)
    end = start
    if record.end is not None:
        end = record.end.time
        start = start or end
    run = client.create_run(
        experiment, start_time=_milliseconds(start), run_name=f"trial {record.number}"
    )
    run_id = run.info.run_id
    settings = trackers.settings(record)
    valid_names = _valid_names(settings)
    parameters = []
    for name, value in settings.items():
        parameters.append(Param(valid_names[name], str(value)[:MAX_VALUE]))
    tags = [
        RunTag("state", record.state),
        RunTag("hash", record.hash),
        RunTag("reason", record.reason[:MAX_TAG]),
    ]
    client.log_batch(run_id, tags=tags)
    for first in range(0, len(parameters), MAX_PARAMETERS):
        client.log_batch(run_id, params=parameters[first : first + MAX_PARAMETERS])
    measurements = list(trackers.measurements(record))
    valid_names = _valid_names(name for _, _, values in measurements for name in values)
    metrics = []
    for epoch, time, values in measurements:
        for name, value in values.items():
            metrics.append(Metric(valid_names[name], value, _milliseconds(time), epoch))
    for first in range(0, len(metrics), MAX_METRICS):
        client.log_batch(run_id, metrics=metrics[first : first + MAX_METRICS])
    status = STATUS.get(record.state, "FAILED")
    client.set_terminated(run_id, status, _milliseconds(end))


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
