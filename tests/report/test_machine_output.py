"""JSON and CSV of `list`, `best` and `status`: their values are those of the journal."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.cli.machine_output import echo_json, write_csv
from cae.run.paths import RunDir

Row = dict[str, str]


@pytest.fixture
def run(
    make_run: Callable[[str], RunDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunDir:
    """A copy of a run with 30 trials, as runs/thirty in the current folder."""
    monkeypatch.chdir(tmp_path)
    return RunDir(shutil.copytree(make_run("thirty").path, Path("runs/thirty")))


def output_of(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code in (0, 1), result.output  # 1: trials of the run failed
    return result.stdout


def json_of(*arguments: str) -> Any:
    return json.loads(output_of(*arguments, "--json"))


def rows_of(*arguments: str) -> list[Row]:
    return list(csv.DictReader(io.StringIO(output_of(*arguments, "--csv", "-"))))


def best_losses(run: RunDir) -> dict[int, float]:
    """The lowest finite validation loss of each trial that is ranked."""
    losses: dict[int, float] = {}
    for number, record in run.records().items():
        values = [metrics["val_loss"] for metrics in record.epochs.values()]
        finite = [value for value in values if math.isfinite(value)]
        if finite and record.is_ranked:
            losses[number] = min(finite)
    return losses


def test_the_best_trials_have_the_lowest_losses_of_the_journal(run: RunDir) -> None:
    losses = best_losses(run)
    expected = sorted(losses, key=lambda number: (losses[number], number))[:3]
    found = json_of("best", "thirty", "--top", "3")
    assert [row["trial"] for row in found] == expected
    assert [row["value"] for row in found] == [losses[number] for number in expected]
    record = run.records()[expected[0]]
    assert found[0]["config"] == record.config
    assert found[0]["metrics"].items() >= record.epochs[found[0]["epoch"]].items()
    rows = rows_of("best", "thirty", "--top", "3")
    assert [int(row["trial"]) for row in rows] == expected
    assert [float(row["value"]) for row in rows] == [losses[number] for number in expected]
    assert rows[0]["seed"] == str(record.config["seed"])


def test_the_status_has_a_row_per_trial(run: RunDir) -> None:
    records = run.records()
    rows = {int(row["trial"]): row for row in rows_of("status", "thirty")}
    assert rows.keys() == records.keys()
    losses = best_losses(run)
    for number, record in records.items():
        assert rows[number]["state"] == record.state
        assert int(rows[number]["epochs_done"]) == record.last_epoch
        assert rows[number]["reason"] == record.reason
        if number in losses:
            assert float(rows[number]["val_loss"]) == losses[number]
        else:
            assert rows[number]["val_loss"] == ""


def test_the_list_counts_the_states_of_each_run(run: RunDir) -> None:
    Path("sweeps").mkdir()
    Path("sweeps/grid.py").write_text('"""A grid."""\n')
    states = Counter(str(record.state) for record in run.records().values())
    listed = json_of("list")
    (found,) = listed["runs"]
    assert {state: found[state] for state in states} == states
    assert found["best"] == min(best_losses(run).values())
    assert listed["sweeps"] == [{"file": "sweeps/grid.py", "description": "A grid."}]
    (row,) = rows_of("list")
    assert float(row["best"]) == found["best"]


def test_a_run_that_cannot_be_read_is_listed_with_its_error(run: RunDir) -> None:
    run.sweep_json.write_text("[")
    (row,) = json_of("list")["runs"]
    assert row["run"] == "thirty"
    assert "sweep.json" in row["error"]


def test_csv_can_be_written_to_a_file(run: RunDir) -> None:
    assert run.exists()
    assert output_of("status", "thirty", "--csv", "trials.csv") == ""
    rows = csv.DictReader(io.StringIO(Path("trials.csv").read_text()))
    assert len(list(rows)) == 30


def test_a_table_without_rows_has_a_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert output_of("list", "--csv", "-") == "run,folder\n"


def test_values_that_json_and_csv_lack_are_empty(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"nan": math.nan, "list": [math.inf, (1, 2)], 3: None}
    echo_json(values)
    assert json.loads(capsys.readouterr().out) == {"nan": None, "list": [None, [1, 2]], "3": None}
    write_csv([{"a": math.nan, "b": "=1+1"}, {"c": [8, 16], "b": "-0.5"}], Path("-"))
    assert capsys.readouterr().out == 'a,b,c\n,\'=1+1,\n,-0.5,"[8, 16]"\n'
