"""Reading runs, joining them, and writing trials.csv and epochs.csv."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cae.errors import RunError
from cae.report.data import tables
from cae.run.paths import RunDir
from tests.report.data.written_tables import run_of_one_trial, write_and_read
from tests.report.synthetic_runs import MakeWriter

MakeRun = Callable[[str], RunDir]


def test_every_trial_of_every_run_has_one_row(shape: str, make_run: MakeRun) -> None:
    run = make_run(shape)
    trials = tables.read([run]).trials
    states = [record.state for record in run.records().values()]
    assert trials["trial"].tolist() == list(run.records())
    assert trials["state"].tolist() == states


def test_every_epoch_has_one_row(shape: str, make_run: MakeRun) -> None:
    run = make_run(shape)
    epochs = tables.read([run]).epochs
    expected = []
    for number, record in run.records().items():
        for epoch in sorted(record.epochs):
            expected.append((number, epoch))
    assert list(zip(epochs["trial"], epochs["epoch"], strict=True)) == expected


def test_a_running_sweep_has_pending_interrupted_and_withdrawn_trials(writer: MakeWriter) -> None:
    def states() -> list[str]:
        states: list[str] = write_and_read(run.run).trials["state"].tolist()
        return states

    run = writer()
    run.session([1, 2, 3])
    for number in (1, 2, 3):
        run.trial(number, {"arch.kernel_size": number})
    run.start(1)
    run.epoch(1, 1, 0.2)
    assert states() == ["interrupted", "pending", "pending"]
    with run.run.lock():
        assert states() == ["running", "pending", "pending"]
    run.session([1, 2])
    run.close()
    assert states() == ["interrupted", "pending", "withdrawn"]


def test_an_incomplete_last_line_changes_nothing(writer: MakeWriter) -> None:
    run = run_of_one_trial(writer, [0.4, 0.2], "finished")
    row = write_and_read(run).trials.iloc[0]
    with run.journal.open("a") as journal:
        journal.write('{"event":"epoch","trial":1,"epo')
    assert write_and_read(run).trials.iloc[0].equals(row)


def test_a_session_lasts_until_its_last_event(writer: MakeWriter) -> None:
    run = writer()
    run.session([1])
    run.trial(1, {})
    run.start(1)
    run.epoch(1, 1, 0.2)
    run.clock += 1000
    run.trial(2, {})  # recorded before the session that trains it starts
    run.session([1, 2])
    run.close()
    (read,) = tables.read([run.run]).runs
    durations = [session.end_time - session.start.time for session in read.sessions]
    assert durations == [13.5, 0.0]


def test_joined_runs_distinguish_trials_with_the_same_number(
    make_run: MakeRun, tmp_path: Path
) -> None:
    results = tables.read([make_run("two"), make_run("one")])
    tables.write(results, RunDir(tmp_path))
    trials = pd.read_csv(tmp_path / "trials.csv")
    epochs = pd.read_csv(tmp_path / "epochs.csv")
    assert results.joined
    assert trials["run"].tolist() == ["two", "two", "one"]
    assert trials["trial"].tolist() == [1, 2, 1]
    assert not epochs.duplicated(["run", "trial", "epoch"]).any()
    assert len(epochs) == 12


def test_joined_runs_of_equal_names_are_named_by_their_parents(
    writer: MakeWriter, tmp_path: Path
) -> None:
    runs: list[RunDir] = []
    for parent, state in (("a", "finished"), ("b", "stopped")):
        run = writer(f"{parent}/runs/grid")
        run.trial(1, {})
        run.start(1)
        run.epoch(1, 1, 0.1 + len(runs))
        run.end(1, state)
        runs.append(run.close())
    (tmp_path / "link").symlink_to(runs[1].path)
    results = tables.read([*runs, RunDir(tmp_path / "link")])
    assert results.trials["run"].tolist() == ["a/runs/grid", "b/runs/grid"]
    assert results.trials["val_loss"].tolist() == [0.1, 1.1]
    assert [record.state for record in results.records] == ["finished", "stopped"]


def test_one_run_has_no_run_column(make_run: MakeRun) -> None:
    written = write_and_read(make_run("two"))
    assert "run" not in written.trials
    assert "run" not in written.epochs


def test_runs_with_the_same_name_are_named_by_their_folders(writer: MakeWriter) -> None:
    runs = []
    for name in ("a/same", "b/same"):
        run = writer(name)
        run.session([1])
        run.trial(1, {})
        runs.append(run.close())
    assert tables.read(runs).trials["run"].tolist() == ["a/same", "b/same"]


def test_runs_with_different_metrics_are_not_joined(writer: MakeWriter) -> None:
    runs = [writer("loss").close(), writer("psnr", metric="val_psnr", mode="max").close()]
    with pytest.raises(RunError, match=r"loss by val_loss \(min\), psnr by val_psnr \(max\)"):
        tables.read(runs)


def test_reading_zero_runs_is_an_error() -> None:
    with pytest.raises(RunError, match="there is no run"):
        tables.read([])


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run"):
        tables.read([RunDir(tmp_path)])


def test_a_sweep_json_with_few_keys_is_read(writer: MakeWriter) -> None:
    run = run_of_one_trial(writer, [0.4], "finished")
    run.sweep_json.write_text(json.dumps({"metric": "val_loss", "mode": "min"}))
    assert list(tables.read([run]).axes) == ["arch.kernel_size"]


def test_tables_of_twenty_thousand_epochs_take_seconds(writer: MakeWriter) -> None:
    run = writer()
    run.session(list(range(2000)))
    for number in range(2000):
        run.trial(number, {"arch.kernel_size": number % 5})
        run.start(number)
        for epoch in range(1, 11):
            run.epoch(number, epoch, 1.0 / (epoch + number))
        run.end(number, "finished")
    folder = run.close()
    began = time.perf_counter()
    results = tables.read([folder])
    assert time.perf_counter() - began < 10  # about a second on an idle machine
    assert len(results.trials) == 2000
    assert len(results.epochs) == 20000
    assert np.allclose(results.trials["val_loss"], 1 / (10 + np.arange(2000)))
