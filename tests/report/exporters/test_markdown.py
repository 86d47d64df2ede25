"""The text that puts published numbers beside ours, of many runs: made from journals, kept over many days."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae.errors import UserError
from cae.report.exporters import markdown
from cae.run.paths import RunDir
from tests.conftest import ROOT

NUMBER = {
    "report": "000",
    "where": "Ex 1",
    "quantity": "best loss",
    "value": "0.020",
    "unit": "loss",
    "metric": "val_loss",
    "trials": "",
}
CLAIM = {
    "kind": "NotTestable",
    "id": "C1",
    "text": "It is <b>good</b> | bad.",
    "provenance": "stated",
    "reason": "nothing measures it",
}


@pytest.fixture
def run(writer: Callable[..., Any]) -> Callable[..., RunDir]:
    def make(folder: str, loss: float, **sweep: Any) -> RunDir:
        run = writer(
            folder,
            **(
                {"overrides": {}, "published": [NUMBER], "claims": [CLAIM], "description": ""}
                | sweep
            ),
        )
        run.session([1])
        run.trial(1, {"arch.kernel_size": 3})
        run.start(1)
        run.epoch(1, 1, loss)
        run.end(
            1,
            "finished",
            best_epoch=1,
            metrics={"test_loss": loss, "test_baseline_mean_image": 0.5},
        )
        closed: RunDir = run.close()
        return closed

    return make


def test_a_section_has_command_date_commit_hardware_numbers_and_claims(
    run: Callable[..., RunDir], tmp_path: Path
) -> None:
    text = markdown.write([run("one", 0.0204)], tmp_path / "r.md").read_text()
    for said in (
        "cae-sweep run sweeps/cifar_grid.py --budget cpu",
        "2026-01-01",
        "abc1234",
        "cpu (2 x generic)",
        "torch 2.9.0",
    ):
        assert said in text
    assert "| 000 | best loss | 0.020 loss | 0.02040 | 1 | reproduced | `one` |" in text
    assert "Every finished trial beats the trivial answers" in text
    assert "C1: It is &lt;b>good&lt;/b> \\| bad." in text
    assert "**not testable**" in text


def test_what_does_not_compare_is_in_its_section_and_not_among_the_numbers_that_do(
    run: Callable[..., RunDir], tmp_path: Path
) -> None:
    changed = {"epochs": {"full": 10, "here": 1}}
    text = markdown.write([run("few", 0.0204, overrides=changed)], tmp_path / "r.md").read_text()
    top, section = text.split("<!-- run ")
    assert "best loss" not in top
    assert "1 not comparable" in top
    assert "epochs 1 instead of 10" in section
    assert "| 0.020 loss | 0.02040 | 1 | not comparable |" in section


def test_the_sections_of_runs_that_are_not_given_stay_as_they_are(
    run: Callable[..., RunDir], tmp_path: Path
) -> None:
    path, second = tmp_path / "r.md", {"published": [NUMBER | {"report": "-->"}]}
    one, two = run("one", 0.02), run("two", 0.5, **second)
    whole = markdown.write([one, two], path).read_text()
    path.unlink()
    markdown.write([one], path)
    markdown.write([two], path)
    assert path.read_text() == whole
    assert markdown.write([one], path).read_text() == whole, "the same run again changes nothing"
    assert whole.count("<!-- run ") == 2
    assert "worse" in whole


def test_a_section_that_was_changed_by_hand_is_told(
    run: Callable[..., RunDir], tmp_path: Path
) -> None:
    path = markdown.write([run("one", 0.02)], tmp_path / "r.md")
    path.write_text(path.read_text().replace("0.02000 (trial 1", "0.01000 (trial 1"))
    with pytest.raises(UserError, match="the section of one was changed by hand"):
        markdown.write([], path)


def test_docs_reproduction_is_what_the_command_makes_of_its_own_sections(tmp_path: Path) -> None:
    made = ROOT / "docs" / "reproduction.md"
    copy = tmp_path / "r.md"
    copy.write_bytes(made.read_bytes())
    assert markdown.write([], copy).read_bytes() == made.read_bytes()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("# My notes\n", "another file"),
        (f"{markdown.TITLE}\n\n<!-- run {{1}} -->\n", "cannot be read"),
    ],
)
def test_another_file_is_not_overwritten(
    text: str, rule: str, run: Callable[..., RunDir], tmp_path: Path
) -> None:
    path = tmp_path / "r.md"
    path.write_text(text)
    with pytest.raises(UserError, match=rule):
        markdown.write([run("one", 0.02)], path)
    assert path.read_text() == text
