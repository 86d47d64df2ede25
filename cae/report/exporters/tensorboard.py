"""TensorBoard: one folder of event files per trial, written with TensorBoard's own library."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

from cae.report.data import tables
from cae.report.exporters import trackers
from cae.run.paths import RunDir
from cae.run.records import Record

if TYPE_CHECKING:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter


def write(run: RunDir, out: Path | None) -> str:
    """Write one folder of events per trial into `out` (default: tensorboard/ in the run's folder).

    Returns the command that shows them. Raises RunError if the folder contains other files, or
    TensorBoard is not installed.
    """
    results = tables.read([run])
    folder = trackers.prepare_folder(run, "tensorboard", out)
    with trackers.report_missing_library("tensorboard"):
        tracker = TensorBoardTracker(folder)
        for record in trackers.records(results):
            tracker.write(record)
    return f"tensorboard --logdir {shlex.quote(str(folder))}"


class TensorBoardTracker(trackers.Tracker):
    """Writes event files into a subfolder per trial. A trial that is started again gets another
    file there."""

    def __init__(self, folder: Path) -> None:
        """Raise ImportError if TensorBoard is not installed."""
        import tensorboard.summary.writer.event_file_writer as _  # noqa: F401

        self._folder = folder
        self._writers: dict[int, EventFileWriter] = {}

    @override
    def start(self, record: Record) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.hparams import summary_v2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = self._folder / f"trial-{record.number:04d}"
        writer = EventFileWriter(str(folder))
        self._writers[record.number] = writer
        time = trackers.start_time(record)
        parameters = summary_v2.hparams_pb(_hyperparameters(record), str(record.number), time)
        writer.add_event(Event(wall_time=time, step=0, summary=parameters))
        writer.flush()

    @override
    def log(self, record: Record, measurements: Iterable[trackers.Measurement]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        writer = self._writers[record.number]
        for epoch, time, metrics, _ in measurements:
            values = [
                Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()
            ]
            writer.add_event(Event(wall_time=time, step=epoch, summary=Summary(value=values)))
        writer.flush()

    @override
    def end(self, record: Record) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        writer = self._writers.pop(record.number)
        if record.end is None:  # it runs, or can be resumed
            writer.close()
            return
        time = record.end.time
        status = api_pb2.STATUS_FAILURE
        if record.state.is_successful:
            status = api_pb2.STATUS_SUCCESS
        session_end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time)
        plugin_data = plugin_data_pb2.HParamsPluginData(session_end_info=session_end)
        value = Summary.Value(
            tag=metadata.SESSION_END_INFO_TAG,
            metadata=metadata.create_summary_metadata(plugin_data),
        )
        writer.add_event(Event(wall_time=time, summary=Summary(value=[value])))
        writer.close()

    @override
    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


def _hyperparameters(record: Record) -> dict[str, bool | int | float | str]:
    """Return the settings of a trial; TensorBoard accepts numbers, truth values and text."""
    hyperparameters: dict[str, bool | int | float | str] = {}
    for name, value in trackers.settings(record).items():
        if isinstance(value, bool | int | float):
            hyperparameters[name] = value
        else:
            hyperparameters[name] = str(value)
    return hyperparameters
