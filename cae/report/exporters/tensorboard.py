"""Export of a run as event files of TensorBoard, written with TensorBoard's own library."""

from __future__ import annotations

import shlex
from pathlib import Path

from cae.report.data import tables
from cae.report.exporters import trackers
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.trial_state import TrialState


def write(run: RunDir, out: Path | None) -> str:
    """Write one folder of events per trial into `out` (default: tensorboard/ in the run's folder).

    Returns the command that shows them. Raises RunError if the folder contains other files, or
    TensorBoard is not installed.
    """
    results = tables.read([run])
    folder = trackers.prepare_folder(run, "tensorboard", out)
    with trackers.report_missing_library("tensorboard"):
        for record in trackers.records(results):
            _write_trial(record, folder / f"trial-{record.number:04d}")
    return f"tensorboard --logdir {shlex.quote(str(folder))}"


def _write_trial(record: Record, folder: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    start = trackers.start_time(record)
    writer = EventFileWriter(str(folder))
    parameters = summary_v2.hparams_pb(_hyperparameters(record), str(record.number), start)
    writer.add_event(Event(wall_time=start, step=0, summary=parameters))
    for epoch, time, metrics in trackers.measurements(record):
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        writer.add_event(Event(wall_time=time, step=epoch, summary=Summary(value=values)))

    end = start
    if record.end is not None:
        end = record.end.time
    status = api_pb2.STATUS_FAILURE
    if record.state == TrialState.FINISHED:
        status = api_pb2.STATUS_SUCCESS
    session_end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=end)
    plugin_data = plugin_data_pb2.HParamsPluginData(session_end_info=session_end)
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(plugin_data),
    )
    writer.add_event(Event(wall_time=end, summary=Summary(value=[value])))
    writer.close()


def _hyperparameters(record: Record) -> dict[str, bool | int | float | str]:
    """Return the settings of a trial; TensorBoard accepts numbers, truth values and text."""
    hyperparameters: dict[str, bool | int | float | str] = {}
    for name, value in trackers.settings(record).items():
        if isinstance(value, bool | int | float):
            hyperparameters[name] = value
        else:
            hyperparameters[name] = str(value)
    return hyperparameters
