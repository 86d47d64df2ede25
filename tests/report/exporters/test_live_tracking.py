"""Trackers that follow a sweep: what they have in the end is what the journal contains."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from typing_extensions import override

from cae.cli.console import Console
from cae.cli.following import follow as follow_sweep
from cae.errors import RunError
from cae.report import live_tracking
from cae.report.exporters import trackers
from cae.report.exporters.mlflow import database_uri
from cae.report.exporters.wandb import WandbTracker, run_id
from cae.report.live_tracking import LiveTracking, TrackerName, read_sent
from cae.run.events import Event, TrialRetried, TrialStarted
from cae.run.paths import RunDir
from cae.run.records import Record, apply_event
from cae.run.trial_state import TrialState

Curves = dict[int, dict[int, float]]
"""Validation losses by trial and epoch."""
pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries


@pytest.fixture
def run(make_run: Callable[[str], RunDir], tmp_path: Path) -> RunDir:
    """A copy of a run with two trials."""
    return RunDir(shutil.copytree(make_run("two").path, tmp_path / "two"))


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the database of MLflow takes seconds; waiting is not to be reported."""
    monkeypatch.setattr(live_tracking, "PATIENCE_SECONDS", 120.0)


def follow(
    name: TrackerName, run: RunDir, events: Iterable[Event], records: dict[int, Record]
) -> list[str]:
    """Track the events of a command, after those of earlier commands in `records`; returns what
    was printed."""
    printed: list[str] = []
    tracking = LiveTracking(name, run, printed.append)
    tracking.start(records)
    for event in events:
        apply_event(records, event)
        tracking(event)
    tracking.finish(records)
    return printed


def expected_curves(run: RunDir) -> Curves:
    curves: Curves = {}
    for number, record in run.records().items():
        curve = {epoch: metrics["val_loss"] for epoch, metrics in record.epochs.items()}
        curves[number] = {epoch: loss for epoch, loss in curve.items() if math.isfinite(loss)}
    return {number: curve for number, curve in curves.items() if curve}


def tensorboard_curves(run: RunDir) -> Curves:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves: Curves = {}
    for folder in (run.path / "tensorboard").glob("trial-*"):
        events = EventAccumulator(str(folder)).Reload()
        if "val_loss" in events.Tags()["scalars"]:
            scalars = events.Scalars("val_loss")
            curves[int(folder.name[-4:])] = {scalar.step: scalar.value for scalar in scalars}
    return curves


def mlflow_curves(run: RunDir) -> Curves:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=database_uri(run.path.resolve() / "mlflow"))
    (experiment,) = client.search_experiments(filter_string=f"name = '{run.name}'")
    curves: Curves = {}
    for tracked in client.search_runs([experiment.experiment_id]):
        history = client.get_metric_history(tracked.info.run_id, "val_loss")
        number = int(tracked.info.run_name.removeprefix("trial "))
        assert number not in curves, "a trial has one run"
        if history:
            curves[number] = {metric.step: metric.value for metric in history}
    return curves


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of an offline run: LevelDB's log format, blocks of 32 KiB after a header."""
    from wandb.proto.wandb_internal_pb2 import Record as WandbRecord  # type: ignore[attr-defined]

    data = path.read_bytes()
    position = 7
    message = b""
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        message += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            record = WandbRecord()
            record.ParseFromString(message)
            message = b""
            yield record


def wandb_curves(run: RunDir) -> Curves:
    curves: Curves = {}
    for path in sorted((run.path / "wandb").glob("offline-run-*/*.wandb")):
        number = int(path.stem.rpartition("-")[2])
        assert path.stem == f"run-{run_id(run.location(), number)}"
        for record in wandb_records(path):
            if record.WhichOneof("record_type") == "history":
                values = {
                    item.key or item.nested_key[0]: json.loads(item.value_json)
                    for item in record.history.item
                }
                if "val_loss" in values:
                    curves.setdefault(number, {})[values["epoch"]] = values["val_loss"]
    return curves


READERS: dict[TrackerName, Callable[[RunDir], Curves]] = {
    "tensorboard": tensorboard_curves,
    "mlflow": mlflow_curves,
    "wandb": wandb_curves,
}


