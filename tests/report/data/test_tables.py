"""trials.csv and epochs.csv say exactly what the journal says."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cae.errors import RunError
from cae.report.data import tables
from cae.run.paths import RunDir

Make = Callable[[str], RunDir]
Writer = Callable[..., Any]


def written(run: RunDir) -> tuple[pd.DataFrame, pd.DataFrame]:
    tables.write(tables.read([run]), run)
    return pd.read_csv(run.trials_csv, dtype={"hash": str}), pd.read_csv(run.epochs_csv)


def one_trial(writer: Writer, *losses: float, **end: Any) -> tuple[RunDir, pd.Series[Any]]:
    sweep = writer()
    sweep.session([1])
    sweep.trial(1, {"arch.kernel_size": 3})
    sweep.start(1)
    for epoch, loss in enumerate(losses, start=1):
        sweep.epoch(1, epoch, loss)
    if end:
        sweep.end(1, **end)
    run = sweep.close()
    return run, written(run)[0].iloc[0]


def test_every_trial_of_every_run_has_one_row(shape: str, make_run: Make) -> None:
    run = make_run(shape)
    results = tables.read([run])
    assert results.trials.get("trial", pd.Series()).tolist() == list(run.records())
    assert results.trials.get("state", pd.Series()).tolist() == [
        record.state for record in run.records().values()
    ]


def test_every_epoch_has_one_row(shape: str, make_run: Make) -> None:
    run = make_run(shape)
    epochs = tables.read([run]).epochs
    expected = [
        (number, epoch)
        for number, record in run.records().items()
        for epoch in sorted(record.epochs)
    ]
    assert list(zip(epochs["trial"], epochs["epoch"], strict=True)) == expected


def test_an_epoch_reported_twice_counts_once_and_the_first_report_stands(writer: Writer) -> None:
    sweep = writer()
    sweep.session([1])
    sweep.trial(1, {})
    sweep.start(1)
    sweep.epoch(1, 1, 0.5)
    sweep.start(1, epoch=1)
    sweep.epoch(1, 1, 0.7)
    sweep.epoch(1, 2, 0.4)
    trials, epochs = written(sweep.close())
    assert epochs["val_loss"].tolist() == [0.5, 0.4]
    assert trials[["epochs_done", "attempts", "seconds"]].iloc[0].tolist() == [2, 2, 25.0]


def test_the_bare_metric_is_the_best_epochs_and_last_the_last_ones(writer: Writer) -> None:
    _, row = one_trial(
        writer, 0.4, 0.2, 0.3, state="finished", best_epoch=2, metrics={"test_loss": 0.21}
    )
    assert (row["val_loss"], row["best_epoch"], row["last_val_loss"], row["test_loss"]) == (
        0.2,
        2,
        0.3,
        0.21,
    )
    assert row["train_loss"] == pytest.approx(0.2 * 0.93)
    assert row["last_train_loss"] == pytest.approx(0.3 * 0.93)


def test_the_best_epoch_follows_the_sweeps_mode(writer: Writer) -> None:
    sweep = writer(metric="val_psnr", mode="max")
    sweep.session([1])
    sweep.trial(1, {})
    sweep.start(1)
    for epoch, loss in ((1, 0.4), (2, 0.1), (3, 0.2)):
        sweep.epoch(1, epoch, loss)
    sweep.end(1, "finished")
    assert written(sweep.close())[0].loc[0, "best_epoch"] == 2


@pytest.mark.parametrize("state", ["diverged", "failed", "oom"])
def test_a_trial_out_of_the_ranking_has_no_bare_metric_but_keeps_its_last(
    writer: Writer, state: str
) -> None:
    _, row = one_trial(
        writer, 0.4, 0.2, state=state, error="Traceback\n  File x\nRuntimeError: boom  \n"
    )
    assert row["last_val_loss"] == 0.2
    assert row["error"] == "RuntimeError: boom"
    assert "val_loss" not in row or math.isnan(row["val_loss"])


def test_a_trial_that_does_not_measure_the_sweeps_metric_stands_at_the_epoch_its_end_names(
    make_run: Make,
) -> None:
    results = tables.read([make_run("odd")])
    row = results.trials.set_index("trial").loc[4]
    assert (row["best_epoch"], row["val_accuracy"]) == (1, 0.9)
    assert results.ranked["trial"].tolist() == [2, 1]


def test_values_that_are_not_finite_are_never_the_best(writer: Writer) -> None:
    _, row = one_trial(writer, math.inf, 0.3, math.nan, state="finished")
    assert (row["val_loss"], row["best_epoch"], row["epochs_done"]) == (0.3, 2, 3)


def test_a_stopped_trial_says_rung_value_cutoff_and_reason(writer: Writer) -> None:
    _, row = one_trial(
        writer,
        0.4,
        state="stopped",
        rung=1,
        value=0.4,
        cutoff=0.3,
        reason="epoch 1: above the cutoff",
    )
    assert row[["state", "rung", "value", "cutoff", "reason"]].tolist() == [
        "stopped",
        1.0,
        0.4,
        0.3,
        "epoch 1: above the cutoff",
    ]


def test_times_are_iso_in_utc_and_place_is_where_it_ran(writer: Writer) -> None:
    _, row = one_trial(writer, 0.4, state="finished")
    assert row[["started", "ended", "host", "device"]].tolist() == [
        "2026-01-01T00:00:01Z",
        "2026-01-01T00:00:14Z",
        "node-1",
        "cpu",
    ]


def test_tuples_are_joined_and_whole_numbers_stay_whole_beside_missing_ones(
    make_run: Make, tmp_path: Path
) -> None:
    results = tables.read([make_run("mixed")])
    tables.write(results, RunDir(tmp_path))
    text = (tmp_path / "trials.csv").read_text()
    read = pd.read_csv(tmp_path / "trials.csv", dtype=str)
    assert read["arch.encoder_filters"].tolist() == ["8-16"] * 4
    assert read["latent_shape"].tolist() == ["16-8-8"] * 4
    assert read["arch.padding"].fillna("").tolist() == ["3", "same", "", "0"]
    assert read["best_epoch"].tolist() == ["4"] * 4
    assert "\r" not in text


def test_axes_config_sizes_and_metrics_are_columns_without_being_named(make_run: Make) -> None:
    run = make_run("thirty")
    trials = tables.read([run]).trials
    record = next(iter(run.records().values()))
    for name in [
        *record.config,
        *record.axes,
        *record.sizes,
        "val_psnr",
        "last_val_psnr",
        "test_psnr",
        "images_per_second",
    ]:
        assert name in trials, name
    assert trials.columns.is_unique


def test_a_running_sweep_has_pending_interrupted_and_withdrawn_trials(writer: Writer) -> None:
    sweep = writer()
    sweep.session([1, 2, 3])
    for number in (1, 2, 3):
        sweep.trial(number, {"arch.kernel_size": number})
    sweep.start(1)
    sweep.epoch(1, 1, 0.2)
    assert written(sweep.run)[0]["state"].tolist() == ["interrupted", "pending", "pending"]
    with sweep.run.lock():
        assert written(sweep.run)[0]["state"].tolist() == ["running", "pending", "pending"]
    sweep.session([1, 2])
    assert written(sweep.close())[0]["state"].tolist() == ["interrupted", "pending", "withdrawn"]


def test_a_torn_last_line_changes_nothing(writer: Writer) -> None:
    run, row = one_trial(writer, 0.4, 0.2, state="finished")
    with run.journal.open("a") as journal:
        journal.write('{"event":"epoch","trial":1,"epo')
    assert written(run)[0].iloc[0].equals(row)


def test_joined_runs_keep_trials_apart_that_share_a_number(make_run: Make, tmp_path: Path) -> None:
    results = tables.read([make_run("two"), make_run("one")])
    tables.write(results, RunDir(tmp_path))
    trials, epochs = pd.read_csv(tmp_path / "trials.csv"), pd.read_csv(tmp_path / "epochs.csv")
    assert list(zip(trials["run"], trials["trial"], strict=True)) == [
        ("two", 1),
        ("two", 2),
        ("one", 1),
    ]
    assert not epochs.duplicated(["run", "trial", "epoch"]).any()
    assert len(epochs) == 12


def test_one_run_has_no_run_column(make_run: Make) -> None:
    trials, epochs = written(make_run("two"))
    assert "run" not in trials
    assert "run" not in epochs


def test_runs_with_the_same_name_are_named_by_their_folders(writer: Writer) -> None:
    runs = []
    for name in ("a/same", "b/same"):
        sweep = writer(name)
        sweep.session([1])
        sweep.trial(1, {})
        runs.append(sweep.close())
    assert tables.read(runs).trials["run"].tolist() == ["a/same", "b/same"]


def test_runs_with_different_metrics_are_not_joined(writer: Writer) -> None:
    runs = [writer("loss").close(), writer("psnr", metric="val_psnr", mode="max").close()]
    with pytest.raises(RunError, match=r"loss by val_loss \(min\), psnr by val_psnr \(max\)"):
        tables.read(runs)


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run"):
        tables.read([RunDir(tmp_path)])


def test_a_sweep_json_with_few_keys_is_read(writer: Writer) -> None:
    run, _ = one_trial(writer, 0.4, state="finished")
    run.sweep_json.write_text(json.dumps({"metric": "val_loss", "mode": "min"}))
    assert list(tables.read([run]).axes) == ["arch.kernel_size"]


def test_tables_of_twenty_thousand_epochs_take_seconds(writer: Writer) -> None:
    sweep = writer()
    sweep.session(list(range(2000)))
    for number in range(2000):
        sweep.trial(number, {"arch.kernel_size": number % 5})
        sweep.start(number)
        for epoch in range(1, 11):
            sweep.epoch(number, epoch, 1.0 / (epoch + number))
        sweep.end(number, "finished")
    run = sweep.close()
    began = time.perf_counter()
    results = tables.read([run])
    assert time.perf_counter() - began < 10  # about a second on an idle machine
    assert len(results.trials) == 2000
    assert len(results.epochs) == 20000
    assert np.allclose(results.trials["val_loss"], 1 / (10 + np.arange(2000)))
