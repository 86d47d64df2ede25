"""The files that `build` writes: complete, the same twice, safe for hostile text."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae.errors import RunError
from cae.report.page import build
from cae.report.page.sections import all_sections
from cae.run.paths import RunDir

MakeRun = Callable[[str], RunDir]
BuildPage = Callable[[str], RunDir]
FILES = ("trials_csv", "epochs_csv", "verdicts_json", "report_html")
MAX_BYTES = 6_000_000


class Outline(HTMLParser):
    """Sections, their verdicts, those that are not shown with their answers, rows of the table of
    trials, and the addresses in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.verdicts: dict[str, str] = {}
        self.not_shown: dict[str, str] = {}
        self.addresses: list[str] = []
        self.trial_rows = 0
        self._in_trials_table = False
        self._in_verdict = False
        self._not_shown_id = ""
        self._in_answer = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        for name in ("src", "href", "action"):
            if name in attributes:
                self.addresses.append(str(attributes[name]))
        if tag == "section":
            self.ids.append(str(attributes["id"]))
        if tag == "table":
            self._in_trials_table = attributes.get("id") == "trials-table"
        if tag == "tr" and self._in_trials_table:
            self.trial_rows += 1
        if tag == "dt":
            self._not_shown_id = str(attributes.get("id", ""))
        self._in_answer = tag == "dd" and self._not_shown_id != ""
        self._in_verdict = attributes.get("class") == "verdict-line"

    def handle_data(self, data: str) -> None:
        if self._in_verdict:
            self.verdicts[self.ids[-1]] = data
            self._in_verdict = False
        if self._in_answer:
            self.not_shown[self._not_shown_id] = data
            self._in_answer = False


@pytest.fixture
def built(make_run: MakeRun) -> BuildPage:
    """Build the page of a run of `SHAPES` by its name, once per session."""

    def build_once(shape: str) -> RunDir:
        run = make_run(shape)
        if not run.report_html.exists():
            assert build.build(run) == run.report_html
        return run

    return build_once


def test_every_page_has_all_sections_with_the_verdicts_of_verdicts_json(
    shape: str, built: BuildPage
) -> None:
    run = built(shape)
    outline = Outline(run.report_html.read_text())
    verdicts = json.loads(run.verdicts_json.read_text())["sections"]
    order = [section.id for section in all_sections()]
    assert list(verdicts) == order
    assert outline.ids == sorted(outline.ids, key=order.index)
    assert sorted([*outline.ids, *outline.not_shown]) == sorted(order)
    assert verdicts["summary"].startswith(outline.verdicts["summary"])
    shown = outline.verdicts | outline.not_shown | {"summary": verdicts["summary"]}
    assert shown == verdicts
    assert all(len(verdict) > 10 for verdict in verdicts.values())


def test_sections_with_nothing_to_say_are_named_in_one_line_at_the_end(built: BuildPage) -> None:
    html = built("two").report_html.read_text()
    line = html[html.index('<details id="not-shown">') :].partition("</summary>")[0]
    assert (
        "Not in this sweep: published numbers, claims, provenance of the values, search, progress "
        "of the Pareto front, latent size, latent code, anomaly scores."
    ) in line
    assert (
        "Nothing to show: what to try next, early stopping, reconstructions, images from the "
        "tasks, baselines, tables of the final evaluation, failures, comparison of runs."
    ) in line
    assert '<a href="#failures">' not in html


def test_every_trial_is_in_the_table_without_javascript(shape: str, built: BuildPage) -> None:
    run = built(shape)
    count = len(run.records())
    expected_rows = 0
    if count:
        expected_rows = count + 1  # with the heading
    assert Outline(run.report_html.read_text()).trial_rows == expected_rows


def test_the_page_contains_no_address_outside_it(shape: str, built: BuildPage) -> None:
    for address in Outline(built(shape).report_html.read_text()).addresses:
        assert address.startswith(("#", "data:image/png;base64,", "data:image/jpeg;base64,"))


def test_two_builds_of_one_folder_give_the_same_bytes(
    shape: str, built: BuildPage, tmp_path: Path
) -> None:
    run = built(shape)
    copy = RunDir(shutil.copytree(run.path, tmp_path / run.name))
    build.build(copy)
    for name in FILES:
        assert getattr(run, name).read_bytes() == getattr(copy, name).read_bytes(), name


def test_a_page_of_a_thousand_trials_is_within_the_size_limit(built: BuildPage) -> None:
    assert built("thousand").report_html.stat().st_size <= MAX_BYTES


def test_hostile_text_is_escaped(built: BuildPage) -> None:
    run = built("hostile")
    html = run.report_html.read_text()
    assert "<img src=x" not in html
    assert html.count("</script>") == html.count("<script")
    assert "&lt;img src=x onerror=" in html
    published = json.loads(run.verdicts_json.read_text())["published"]
    assert "window.evil=1" in published[0]["quantity"]


def test_scripts_are_shortened_by_whole_lines_only() -> None:
    script = 'const a = "//";  // why\n  // a comment\n\n/* style */\n  b();\n'
    assert build.without_indentation(script) == 'const a = "//";  // why\nb();'


def test_json_cannot_end_the_script_element_that_contains_it() -> None:
    text = json.dumps({"a": "</script><!--\u2028"}, ensure_ascii=False)
    assert "<" not in build.safe_json(text)
    assert json.loads(build.safe_json(text)) == json.loads(text)


def test_names_may_be_broken_after_dots_and_underscores() -> None:
    assert build.breakable("arch.kernel_size<b>") == "arch.<wbr>kernel_<wbr>size&lt;b&gt;"


def test_verdicts_json_contains_every_published_row(built: BuildPage) -> None:
    rows = json.loads(built("seeds").verdicts_json.read_text())["published"]
    assert [row["verdict"] for row in rows] == ["worse", "not run", "context", "not run"]
    assert rows[0]["n"] == 3
    assert rows[0]["ours"] == pytest.approx(0.0102 * (1 + 6 * np.exp(-4)), rel=0.01)


def test_a_page_is_built_while_the_sweep_is_running(make_run: MakeRun) -> None:
    run = make_run("running")
    with run.lock():
        build.build(run)
    verdicts = json.loads(run.verdicts_json.read_text())["sections"]
    assert verdicts["summary"].startswith("Best is trial 1: val_loss ")
    assert "The sweep is running: 2 trials of 3 remain." in run.report_html.read_text()
    run.report_html.unlink()


def test_joined_runs_share_a_page_that_names_the_run_of_each_trial(
    make_run: MakeRun, tmp_path: Path
) -> None:
    path = build.build_joined([make_run("two"), make_run("one")], tmp_path / "joined")
    verdicts = json.loads((path.parent / "verdicts.json").read_text())["sections"]
    assert "trial 2 of two" in verdicts["summary"]
    assert Outline(path.read_text()).trial_rows == 4
    assert "2 runs are joined: two and one." in path.read_text()
    assert (path.parent / "trials.csv").read_text().startswith("run,trial,")


def test_a_folder_that_is_not_a_run_is_refused_and_not_changed(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        build.build(RunDir(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_report_imports_neither_torch_nor_ray() -> None:
    code = (
        "import sys, cae.report.page.build; "
        "from cae.report.page.sections import all_sections; all_sections(); "
        "print(sorted({'torch', 'ray', 'cae.trial', 'cae.sweep'} & set(sys.modules)))"
    )
    command: list[Any] = [sys.executable, "-c", code]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
