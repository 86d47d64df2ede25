"""verdicts.json: it is read as it was written."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from cae.errors import RunError
from cae.run.fields import InvalidField
from cae.run.verdicts import ClaimVerdict, PublishedVerdict, Verdicts, read_verdicts

PUBLISHED = PublishedVerdict(
    run="run",
    quantity="loss",
    value="0.10",
    metric="val_loss",
    verdict="reproduced",
    why="3 seeds. Within 0.01 of the published value.",
    ours=0.101,
    sd=0.005,
    n=3,
    trials_used=[1, 2, 3],
    tolerance=0.01,
)
CLAIM = ClaimVerdict(
    run="run",
    id="C1",
    kind="SmallestAt",
    text="The loss is smallest at 3.",
    provenance="stated",
    test="paired t-test",
    statistic=-2.5,
    p=0.04,
    n=6,
    seeds=3,
    verdict="supported",
    trials_used=[1, 2],
)
VERDICTS = Verdicts(sections={"best": "Trial 3 is best: é."}, published=[PUBLISHED], claims=[CLAIM])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "verdicts.json"


def test_verdicts_are_read_as_they_were_written(path: Path) -> None:
    path.write_text(VERDICTS.to_json())
    assert read_verdicts(path) == VERDICTS
    row = json.loads(path.read_text())["published"][0]
    assert (row["run"], row["quantity"], row["ours"], row["size"]) == ("run", "loss", 0.101, False)


def test_numbers_that_are_not_finite_are_null(path: Path) -> None:
    claim = replace(CLAIM, statistic=math.inf, p=math.nan)
    path.write_text(Verdicts(claims=[claim]).to_json())
    assert json.loads(path.read_text())["claims"][0]["p"] is None
    assert read_verdicts(path).claims == [replace(CLAIM, statistic=None, p=None)]


def test_unknown_fields_are_ignored(path: Path) -> None:
    content = json.loads(VERDICTS.to_json())
    content["stars"] = 5
    content["claims"][0]["stars"] = 5
    path.write_text(json.dumps(content))
    assert read_verdicts(path) == VERDICTS


def test_other_columns_of_a_published_number_are_written() -> None:
    row = replace(PUBLISHED, other_columns={"page": "7"})
    assert json.loads(Verdicts(published=[row]).to_json())["published"][0]["page"] == "7"


def test_a_writer_refuses_what_a_reader_would_not_accept() -> None:
    claim = replace(CLAIM, n=-1)
    with pytest.raises(InvalidField, match=r"claims\[0\]\.n = -1: should be a whole number"):
        Verdicts(claims=[claim]).to_json()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "it should hold one JSON object"),
        ('{"sections": {"best": 3}}', "sections.best = 3: should be text"),
        ('{"published": [{"run": "r"}]}', "should be a published number with `run` and `verdict`"),
    ],
)
def test_a_missing_or_damaged_file_is_an_error_in_words(
    content: str | None, message: str, path: Path
) -> None:
    if content is not None:
        path.write_text(content)
    with pytest.raises(RunError, match=message):
        read_verdicts(path)
