"""Exports to experiment trackers: what their own libraries read is what the journal contains."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cae.errors import RunError
from cae.report.exporters import mlflow, tensorboard, trackers
from cae.run.paths import RunDir
from cae.run.records import Record
from tests.report.synthetic_runs import MakeWriter

MakeRun = Callable[[str], RunDir]


@pytest.mark.filterwarnings("ignore")  # of the libraries
def test_tensorboard_reads_every_trial_and_epoch(make_run: MakeRun, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = make_run("thirty")
    folder = tmp_path / "tensorboard"
    assert tensorboard.write(run, folder) == f"tensorboard --logdir {folder}"
    records = run.records()
    names = sorted(path.name for path in folder.glob("trial-*"))
    assert names == [f"trial-{number:04d}" for number in records]
    for record in records.values():
        events = accumulator.EventAccumulator(str(folder / f"trial-{record.number:04d}")).Reload()
        assert "_hparams_/session_start_info" in events.summary_metadata
        losses = {epoch: metrics["val_loss"] for epoch, metrics in record.epochs.items()}
        losses = {epoch: loss for epoch, loss in losses.items() if math.isfinite(loss)}
        if losses:
            scalars = {scalar.step: scalar.value for scalar in events.Scalars("val_loss")}
            assert scalars == pytest.approx(losses, rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_mlflow_reads_every_trial_epoch_and_setting(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    pytest.importorskip("alembic")
    monkeypatch.setattr(mlflow, "MAX_PARAMETERS", 2)  # of one batch
    run = make_run("two")
    command = mlflow.write(run, tmp_path / "mlflow")
    client = tracking.MlflowClient(tracking_uri=command.split()[-1])
    (experiment,) = client.search_experiments(filter_string="name = 'two'")
    runs = {
        tracked.info.run_name: tracked for tracked in client.search_runs([experiment.experiment_id])
    }
    assert set(runs) == {"trial 1", "trial 2"}
    second = runs["trial 2"]
    assert second.data.params["arch.kernel_size"] == "5"
    assert set(second.data.params) == set(trackers.settings(run.records()[2]))
    assert second.info.status == "FINISHED"
    history = client.get_metric_history(second.info.run_id, "val_loss")
    epochs = run.records()[2].epochs
    assert {metric.step: metric.value for metric in history} == {
        epoch: metrics["val_loss"] for epoch, metrics in epochs.items()
    }


def test_a_folder_with_other_files_is_not_changed(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match="contains other files"):
        tensorboard.write(make_run("two"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_missing_library_is_named(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    with pytest.raises(RunError, match=r"pip install 'cae-sweep\[export\]'"):
        tensorboard.write(make_run("two"), tmp_path / "tensorboard")


def run_with_states(writer: MakeWriter) -> RunDir:
    """A trial in each of `STATES`."""
    run = writer("states")
    run.session([1, 2, 3, 4, 5])
    for number in (1, 2, 3, 4, 5):
        run.trial(number, {"arch.kernel_size": number})
        if number < 5:
            run.start(number)
            run.epoch(number, 1, 0.1)
    run.end(1, "finished", best_epoch=1)
    run.end(2, "stopped", rung=1)
    run.end(3, "diverged")
    return run.close()


STATES = ["finished", "stopped", "diverged", "interrupted", "pending"]


def test_settings_contain_every_value_of_an_axis() -> None:
    """Regression: defaults that the configuration leaves out, and None, were missing."""
    axes = {"precision": "float32", "clip_norm": None, "arch.filters.1": 8, "seed": 3}
    config = {"clip_norm": None, "clip_value": None, "arch.filters": [8, 16], "seed": 3}
    record = Record(1, "h", config, axes, {"parameters": 5})
    assert trackers.settings(record) == {
        "precision": "float32",
        "clip_norm": None,
        "arch.filters.1": 8,
        "seed": 3,
        "arch.filters": "8-16",
        "parameters": 5,
    }


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_has_an_end_of_the_trials_that_ended(
    writer: MakeWriter, tmp_path: Path
) -> None:
    """Regression: stopped trials, and those that can be resumed, were failures."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    run = run_with_states(writer)
    assert [str(record.state) for record in run.records().values()] == STATES
    tensorboard.write(run, tmp_path / "tensorboard")
    statuses = []
    for number in range(1, 6):
        folder = tmp_path / "tensorboard" / f"trial-{number:04d}"
        metadata = accumulator.EventAccumulator(str(folder)).Reload().summary_metadata
        status = None
        if "_hparams_/session_end_info" in metadata:
            content = metadata["_hparams_/session_end_info"].plugin_data.content
            data = plugin_data_pb2.HParamsPluginData.FromString(content)
            status = data.session_end_info.status
        statuses.append(status)
    success = api_pb2.STATUS_SUCCESS
    assert statuses == [success, success, api_pb2.STATUS_FAILURE, None, None]


@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_a_status_for_each_state(writer: MakeWriter, tmp_path: Path) -> None:
    """Regression: interrupted trials were failed, and those that wait ended in 1970."""
    tracking = pytest.importorskip("mlflow.tracking")
    pytest.importorskip("alembic")
    run = run_with_states(writer)
    command = mlflow.write(run, tmp_path / "mlflow")
    client = tracking.MlflowClient(tracking_uri=command.split()[-1])
    (experiment,) = client.search_experiments(filter_string="name = 'states'")
    infos = [tracked.info for tracked in client.search_runs([experiment.experiment_id])]
    infos.sort(key=lambda info: info.run_name)
    assert [info.status for info in infos] == [
        "FINISHED",
        "KILLED",
        "FAILED",
        "KILLED",
        "SCHEDULED",
    ]
    assert [info.end_time is None for info in infos] == [False, False, False, False, True]
    last_epoch = run.records()[4].epoch_times[1]
    assert infos[3].end_time == round(1000 * last_epoch)
    assert all(info.start_time > 1_000_000_000_000 for info in infos)
