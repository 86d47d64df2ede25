"""Texts of others in exports: they stay text, and nothing is written outside the folder."""

from __future__ import annotations

import contextlib
import csv
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from cae.cli.app import app
from cae.errors import RunError
from cae.report.exporters import markdown, mlflow, tensorboard, trackers
from cae.report.exporters.mlflow import _valid_names
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from tests.report.synthetic_runs import RunWriter

TEXTS = {
    "escapes": "\x1b[31m\x07red\x9b2J\u202e",
    "lines": "a\nb\r\nc\x0b\x0cd\u2028e",
    "pipes": "a|b||c\\|d\\\\|e",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)> --> <!-- run {} -->",
    "links": "[click](javascript:alert(1)) ![x](http://evil/x.png) <http://evil>",
    "markup": "`a` ~~~ ```\n```\n# Title\n---\n<!-- run {} -->\n| a | b |",
    "formula": "=cmd|'/c calc'!A0",
    "path": "../../../outside/x",
    "absolute": "/outside/x",
    "dots": "..",
    "long": "x" * 10_000,
    "surrogates": "a\ud800b\udfff",
    "zero": "a\x00b",
    "spaces": "  ",
}
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")


@pytest.fixture(params=TEXTS, ids=list(TEXTS))
def hostile(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunDir:
    """A run with a text in all places where a run of others can have one."""
    text = TEXTS[request.param]
    sweep = {"title": text, "command": text, "device": text, "git_commit": text, "file": text}
    writer = RunWriter(tmp_path / "run", monkeypatch, **sweep)
    writer.session([1, 2])
    for number in (1, 2):
        axes = {"arch.kernel_size": 3, text: f"{text}{number}"}
        writer.trial(number, axes, arch=text, task=text)
        writer.start(number)
        writer.epoch(number, 1, 0.01)
    metrics = {"test_loss": 0.02, text: 1.0}
    writer.end(1, TrialState.FINISHED, best_epoch=1, reason=text, metrics=metrics)
    writer.end(2, TrialState.FAILED, reason=text, error=f"Traceback\nValueError: {text}")
    return writer.close()


def files_outside(run: RunDir, folder: Path) -> list[Path]:
    """Files beside the run that are not in a folder."""
    parent = run.path.parent
    paths = [path for path in parent.rglob("*") if path.is_file()]
    return [path for path in paths if not path.is_relative_to(folder)]


def test_markdown_has_no_markup_of_others(hostile: RunDir) -> None:
    file = markdown.write([hostile], Path("results.md"))
    text = file.read_text(encoding="utf-8")
    assert not CONTROL.search(text)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inline = [child for token in tokens for child in token.children or []]
    assert not [token for token in inline if token.type in ("link_open", "image", "html_inline")]
    html = [token.content for token in tokens if token.type == "html_block"]
    assert len(html) == 1, "the header of the section"
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h1", "h2"]
    assert sum(token.type == "fence" for token in tokens) == 1
    headings = [token for token in tokens if token.type == "th_open"]
    cells = [token for token in tokens if token.type == "td_open"]
    assert len(headings) == len(cells) > 4, "a row with one cell for each column"
    markdown.write([hostile], file)
    assert file.read_text(encoding="utf-8") == text, "it can be read again"


@pytest.mark.filterwarnings("ignore")  # of the library
def test_tensorboard_gets_the_texts_as_text(hostile: RunDir, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    before = files_outside(hostile, tmp_path / "events")
    tensorboard.write(hostile, tmp_path / "events")
    assert files_outside(hostile, tmp_path / "events") == before
    folders = sorted(path.name for path in (tmp_path / "events").iterdir() if path.is_dir())
    assert folders == ["trial-0001", "trial-0002"]
    events = accumulator.EventAccumulator(str(tmp_path / "events" / "trial-0001")).Reload()
    assert [scalar.step for scalar in events.Scalars("val_loss")] == [1]


@pytest.mark.filterwarnings("ignore")
def test_mlflow_gets_the_texts_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run with all texts: MLflow takes seconds to create its tables."""
    pytest.importorskip("mlflow.tracking")
    pytest.importorskip("alembic")
    writer = RunWriter(tmp_path / "run", monkeypatch)
    writer.session([1])
    writer.trial(1, {text: f"{text}1" for text in TEXTS.values()})
    writer.start(1)
    writer.epoch(1, 1, 0.01)
    reason = " ".join(TEXTS.values())
    metrics = dict.fromkeys(TEXTS.values(), 1.0)
    writer.end(1, TrialState.FINISHED, best_epoch=1, reason=reason, metrics=metrics)
    run = writer.close()
    before = files_outside(run, tmp_path / "tracking")
    mlflow.write(run, tmp_path / "tracking")
    assert files_outside(run, tmp_path / "tracking") == before
    file = tmp_path / "tracking" / "mlflow.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        keys = [key for (key,) in database.execute("SELECT key FROM params")]
        names = [name for (name,) in database.execute("SELECT DISTINCT key FROM metrics")]
    assert len(keys) == len(trackers.settings(run.records()[1]))
    assert len(names) == len(run.records()[1].epochs[1]) + len(TEXTS)


@pytest.mark.parametrize("hostile", ["surrogates", "zero"], indirect=True)
def test_tables_and_page_are_written(hostile: RunDir) -> None:
    result = CliRunner().invoke(app, ["report", str(hostile)])
    assert result.exit_code == 0, result.output
    with hostile.trials_csv.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == ["1", "2"]
    for command in (["status"], ["best"], ["logs"]):
        options = ["2"] if command == ["logs"] else []
        result = CliRunner().invoke(app, [*command, str(hostile), *options])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert not CONTROL.search(result.output)


@pytest.mark.parametrize("writer", [tensorboard.write, mlflow.write])
def test_a_link_in_a_run_is_not_followed(
    writer: Callable[..., str], hostile_link: tuple[RunDir, Path]
) -> None:
    run, outside = hostile_link
    with pytest.raises(RunError, match="is a link"):
        writer(run, None)
    assert not list(outside.iterdir())


@pytest.fixture
def hostile_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RunDir, Path]:
    """A run whose subfolders for exports are links to an empty folder outside."""
    writer = RunWriter(tmp_path / "run", monkeypatch)
    writer.session([])
    run = writer.close()
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("tensorboard", "mlflow"):
        (run.path / name).symlink_to(outside)
    return run, outside


def test_names_are_valid_and_stay_different() -> None:
    names: list[Any] = [*TEXTS.values(), "a|b", "a_b", "a/../b", "//a", "", "y" * 300, "y" * 400]
    valid_names = _valid_names(names)
    assert len(set(valid_names.values())) == len(set(names))
    for name in valid_names.values():
        assert 0 < len(name) <= 250
        assert re.fullmatch(r"[\w./\- ]+", name)
        assert not {"", ".", ".."} & set(name.split("/"))
    assert _valid_names(["a|b", "a_b"]) == {"a|b": "a_b", "a_b": "a_b_2"}


@pytest.mark.parametrize("character", "?#%")
def test_mlflow_refuses_a_folder_that_its_url_would_not_name(
    character: str, hostile_link: tuple[RunDir, Path], tmp_path: Path
) -> None:
    run, _ = hostile_link
    folder = tmp_path / f"a{character}b"
    with pytest.raises(RunError, match="MLflow finds no folder whose path contains"):
        mlflow.write(run, folder)
    assert not folder.exists()