@pytest.mark.parametrize("name", READERS)
def test_a_tracker_has_all_epochs_of_the_journal_also_after_a_kill(
    name: TrackerName, run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    events = list(run.events())
    half = len(events) // 2
    records: dict[int, Record] = {}
    assert follow(name, run, events[:half], records) == []
    # The notes of a killed process may end anywhere; another command continues.
    notes = run.path / f"tracked-{name}.txt"
    notes.write_text(notes.read_text()[:-1])
    assert follow(name, run, events[half:], records) == []
    curves = READERS[name](run)
    expected = expected_curves(run)
    assert curves.keys() == expected.keys()
    for number, curve in expected.items():
        assert curves[number] == pytest.approx(curve, rel=1e-6)
    assert follow(name, run, [], records) == []
    assert READERS[name](run).keys() == expected.keys()
    assert read_sent(notes).keys() == records.keys()


def test_wandb_has_each_epoch_once_and_immediately(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its library prints a warning for each epoch that it has already and is sent again."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    record = run.records()[1]
    first = list(trackers.measurements(record))[:2]
    again = [first[1]._replace(metrics={"val_loss": 7.0}), first[0]]
    tracker = WandbTracker(run.path, run.name, run.location())
    tracker.start(record)
    tracker.log(record, first)
    end = time.monotonic() + 60
    while not _has_epochs(run, 2) and time.monotonic() < end:
        time.sleep(0.2)
    assert _has_epochs(run, 2), "the trial has not ended"
    tracker.log(record, [*again, first[1]._replace(epoch=3)])
    tracker.end(record)
    tracker.close()
    assert wandb_epochs(run) == [1, 2, 3]
    assert wandb_curves(run)[1][2] == first[1].metrics["val_loss"]
    assert "Tried to log to step" not in capfd.readouterr().err


def _has_epochs(run: RunDir, count: int) -> bool:
    """Whether W&B has written so many epochs; its file may end in the middle of a record."""
    with contextlib.suppress(struct.error, DecodeError):
        return len(wandb_epochs(run)) >= count
    return False


def wandb_epochs(run: RunDir) -> list[int]:
    """The epochs in the files of W&B, in their order."""
    epochs: list[int] = []
    for path in sorted((run.path / "wandb").glob("offline-run-*/*.wandb")):
        for record in wandb_records(path):
            for item in record.history.item:
                if (item.key or item.nested_key[0]) == "epoch":
                    epochs.append(json.loads(item.value_json))
    return epochs


def test_an_extended_trial_has_its_epochs_in_a_tag_of_mlflow(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    records = {1: run.records()[1]}
    follow("mlflow", run, [], records)
    longer = records[1].config | {"epochs": 7}
    extended = replace(records[1], config=longer)
    follow("mlflow", run, [TrialStarted(trial=1, epoch=4)], {1: extended})
    client = MlflowClient(tracking_uri=database_uri(run.path.resolve() / "mlflow"))
    (experiment,) = client.search_experiments(filter_string=f"name = '{run.name}'")
    (tracked,) = client.search_runs([experiment.experiment_id])
    assert tracked.data.params["epochs"] == "4"
    assert tracked.data.tags["epochs"] == "7"
    assert "seed" not in tracked.data.tags


class FailingTracker(trackers.Tracker):
    """Fails at the messages with these numbers."""

    def __init__(self, failures: set[int]) -> None:
        self._failures = failures
        self._messages = 0
        self.logged: list[tuple[int, int]] = []
        self.ended: list[int] = []
        self.states: list[TrialState] = []

    @override
    def start(self, record: Record) -> None:
        pass

    @override
    def log(self, record: Record, measurements: Iterable[trackers.Measurement]) -> None:
        self._messages += 1
        if self._messages in self._failures:
            raise ConnectionError("the server\ndoes not respond")
        self.logged += [(record.number, measurement.epoch) for measurement in measurements]

    @override
    def end(self, record: Record) -> None:
        self.ended.append(record.number)
        self.states.append(record.state)

    @override
    def close(self) -> None:
        pass


def use(monkeypatch: pytest.MonkeyPatch, tracker: trackers.Tracker) -> None:
    """Replace the tracker that is opened next."""

    def open_tracker(name: TrackerName, run: RunDir) -> trackers.Tracker:
        del name, run
        return tracker

    monkeypatch.setattr(live_tracking, "open_tracker", open_tracker)


def test_what_a_server_did_not_take_is_sent_again_by_the_next_command(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = FailingTracker({2})
    use(monkeypatch, tracker)
    records: dict[int, Record] = {}
    printed = follow("tensorboard", run, run.events(), records)
    assert len(printed) == 2
    assert "ConnectionError: the server does not respond" in printed[0]
    assert "messages that were not sent: 1; the same command" in printed[1]
    complete = {(record.number, epoch) for record in records.values() for epoch in record.epochs}
    assert len(complete - set(tracker.logged)) == 1
    again = FailingTracker(set())
    use(monkeypatch, again)
    assert follow("tensorboard", run, [], records) == []
    assert complete - set(tracker.logged) <= set(again.logged)
    assert len(again.ended) == 1, "only the trial that is incomplete"
    last = FailingTracker(set())
    use(monkeypatch, last)
    assert follow("tensorboard", run, [], records) == []
    assert last.logged == []


def test_after_several_errors_nothing_more_is_sent(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = FailingTracker(set(range(1, 1000)))
    use(monkeypatch, tracker)
    printed = follow("tensorboard", run, run.events(), {})
    assert len(printed) == live_tracking.MAX_PROBLEMS + 2
    assert tracker.logged == []


def test_a_slow_server_does_not_delay_the_sweep(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_released = threading.Event()

    class WaitingTracker(FailingTracker):
        @override
        def start(self, record: Record) -> None:
            assert is_released.wait(60)

    tracker = WaitingTracker(set())
    use(monkeypatch, tracker)
    records: dict[int, Record] = {}
    tracking = LiveTracking("tensorboard", run, print)
    tracking.start(records)
    for event in run.events():
        apply_event(records, event)
        tracking(event)
    assert tracker.logged == []
    is_released.set()
    tracking.finish(records)
    assert {number for number, _ in tracker.logged} == set(records)


def retry_first_trial(run: RunDir) -> list[Event]:
    """The events of a command that trains the first trial again, from the beginning."""
    repeated = [event for event in run.events() if getattr(event, "trial", None) == 1]
    for event in repeated:
        event.time += 1000
    return [TrialRetried(trial=1, epoch=0), *repeated]


def test_a_trial_that_was_trained_again_without_the_tracker_is_sent_again(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FailingTracker(set()))
    records: dict[int, Record] = {}
    follow("tensorboard", run, run.events(), records)
    for event in retry_first_trial(run):
        apply_event(records, event)
    tracker = FailingTracker(set())
    use(monkeypatch, tracker)
    follow("tensorboard", run, [], records)
    assert tracker.ended == [1]
    assert {number for number, _ in tracker.logged} == {1}


def test_a_slow_tracker_gets_the_state_of_each_end_although_the_trial_is_retried(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_released = threading.Event()

    class WaitingTracker(FailingTracker):
        @override
        def start(self, record: Record) -> None:
            assert is_released.wait(60)

    tracker = WaitingTracker(set())
    use(monkeypatch, tracker)
    records: dict[int, Record] = {}
    tracking = LiveTracking("tensorboard", run, print)
    tracking.start(records)
    for event in [*run.events(), TrialRetried(trial=1, epoch=0)]:
        apply_event(records, event)
        tracking(event)
    is_released.set()
    tracking.finish(records)
    assert sorted(tracker.ended) == [1, 2]
    assert set(tracker.states) == {TrialState.FINISHED}
    complete = {
        (number, epoch) for number, record in run.records().items() for epoch in record.epochs
    }
    assert set(tracker.logged) == complete


def test_an_interrupt_ends_the_wait_for_a_server_and_not_the_command(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_released = threading.Event()

    class WaitingTracker(FailingTracker):
        @override
        def start(self, record: Record) -> None:
            is_released.wait(60)

    printed: list[str] = []
    main_thread = threading.get_ident()

    def print_and_interrupt(line: str) -> None:
        printed.append(line)
        if "Ctrl-C ends the wait" in line:
            signal.pthread_kill(main_thread, signal.SIGINT)

    monkeypatch.setattr(live_tracking, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(live_tracking, "FINISH_SECONDS", 60.0)
    use(monkeypatch, WaitingTracker(set()))
    tracking = LiveTracking("tensorboard", run, print_and_interrupt)
    # Processes that a shell starts in the background ignore SIGINT.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        tracking.finish(run.records())
    finally:
        signal.signal(signal.SIGINT, handler)
        is_released.set()
    assert len(printed) == 2
    assert "messages that were not sent: 2; the same command" in printed[1]


def test_nothing_is_sent_for_a_sweep_that_another_process_runs(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = FailingTracker(set())
    use(monkeypatch, tracker)
    prepared: Any = SimpleNamespace(run=run, records=run.records())
    display: Any = None
    with (
        pytest.raises(RunError, match="in use"),
        follow_sweep(prepared, display, Console(), "tensorboard", print),
    ):
        raise RunError("in use")
    assert tracker.logged == []
    assert tracker.ended == []
    with follow_sweep(prepared, display, Console(), "tensorboard", print):
        pass  # nothing is left to train
    assert tracker.ended == [1, 2]


def test_a_library_that_is_missing_is_named_before_anything_starts(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(live_tracking.LIBRARIES, "wandb", ("no_such_library",))
    with pytest.raises(RunError, match=r"no_such_library is not installed.*cae-sweep\[wandb\]"):
        LiveTracking("wandb", run, print)


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_file_in_place_of_the_folder_is_an_error_before_anything_starts(
    run: RunDir, name: live_tracking.TrackerName
) -> None:
    (run.path / name).touch()
    with pytest.raises(RunError, match=f"{name} is a file"):
        LiveTracking(name, run, print)


def test_notes_that_cannot_be_read_are_an_error_before_anything_starts(run: RunDir) -> None:
    (run.path / "tracked-tensorboard.txt").mkdir()
    with pytest.raises(RunError, match=r"tracked-tensorboard.txt: cannot be read: Is a directory"):
        LiveTracking("tensorboard", run, print)


def test_damaged_lines_of_the_notes_are_ignored(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_bytes(b"1 2.5\n\xff\xfe\x00\n2 3.5\n")
    assert read_sent(notes) == {1: 2.5, 2: 3.5}


def test_a_run_in_a_bucket_needs_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    class RunInBucket(RunDir):
        @override
        def location(self, number: int | None = None) -> str:
            return f"s3://bucket/run/{number or ''}"

    run = RunInBucket(Path("run"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("mlflow", "tensorboard"):
        with pytest.raises(RunError, match="a run in a bucket has no folder"):
            live_tracking.check_tracker(name, run)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    live_tracking.check_tracker("mlflow", run)
