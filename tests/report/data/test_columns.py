"""The columns of trials.csv and epochs.csv: what the journal records of each trial and epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cae.report.data import tables
from cae.report.data.columns import to_column, utc
from cae.run.paths import RunDir
from tests.report.data.written_tables import row_of_one_trial, write_and_read
from tests.report.synthetic_runs import MakeWriter

MakeRun = Callable[[str], RunDir]


def test_an_epoch_reported_twice_counts_once_with_its_first_report(writer: MakeWriter) -> None:
    run = writer()
    run.session([1])
    run.trial(1, {})
    run.start(1)
    run.epoch(1, 1, 0.5)
    run.start(1, epoch=1)
    run.epoch(1, 1, 0.7)
    run.epoch(1, 2, 0.4)
    written = write_and_read(run.close())
    trial = written.trials.iloc[0]
    assert written.epochs["val_loss"].tolist() == [0.5, 0.4]
    assert trial["epochs_done"] == 2
    assert trial["attempts"] == 2
    assert trial["seconds"] == 25.0


def test_metrics_are_of_the_best_epoch_and_last_metrics_of_the_last_epoch(
    writer: MakeWriter,
) -> None:
    row = row_of_one_trial(
        writer, [0.4, 0.2, 0.3], "finished", best_epoch=2, metrics={"test_loss": 0.21}
    )
    assert row["best_epoch"] == 2
    assert row["val_loss"] == 0.2
    assert row["last_val_loss"] == 0.3
    assert row["test_loss"] == 0.21
    assert row["train_loss"] == pytest.approx(0.2 * 0.93)
    assert row["last_train_loss"] == pytest.approx(0.3 * 0.93)


def test_the_best_epoch_follows_the_mode_of_the_sweep(writer: MakeWriter) -> None:
    run = writer(metric="val_psnr", mode="max")
    run.session([1])
    run.trial(1, {})
    run.start(1)
    for epoch, loss in ((1, 0.4), (2, 0.1), (3, 0.2)):
        run.epoch(1, epoch, loss)
    run.end(1, "finished")
    assert write_and_read(run.close()).trials.loc[0, "best_epoch"] == 2


@pytest.mark.parametrize("state", ["diverged", "failed", "oom"])
def test_a_trial_that_is_not_ranked_has_only_metrics_of_its_last_epoch(
    writer: MakeWriter, state: str
) -> None:
    error = "Traceback\n  File x\nRuntimeError: boom  \n"
    row = row_of_one_trial(writer, [0.4, 0.2], state, error=error)
    assert row["last_val_loss"] == 0.2
    assert row["error"] == "RuntimeError: boom"
    assert "val_loss" not in row or math.isnan(row["val_loss"])


def test_a_trial_without_the_metric_of_the_sweep_has_the_epoch_that_its_end_names(
    make_run: MakeRun,
) -> None:
    results = tables.read([make_run("odd")])
    row = results.trials.set_index("trial").loc[4]
    assert row["best_epoch"] == 1
    assert row["val_accuracy"] == 0.9
    assert results.ranked["trial"].tolist() == [2, 1]


def test_values_that_are_not_finite_are_never_the_best(writer: MakeWriter) -> None:
    row = row_of_one_trial(writer, [math.inf, 0.3, math.nan], "finished")
    assert row["val_loss"] == 0.3
    assert row["best_epoch"] == 2
    assert row["epochs_done"] == 3


def test_a_stopped_trial_has_rung_value_cutoff_and_reason(writer: MakeWriter) -> None:
    reason = "epoch 1: above the cutoff"
    row = row_of_one_trial(writer, [0.4], "stopped", rung=1, value=0.4, cutoff=0.3, reason=reason)
    assert row["state"] == "stopped"
    assert row["rung"] == 1
    assert row["value"] == 0.4
    assert row["cutoff"] == 0.3
    assert row["reason"] == reason


def test_times_are_iso_in_utc_with_host_and_device(writer: MakeWriter) -> None:
    row = row_of_one_trial(writer, [0.4], "finished")
    assert row["started"] == "2026-01-01T00:00:01Z"
    assert row["ended"] == "2026-01-01T00:00:14Z"
    assert row["host"] == "node-1"
    assert row["device"] == "cpu"


def test_times_have_no_fractions_of_a_second() -> None:
    assert utc([0.0, 1.999]) == ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"]


def test_tuples_are_joined_and_integers_stay_integers_beside_missing_ones(
    make_run: MakeRun, tmp_path: Path
) -> None:
    tables.write(tables.read([make_run("mixed")]), RunDir(tmp_path))
    text = (tmp_path / "trials.csv").read_text()
    trials = pd.read_csv(tmp_path / "trials.csv", dtype=str)
    assert trials["arch.encoder_filters"].tolist() == ["8-16"] * 4
    assert trials["latent_shape"].tolist() == ["16-8-8"] * 4
    assert trials["arch.padding"].fillna("").tolist() == ["3", "same", "", "0"]
    assert trials["best_epoch"].tolist() == ["4"] * 4
    assert "\r" not in text


def test_a_column_keeps_its_values() -> None:
    assert to_column([1, None]).dtype == "Int64"
    assert to_column([1, 2]).dtype == "int64"
    assert to_column([1, 2.5, None]).dtype == "float64"
    assert to_column([True, 1, "same"]).tolist() == [True, 1, "same"]
    assert to_column([2**70]).tolist() == [2**70]


def test_axes_config_sizes_and_metrics_are_columns(make_run: MakeRun) -> None:
    run = make_run("thirty")
    trials = tables.read([run]).trials
    record = next(iter(run.records().values()))
    metrics = ["val_psnr", "last_val_psnr", "test_psnr", "images_per_second"]
    for name in [*record.config, *record.axes, *record.sizes, *metrics]:
        assert name in trials, name
    assert trials.columns.is_unique


def test_trials_that_depend_on_a_trial_are_a_column(writer: MakeWriter) -> None:
    run = writer()
    run.session([1, 2, 3])
    fields: dict[str, Any] = {"config": {"epochs": 4}, "axes": {}, "sizes": {}}
    run.add("trial", trial=1, hash="1", is_dependency=True, **fields)
    for number in (2, 3):
        run.add("trial", trial=number, hash=str(number), dependencies={"task": 1}, **fields)
    results = tables.read([run.close()])
    assert results.trials["needed_by"].tolist() == ["2, 3", None, None]


def test_a_default_that_a_configuration_leaves_out_has_its_value(writer: MakeWriter) -> None:
    """Of parameters that other trials set, and of the component that the base trial has too."""
    run = writer(
        base={"arch": "conv", "seed": 0},
        defaults={"arch.skips": False, "clip_norm": None, "warmup_epochs": 0},
    )
    run.session([1, 2, 3])
    run.trial(1, {"arch": "conv", "arch.skips": True, "warmup_epochs": 2})
    run.trial(2, {"arch": "conv"})
    run.trial(3, {"arch": "dense"})
    table = write_and_read(run.close()).trials
    assert table["arch.skips"].tolist()[:2] == [True, False]
    assert pd.isna(table["arch.skips"][2])
    assert table["warmup_epochs"].tolist() == [2, 0, 0]
    assert "clip_norm" not in table
