"""Published numbers: the rows of their CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cae.errors import UserError
from cae.run.fields import InvalidField
from cae.run.published_rows import PUBLISHED_COLUMNS, PublishedRow, read_published_rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "numbers.csv"


def test_the_columns_and_their_order() -> None:
    assert PUBLISHED_COLUMNS == (
        "report",
        "where",
        "quantity",
        "value",
        "unit",
        "definition",
        "provenance",
        "metric",
        "trials",
        "comment",
        "published_sd",
        "published_runs",
        "margin",
        "margin_reason",
        "explanation",
    )


def test_rows_are_read_with_empty_text_for_missing_columns(path: Path) -> None:
    path.write_text('value,quantity,page\n0.10,"loss, best",7\n12\n1,2,3,4\n')
    rows = read_published_rows(path)
    assert rows == [
        PublishedRow(quantity="loss, best", value="0.10", other_columns={"page": "7"}),
        PublishedRow(quantity="", value="12", other_columns={"page": ""}),
        PublishedRow(quantity="2", value="1", other_columns={"page": "3"}),
    ]
    assert rows[0].metric == ""


def test_a_row_is_converted_to_columns_and_back() -> None:
    row = PublishedRow(quantity="loss", value="0.1", metric="val_loss", other_columns={"page": "7"})
    columns = row.to_columns()
    assert list(columns) == [*PUBLISHED_COLUMNS, "page"]
    assert PublishedRow.from_columns(columns) == row


def test_a_column_that_is_not_text_is_an_error() -> None:
    columns: dict[str, Any] = {"quantity": "loss", "value": 0.1}
    with pytest.raises(InvalidField, match=r"value = 0\.1: should be text"):
        PublishedRow.from_columns(columns)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"quantity,metric\nloss,val_loss\n", "numbers.csv has no column value; columns: report,"),
        (b"", "numbers.csv has no column quantity and no column value; columns:"),
        (b"quantity,value\n\xff,1\n", "numbers.csv cannot be read"),
        (None, "numbers.csv cannot be read"),
        (b"quantity,value,margin\nloss,1,small\n", "line 2: margin = 'small': should be a number"),
        (b"quantity,value,margin\nloss,1,0.1\n", "line 2: margin = '0.1': needs a margin_reason"),
        (b"quantity,value,published_sd\nloss,1,0.1\n", "are both needed, or neither"),
        (
            b"quantity,value,published_sd,published_runs\nloss,1,0.1,1\n",
            "published_runs = '1': should be a number of at least 2",
        ),
    ],
)
def test_an_unusable_file_is_an_error_in_words(
    path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_published_rows(path)
