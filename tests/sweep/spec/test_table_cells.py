"""Cells of tables that published numbers and claims name are checked when a sweep file is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from cae.run.table_cells import TableCell, parse_cell
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.tasks.declared_tables import column_name

FILE = """
from cae import Adam, Classifier, Classify, LargestRows, Mnist, Sweep, Trial
sweep = Sweep(
    base=Trial(
        dataset=Mnist(),
        task=Classify(),
        arch=Classifier(encoder_filters=(4, 2)),
        optimizer=Adam(),
        batch_size=32,
        epochs=1,
    ),
    published="numbers.csv",
    claims=[
        LargestRows(id="C1", text="x", table="per_class", column="{column}", rows=["3"]),
    ],
)
"""


def errors_of(folder: Path, metric: str, column: str = "recall") -> list[str]:
    (folder / "numbers.csv").write_text(f"quantity,value,metric\nx,0.99,{metric}\n")
    path = folder / "classify_digits.py"
    path.write_text(FILE.format(column=column))
    return read_sweep_file(path).errors


def test_columns_have_the_same_name_in_trials_and_in_runs() -> None:
    cell = TableCell("per_class", "3", "f1")
    assert cell.column_name == column_name("per_class", "f1")


def test_a_cell_has_a_table_a_row_and_a_column() -> None:
    assert parse_cell("per_class:3:f1") == TableCell("per_class", "3", "f1")
    assert parse_cell("per_class:a: b:f1") == TableCell("per_class", "a: b", "f1")
    assert parse_cell("val_loss") is None


@pytest.mark.parametrize(
    "metric", ["per_class:3:precision", "rounded_per_class:macro avg:f1", "val_loss", ""]
)
def test_cells_that_trials_have_are_valid(metric: str, tmp_path: Path) -> None:
    assert errors_of(tmp_path, metric) == []


@pytest.mark.parametrize(
    ("metric", "error"),
    [
        ("per_clas:3:f1", "'per_clas' is not a table of task 'classify'; did you mean 'per_class'"),
        ("per_class:3:recal", "'recal' is not a column of table per_class; did you mean 'recall'"),
        ("per_class:10:f1", "'10' is not a row of table per_class; did you mean '1'?"),
        ("per_class:x:f1", "'x' is not a row of table per_class; choose one of 0, 1, 2"),
        ("per_class:f1", "should be TABLE:ROW:COLUMN, such as per_class:3:precision"),
    ],
)
def test_another_cell_is_an_error_with_the_nearest_name(
    metric: str, error: str, tmp_path: Path
) -> None:
    (message,) = errors_of(tmp_path, metric)
    assert message.startswith(f"published, row 1: metric = {metric!r}: ")
    assert error in message


def test_the_columns_of_claims_about_rows_are_checked(tmp_path: Path) -> None:
    (message,) = errors_of(tmp_path, "", column="recal")
    assert message == (
        "claims: C1: 'recal' is not a column of table per_class; did you mean 'recall'?"
    )
