"""What other tools read back of an exported run is what the journal says."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae.errors import RunError
from cae.report.exporters import experiment_trackers as export
from cae.run.paths import RunDir

Make = Callable[[str], RunDir]


@pytest.mark.filterwarnings("ignore")  # of libraries that are not ours
def test_tensorboard_reads_every_trial_epoch_and_setting(make_run: Make, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = make_run("thirty")
    assert (
        export.write(run, "tensorboard", tmp_path / "tb")
        == f"tensorboard --logdir {tmp_path / 'tb'}"
    )
    records = run.records()
    assert sorted(path.name for path in (tmp_path / "tb").glob("trial-*")) == [
        f"trial-{number:04d}" for number in records
    ]
    for record in records.values():
        events = accumulator.EventAccumulator(
            str(tmp_path / "tb" / f"trial-{record.number:04d}")
        ).Reload()
        assert "_hparams_/session_start_info" in events.summary_metadata
        losses = {
            epoch: row["val_loss"]
            for epoch, row in record.epochs.items()
            if math.isfinite(row["val_loss"])
        }
        if losses:
            read = {scalar.step: scalar.value for scalar in events.Scalars("val_loss")}
            assert read == {epoch: pytest.approx(loss, rel=1e-6) for epoch, loss in losses.items()}


@pytest.mark.filterwarnings("ignore")
def test_mlflow_reads_every_trial_epoch_and_setting(make_run: Make, tmp_path: Path) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    pytest.importorskip("alembic")
    run = make_run("two")
    said = export.write(run, "mlflow", tmp_path / "ml")
    client = tracking.MlflowClient(tracking_uri=said.split()[-1])
    (experiment,) = [one for one in client.search_experiments() if one.name == "two"]
    found: dict[str, Any] = {
        one.info.run_name: one for one in client.search_runs([experiment.experiment_id])
    }
    assert set(found) == {"trial 1", "trial 2"}
    assert found["trial 2"].data.params["arch.kernel_size"] == "5"
    assert found["trial 2"].info.status == "FINISHED"
    history = client.get_metric_history(found["trial 2"].info.run_id, "val_loss")
    assert {one.step: one.value for one in history} == {
        epoch: row["val_loss"] for epoch, row in run.records()[2].epochs.items()
    }


def test_a_folder_that_holds_other_things_is_left_alone(make_run: Make, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match="holds other things"):
        export.write(make_run("two"), "tensorboard", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_library_that_is_not_there_is_named(
    make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        __import__("sys").modules, "tensorboard.summary.writer.event_file_writer", None
    )
    with pytest.raises(RunError, match=r"pip install 'cae-sweep\[export\]'"):
        export.write(make_run("two"), "tensorboard", tmp_path / "tb")
