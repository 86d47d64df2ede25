"""Runs that are read in Python."""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import cae
from cae.errors import UserError
from cae.report.data import tables
from cae.run.paths import RunDir


@pytest.fixture
def run(
    make_run: Callable[[str], RunDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunDir:
    """A copy of a run with 30 trials, as runs/thirty in the current folder."""
    monkeypatch.chdir(tmp_path)
    return RunDir(shutil.copytree(make_run("thirty").path, Path("runs/thirty")))


def test_the_tables_are_those_of_the_csv_files(run: RunDir) -> None:
    saved = cae.open_run("thirty")
    results = tables.read([run])
    for frame, table in ((saved.trials, results.trials), (saved.epochs, results.epochs)):
        written = pd.read_csv(io.StringIO(tables.csv_text(results, table)))
        read = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
        pd.testing.assert_frame_equal(read, written, check_dtype=False)
    assert (saved.name, saved.metric, saved.mode) == ("thirty", "val_loss", "min")
    assert "30 trials" in repr(saved)


def test_tables_are_copies(run: RunDir) -> None:
    saved = cae.open_run(run.path)
    trials = saved.trials
    trials["val_loss"] = 0.0
    assert saved.trials["val_loss"].nunique() > 1


def test_the_best_trials_are_those_of_the_journal(run: RunDir) -> None:
    losses: dict[int, float] = {}
    for number, record in run.records().items():
        finite = [
            row["val_loss"] for row in record.epochs.values() if math.isfinite(row["val_loss"])
        ]
        if finite and record.is_ranked:
            losses[number] = min(finite)
    expected = sorted(losses, key=lambda number: (losses[number], number))[:4]
    assert cae.open_run(run.path).best(top=4)["trial"].tolist() == expected


def test_every_figure_can_be_built(run: RunDir) -> None:
    saved = cae.open_run(run.path)
    assert {"best", "progress", "pareto"} <= set(saved.figures)
    for name in saved.figures:
        saved.figure(name).to_json()


def test_errors_name_what_exists(run: RunDir) -> None:
    saved = cae.open_run(run.path)
    with pytest.raises(UserError, match="did you mean 'progress'"):
        saved.figure("progres")
    with pytest.raises(UserError, match="val_nothing"):
        saved.best("val_nothing")
    with pytest.raises(UserError):
        cae.open_run("nowhere")
