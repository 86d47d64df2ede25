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
