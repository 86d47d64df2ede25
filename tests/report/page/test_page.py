"""The page as a file: whole, of one piece, the same twice, and its sentences the ones in verdicts.json."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cae.errors import RunError
from cae.report import formatting
from cae.report.data import axis as scales
from cae.report.data import tables
from cae.report.page import build as page
from cae.report.page.sections import SECTIONS, charts
from cae.report.page.sections import best as ranking
from cae.report.page.sections import early_stopping as stopping
from cae.report.page.sections import reconstructions as images
from cae.run.paths import RunDir

Make = Callable[[str], RunDir]
Writer = Callable[..., Any]
FILES = ("trials_csv", "epochs_csv", "verdicts_json", "report_html")


class Outline(HTMLParser):
    """Sections, their first sentence, rows of the trial table, and every address that the page points to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.verdicts: dict[str, str] = {}
        self.addresses: list[str] = []
        self.rows = 0
        self._table = self._verdict = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.addresses += [str(found[name]) for name in ("src", "href", "action") if name in found]
        if tag == "section":
            self.ids.append(str(found["id"]))
        self._verdict = found.get("class") == "verdict-line"
        if tag == "table":
            self._table = found.get("id") == "trials-table"
        self.rows += tag == "tr" and self._table

    def handle_data(self, data: str) -> None:
        if self._verdict:
            self.verdicts[self.ids[-1]] = data
            self._verdict = False


@pytest.fixture
def built(make_run: Make) -> Callable[[str], tuple[RunDir, str]]:
    def build(shape: str) -> tuple[RunDir, str]:
        run = make_run(shape)
        if not run.report_html.exists():
            assert page.build(run) == run.report_html
        return run, run.report_html.read_text()

    return build


Built = Callable[[str], tuple[RunDir, str]]


def test_every_run_gets_all_sections_in_order_each_with_its_verdict(
    shape: str, built: Built
) -> None:
    run, text = built(shape)
    outline, verdicts = Outline(text), json.loads(run.verdicts_json.read_text())
    assert outline.ids == list(SECTIONS) == list(verdicts["sections"])
    assert outline.verdicts == verdicts["sections"]
    assert all(len(sentence) > 10 for sentence in outline.verdicts.values())


def test_every_trial_is_in_the_html_table_itself(shape: str, built: Built) -> None:
    run, text = built(shape)
    count = len(run.records())
    assert Outline(text).rows == (count + 1 if count else 0)


def test_nothing_on_the_page_points_outside_it(shape: str, built: Built) -> None:
    addresses = Outline(built(shape)[1]).addresses
    assert [
        address for address in addresses if not address.startswith(("#", "data:image/png;base64,"))
    ] == []


def test_two_builds_of_one_folder_are_equal_byte_for_byte(
    shape: str, built: Built, tmp_path: Path
) -> None:
    run, _ = built(shape)
    again = RunDir(shutil.copytree(run.path, tmp_path / run.name))
    page.build(again)
    for name in FILES:
        assert getattr(run, name).read_bytes() == getattr(again, name).read_bytes(), name


def test_a_thousand_trials_fit_into_six_megabytes(built: Built) -> None:
    run, _ = built("thousand")
    assert run.report_html.stat().st_size <= 6_000_000


def test_hostile_text_is_nowhere_markup(built: Built) -> None:
    run, text = built("hostile")
    assert "<img src=x" not in text
    assert text.count("</script>") == text.count("<script")
    assert "&lt;img src=x onerror=" in text
    assert "window.evil=1" in json.loads(run.verdicts_json.read_text())["published"][0]["quantity"]


def test_json_inside_a_script_cannot_end_the_script() -> None:
    text = json.dumps({"a": "</script><!--\u2028"}, ensure_ascii=False)
    assert "<" not in page.safe_json(text)
    assert json.loads(page.safe_json(text)) == json.loads(text)


def test_verdicts_hold_every_published_row_with_ours(built: Built) -> None:
    rows = json.loads(built("seeds")[0].verdicts_json.read_text())["published"]
    assert [row["verdict"] for row in rows] == ["worse", "not run", "context", "not run"]
    assert rows[0]["n"] == 3
    assert rows[0]["ours"] == pytest.approx(0.0102 * (1 + 6 * np.exp(-4)), rel=0.01)


def test_a_page_is_built_while_the_sweep_runs(make_run: Make) -> None:
    run = make_run("running")
    with run.lock():
        page.build(run)
    verdicts = json.loads(run.verdicts_json.read_text())["sections"]
    assert verdicts["summary"].startswith("Best is trial 1: val_loss ")
    assert "The sweep is running: 2 trials of 3 to go." in run.report_html.read_text()
    run.report_html.unlink()


def test_joined_runs_make_one_page_that_names_the_run_of_each_trial(
    make_run: Make, tmp_path: Path
) -> None:
    path = page.build_joined([make_run("two"), make_run("one")], tmp_path / "joined")
    verdicts = json.loads((path.parent / "verdicts.json").read_text())["sections"]
    assert "trial 2 of two" in verdicts["summary"]
    assert Outline(path.read_text()).rows == 4
    assert "2 runs are joined: two and one." in path.read_text()
    assert (path.parent / "trials.csv").read_text().startswith("run,trial,")


