"""A run for people who live in other tools: event files of TensorBoard, a tracking folder of MLflow, by those tools' own libraries.

Every trial is a run of theirs with its whole configuration, every epoch's metrics, and what was measured at its end. A folder that
was written before is written anew.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cae.errors import RunError
from cae.report.data import tables
from cae.run.paths import RunDir
from cae.run.records import Record

MARK = ".written-by-cae-sweep"
"""Stands in the folders that may be written anew."""


def write(run: RunDir, to: str, out: Path | None) -> str:
    """Writes the run into `out` (default: a folder of that name in the run's). Returns what to do with it. Raises RunError."""
    results, folder = tables.read([run]), out or run.path / to
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise RunError(f"{folder} holds other things: choose another -o")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    try:
        return WRITERS[to](results, folder)
    except ImportError as error:
        raise RunError(
            f"--to {to} needs a library that is not here ({error.name}): pip install 'cae-sweep[export]'"
        ) from None


def tensorboard(results: tables.Results, folder: Path) -> str:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for record in _records(results):
        writer = EventFileWriter(str(folder / f"trial-{record.number:04d}"))
        began = record.starts[0].time if record.starts else 0.0
        known = {
            name: value if isinstance(value, bool | int | float) else str(value)
            for name, value in _settings(record).items()
        }
        writer.add_event(
            Event(
                wall_time=began,
                step=0,
                summary=summary_v2.hparams_pb(known, str(record.number), began),
            )
        )
        for step, when, metrics in _reports(record):
            values = [
                Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()
            ]
            writer.add_event(Event(wall_time=when, step=step, summary=Summary(value=values)))
        ended = record.end.time if record.end else began
        status = api_pb2.STATUS_SUCCESS if record.state == "finished" else api_pb2.STATUS_FAILURE
        said = plugin_data_pb2.HParamsPluginData(
            session_end_info=plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
        )
        closing = Summary.Value(
            tag=metadata.SESSION_END_INFO_TAG, metadata=metadata.create_summary_metadata(said)
        )
        writer.add_event(Event(wall_time=ended, summary=Summary(value=[closing])))
        writer.close()
    return f"tensorboard --logdir {folder}"


def mlflow(results: tables.Results, folder: Path) -> str:
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

    address = f"sqlite:///{(folder / 'mlflow.db').resolve()}"
    client = MlflowClient(tracking_uri=address)
    experiment = client.create_experiment(
        results.runs[0].name, artifact_location=(folder / "artifacts").resolve().as_uri()
    )
    ends = {
        "finished": "FINISHED",
        "killed": "KILLED",
        "stopped": "KILLED",
        "running": "RUNNING",
        "pending": "SCHEDULED",
    }
    for record in _records(results):
        began = _milliseconds(
            record.starts[0].time if record.starts else record.end.time if record.end else 0
        )
        made = client.create_run(
            experiment, start_time=began, run_name=f"trial {record.number}"
        ).info.run_id
        settings = [
            Param(_name(name), str(value)[:6000]) for name, value in _settings(record).items()
        ]
        tags = {
            "state": record.state,
            "hash": record.hash,
            "reason": record.reason[:5000],
        }
        metrics = [
            Metric(_name(name), value, _milliseconds(when), step)
            for step, when, row in _reports(record)
            for name, value in row.items()
        ]
        client.log_batch(
            made, params=settings[:100], tags=[RunTag(name, value) for name, value in tags.items()]
        )
        for first in range(0, len(metrics), 1000):  # what a batch may hold
            client.log_batch(made, metrics=metrics[first : first + 1000])
        client.set_terminated(
            made,
            ends.get(record.state, "FAILED"),
            _milliseconds(record.end.time if record.end else began / 1000),
        )
    return f"mlflow ui --backend-store-uri {address}"


WRITERS: dict[str, Callable[[tables.Results, Path], str]] = {
    "tensorboard": tensorboard,
    "mlflow": mlflow,
}


def _records(results: tables.Results) -> list[Record]:
    return [record for run in results.runs for record in run.records.values()]


def _settings(record: Record) -> dict[str, Any]:
    return {
        name: tables.cell(value)
        for name, value in {**record.config, **record.sizes}.items()
        if value is not None
    }


def _reports(record: Record) -> Iterator[tuple[int, float, dict[str, float]]]:
    """(epoch, time, metrics) of each epoch, then of the end; numbers that are not finite are left out: no plot of theirs holds them."""
    rows = [
        (epoch, record.epoch_times[epoch], record.epochs[epoch]) for epoch in sorted(record.epochs)
    ]
    if record.end and record.final_metrics:
        rows.append((record.last_epoch, record.end.time, record.final_metrics))
    for epoch, when, row in rows:
        yield (
            epoch,
            when,
            {name: float(value) for name, value in row.items() if math.isfinite(value)},
        )


def _name(text: str) -> str:
    """What MLflow takes as a name: the letters, digits and signs that it lists."""
    return "".join(letter if letter.isalnum() or letter in "_-. /" else "_" for letter in text)[
        :250
    ]


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