def test_a_folder_that_is_no_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        page.build(RunDir(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_summary_says_what_is_best_by_how_much_and_that_it_is_one_seed(built: Built) -> None:
    verdict = json.loads(built("two")[0].verdicts_json.read_text())["sections"]["summary"]
    assert re.fullmatch(
        r"Best is trial 2: val_loss \S+ at epoch 4, \S+ \(50\u00a0%\) lower than the second \(trial 1, \S+\)\. "
        r"Whether it is really better than the others is unknown: one seed each, .* --set seeds=3; what is finished stays.",
        verdict,
    )


def test_seeds_of_the_best_configuration_are_not_its_rival(built: Built) -> None:
    verdict = json.loads(built("seeds")[0].verdicts_json.read_text())["sections"]["summary"]
    assert "than the next configuration (trial 4," in verdict
    assert "unknown: the best one or all others ran with one seed" in verdict


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none", "No trial has been planned or run yet."),
        ("all_failed", "No trial has a finite val_loss yet, so there is no best one."),
        ("all_nan", "No trial has a finite val_loss yet, so there is no best one."),
    ],
)
def test_without_a_best_trial_the_summary_says_why(built: Built, name: str, sentence: str) -> None:
    assert json.loads(built(name)[0].verdicts_json.read_text())["sections"]["summary"] == sentence


def test_the_command_exports_by_name_and_holds_no_path(make_run: Make) -> None:
    section = ranking.best(tables.read([make_run("thirty")]), [])
    assert section.data["command"] == "cae-sweep best thirty --metric val_loss --mode min -o best"


def test_rungs_count_who_entered_and_who_was_stopped(make_run: Make) -> None:
    results = tables.read([make_run("thirty")])
    rungs = stopping.stopping(results, []).data["rungs"]
    counts = {row[0].text: [cell.text for cell in row[1:3]] for row in rungs.rows}
    entered = (results.epochs.groupby("epoch")["trial"].nunique()).to_dict()
    stopped = (
        results.trials.loc[results.trials["state"] == "stopped", "rung"].value_counts().to_dict()
    )
    assert counts == {str(rung): [str(entered[rung]), str(int(stopped[rung]))] for rung in (1, 3)}


def test_equal_errors_are_one_group_whatever_their_numbers(make_run: Make) -> None:
    from cae.report.page.sections.failures import failures

    groups = failures(tables.read([make_run("all_failed")])).data["groups"]
    assert [(group["state"], group["count"], group["message"]) for group in groups] == [
        ("failed", 3, "RuntimeError: shape mismatch at layer 1")
    ]
    assert groups[0]["epochs"] == [("before the first epoch ended", "trials 1, 2, 3")]
    assert groups[0]["traceback"].startswith("Traceback (most recent call last)")


@pytest.mark.parametrize(
    ("losses", "sentence"),
    [
        (
            [0.1, 0.12, 0.15],
            "val_loss rises with task.noise at every step, from 0.1000 at 0.5 to 0.1500 at 0.9. One trial each",
        ),
        (
            [0.15, 0.12, 0.1],
            "val_loss falls with task.noise at every step, from 0.1500 at 0.5 to 0.1000 at 0.9. One trial each",
        ),
        ([0.1, 0.15, 0.12], "No parameter by itself separates these 3 trials beyond chance."),
    ],
)
def test_the_one_parameter_of_a_sweep_is_said_to_move_the_metric_where_every_step_does(
    writer: Writer, losses: list[float], sentence: str
) -> None:
    sweep = writer(axes={"task.noise": {"values": [0.5, 0.7, 0.9], "scale": "linear"}})
    sweep.session([1, 2, 3])
    for number, (noise, loss) in enumerate(zip([0.5, 0.7, 0.9], losses, strict=True), 1):
        sweep.trial(number, {"task.noise": noise})
        sweep.start(number)
        sweep.epoch(number, 1, loss)
        sweep.end(number, "finished", best_epoch=1)
    page.build(sweep.close())
    verdicts = json.loads(sweep.run.verdicts_json.read_text())
    assert verdicts["sections"]["axes"].startswith(sentence)


def test_a_parameter_that_does_nothing_is_not_called_important() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=200)
    assert charts.chance(pd.Series(random.choice(["a", "b"], 200)), values) > 0.05
    assert charts.chance(pd.Series(np.where(values > 0, "a", "b"), dtype=object), values) < 1e-6


def test_the_sprite_holds_the_pixels_unchanged(writer: Writer) -> None:
    sweep = writer()
    sweep.samples(1, 0.1, side=16, channels=3)
    arrays = images.load(sweep.run.trial(1) / "samples.npz")
    assert arrays is not None
    given, target, output = arrays
    sheet = np.asarray(images.compose([given, output, images.error(target, output)], 16, 16))
    assert sheet.shape == (3 * 17 - 1, 8 * 17 - 1, 4)
    for column in range(8):
        assert (
            sheet[17:33, column * 17 : column * 17 + 16, :3] == output[column].transpose(1, 2, 0)
        ).all()
    assert Image.fromarray(sheet).mode == "RGBA"


def test_equal_inputs_and_targets_share_a_row(writer: Writer) -> None:
    sweep = writer()
    sweep.samples(1, 0.1)
    strip = images.sprite(sweep.run.trial(1) / "samples.npz")
    assert strip is not None
    assert strip["rows"] == ["input and target", "output", "|error|, 4 times"]


def test_inputs_of_another_size_than_targets_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    target = np.zeros((5, 3, 32, 32), np.uint8)
    np.savez(path, input=np.ones((5, 1, 8, 8), np.uint8), target=target, output=target, epoch=1)
    strip = images.sprite(path)
    assert strip is not None
    assert (strip["columns"], strip["rows"][:3], strip["width"]) == (
        5,
        ["input", "target", "output"],
        5 * 33 - 1,
    )


def test_large_images_are_reduced_by_a_whole_factor_and_said(tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    big = np.zeros((2, 1, 150, 130), np.uint8)
    np.savez(path, input=big, target=big, output=big, epoch=1)
    strip = images.sprite(path)
    assert strip is not None
    assert (strip["factor"], strip["width"], strip["height"]) == (3, 2 * 45 - 1, 3 * 51 - 1)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x93NUMPY"])
def test_damaged_samples_are_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "samples.npz").write_bytes(content)
    assert images.sprite(tmp_path / "samples.npz") is None


def test_samples_that_would_need_unpickling_are_none(tmp_path: Path) -> None:
    evil = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "samples.npz", input=evil, target=evil, output=evil)
    assert images.sprite(tmp_path / "samples.npz") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0123456, "0.01235"),
        (48000, "48,000"),
        (1.2e-5, "1.200e-05"),
        (123.456, "123.5"),
        (float("nan"), "NaN"),
        (None, ""),
        (0.0, "0"),
    ],
)
def test_numbers_are_printed_with_four_significant_digits(value: Any, text: str) -> None:
    assert formatting.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.25, "4.2 s"), (42, "42 s"), (200, "3 min 20 s"), (3600, "1 h"), (90061, "1 d 1 h")],
)
def test_durations_are_printed_in_two_units(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


def test_the_report_never_imports_torch_or_ray() -> None:
    code = "import sys, cae.report.page.build; print(sorted({'torch', 'ray', 'cae.trial', 'cae.sweep'} & set(sys.modules)))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_pictures_that_a_task_made_are_on_the_page_and_damaged_ones_are_not(
    writer: Callable[..., Any],
) -> None:
    run = writer()
    run.session([1, 2])
    for number in (1, 2):
        run.trial(number, {})
        run.start(number)
        run.epoch(number, 1, 0.1 * number)
        run.end(number, "finished", best_epoch=1, metrics={"test_loss": 0.1})
        folder = run.run.trial(number)
        folder.mkdir(parents=True, exist_ok=True)
        pictures = np.full((2, 1, 6, 6), 9, dtype=np.uint8)
        np.savez(
            folder / "galleries.npz",
            names=np.array(["wrong"]),
            images_0=pictures,
            captions_0=np.array(["<b>7</b>, is 1", "4, is 9"]),
        )
    (run.run.trial(2) / "galleries.npz").write_bytes(b"PK damaged")
    html = page.build(run.close()).read_text()
    assert "trial 1: wrong" in html
    assert "trial 2: wrong" not in html
    assert "&lt;b&gt;7&lt;/b&gt;, is 1" in html
    assert html.count('<ul class="gallery">') == 1


def test_values_of_axes_say_whose_they_are(writer: Callable[..., Any]) -> None:
    axes = {
        "arch.kernel_size": {
            "values": [3, 5],
            "scale": "linear",
            "origins": [[3, "stated"], [5, "inferred"]],
        }
    }
    run = writer(axes=axes)
    run.session([1])
    run.trial(1, {"arch.kernel_size": 3})
    built = page.build(run.close())
    said = "Of 2 values on 1 axis: 1 stated by the report and 1 inferred, by us."
    assert said in built.read_text()
    assert json.loads((built.parent / "verdicts.json").read_text())["sections"][
        "origins"
    ].startswith(said)


def test_a_trial_that_only_others_need_makes_no_parameter_vary(writer: Callable[..., Any]) -> None:
    run = writer()
    run.session([1, 2, 3])
    run.add(
        "trial",
        trial=1,
        hash="1",
        config={"dataset": "digits", "epochs": 2, "seed": 0},
        axes={},
        sizes={},
        is_dependency=True,
    )
    for number in (2, 3):
        run.trial(number, {"arch.kernel_size": number})
        run.start(number)
        run.epoch(number, 1, 0.1)
        run.end(number, "finished", best_epoch=1)
    results = tables.read([run.close()])
    assert scales.varying(results, results.trials) == ["arch.kernel_size"]
