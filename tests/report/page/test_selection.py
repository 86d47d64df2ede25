"""One selection for charts, table, address, file and clipboard, in a real Chromium."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import Any

import pytest

from cae.report.data.commands import set_flags
from cae.run.paths import RunDir
from tests.report.page.pages import TIMEOUT_MS, column, drawn, needs_chromium, opened

pytestmark = needs_chromium

MakeRun = Callable[[str], RunDir]


def address(page: Any) -> dict[str, str]:
    """Return the parameters of the address."""
    hash = page.evaluate("location.hash").lstrip("#")
    return dict(part.split("=", 1) for part in hash.split("&") if part)


def shown_trials(page: Any) -> list[str]:
    return sorted(column(page, "trial"), key=int)


def draw_box(page: Any, name: str, left: float, top: float, right: float, bottom: float) -> None:
    """Draw a box in the first panel of a chart; its corners are shares of the panel's size."""
    drawn(page, name)
    panel = page.locator(f"#{name}-plot .nsewdrag").first.bounding_box()
    page.mouse.move(panel["x"] + left * panel["width"], panel["y"] + top * panel["height"])
    page.mouse.down()
    page.mouse.move(
        panel["x"] + right * panel["width"], panel["y"] + bottom * panel["height"], steps=6
    )
    page.mouse.up()
    page.wait_for_url(re.compile("sel="))


def faded_trials(page: Any, name: str) -> set[int]:
    """Return the trials whose markers are faded in a chart."""
    trials: list[int] = page.evaluate(
        """name => document.getElementById(name + "-plot").data
            .filter(trace => trace.selectedpoints && trace.mode === "markers")
            .flatMap(trace => trace.customdata.filter(
                (_, point) => !trace.selectedpoints.includes(point)))""",
        name,
    )
    return set(trials)


def parse_ranges(text: str) -> set[str]:
    """Return the numbers of "3,7-9"."""
    numbers: set[str] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        numbers |= {str(number) for number in range(int(low), int(high or low) + 1)}
    return numbers


def test_a_box_selects_in_the_table_the_address_and_the_other_charts(thirty: Any) -> None:
    drawn(thirty, "pareto")
    draw_box(thirty, "progress", 0.02, 0.02, 0.4, 0.98)
    trials = shown_trials(thirty)
    assert 0 < len(trials) < 30
    assert parse_ranges(address(thirty)["sel"]) == set(trials)
    drawn(thirty, "pareto")
    thirty.wait_for_selector("#pareto-plot:not([data-stale])")
    thirty.wait_for_timeout(1000)
    all_trials = set(
        thirty.evaluate(
            """document.getElementById("pareto-plot").data
                .flatMap(trace => trace.customdata ?? [])"""
        )
    )
    assert faded_trials(thirty, "pareto") == all_trials - {int(trial) - 1 for trial in trials}
    thirty.keyboard.press("Escape")
    assert len(shown_trials(thirty)) == 30
    assert address(thirty) == {}


def test_a_box_over_an_axis_of_the_parallel_coordinates_selects_its_lines(thirty: Any) -> None:
    draw_box(thirty, "parallel_coordinates", 0.0, 0.0, 0.12, 0.35)
    assert set(column(thirty, "arch.kernel_size")) == {"7"}


def test_a_box_selects_lines_of_parallel_coordinates_also_in_a_narrow_window(thirty: Any) -> None:
    """There the axes are below one another: the first is at the top, its low end at the left."""
    thirty.set_viewport_size({"width": 390, "height": 844})
    labels = thirty.locator("#parallel_coordinates-plot .annotation-text")
    thirty.locator("#parallel_coordinates-plot").scroll_into_view_if_needed()
    labels.filter(has_text="arch.kernel_size").wait_for(timeout=TIMEOUT_MS)
    draw_box(thirty, "parallel_coordinates", 0.0, 0.05, 0.3, 0.15)
    assert set(column(thirty, "arch.kernel_size")) == {"3"}


def test_a_click_on_a_marker_selects_its_trial(thirty: Any) -> None:
    drawn(thirty, "best")
    marker = thirty.locator("#best-plot .scatterlayer .trace path.point").last.bounding_box()
    thirty.mouse.click(marker["x"] + marker["width"] / 2, marker["y"] + marker["height"] / 2)
    thirty.wait_for_url(re.compile("sel="))
    assert len(shown_trials(thirty)) == 1


def test_the_address_restores_selection_filter_order_and_section(
    browser: Any, make_run: MakeRun
) -> None:
    hash = "#s=trials&sel=9,10-12,99&only=1&sort=-val_loss&nonsense=1"
    with opened(browser, make_run("thirty"), hash) as page:
        assert set(shown_trials(page)) <= {"9", "10", "11", "12"}
        values = [float(text) for text in column(page, "val_loss") if text]
        assert values == sorted(values, reverse=True)
        assert page.locator("#trials").bounding_box()["y"] < 400
        page.evaluate("location.hash = '#f=kernel_size>3 state=finished'")
        page.wait_for_function(
            "document.getElementById('filter').value === 'kernel_size>3 state=finished'"
        )
        assert set(column(page, "state")) == {"finished"}
        assert set(column(page, "arch.kernel_size")) == {"5", "7"}


@pytest.mark.parametrize(
    ("filter", "matches"),
    [
        ("val_loss<0.01", lambda row: row["val_loss"] != "" and float(row["val_loss"]) < 0.01),
        ("kernel_size=3", lambda row: row["arch.kernel_size"] == "3"),
        ("state!=finished", lambda row: row["state"] != "finished"),
        ("optimizer=SGD", lambda row: row["optimizer"] == "sgd"),
        ("stopped", lambda row: row["state"] == "stopped"),
        ("lr>1e-3 lr<=1e-2", lambda row: 1e-3 < float(row["optimizer.lr"]) <= 1e-2),
    ],
)
def test_a_filter_compares_numbers_and_texts(
    thirty: Any, make_run: MakeRun, filter: str, matches: Callable[[dict[str, str]], bool]
) -> None:
    rows = csv.DictReader(io.StringIO(make_run("thirty").trials_csv.read_text()))
    expected = [row["trial"] for row in rows if matches(row)]
    thirty.locator("#filter").fill(filter)
    assert shown_trials(thirty) == expected != []


def saved_csv(page: Any) -> str:
    with page.expect_download() as download:
        page.locator("#save").click()
    return str(download.value.path().read_text())


def test_the_saved_file_contains_the_shown_lines_of_trials_csv(
    thirty: Any, make_run: MakeRun
) -> None:
    text = make_run("thirty").trials_csv.read_text()
    assert saved_csv(thirty) == text
    thirty.locator("#filter").fill("stopped")
    stopped = [row for row in csv.reader(io.StringIO(text)) if "stopped" in row]
    assert list(csv.reader(io.StringIO(saved_csv(thirty))))[1:] == stopped != []


def test_checkboxes_select_by_keyboard_without_hiding_other_rows(thirty: Any) -> None:
    thirty.locator("#trials-table tbody input").first.focus()
    thirty.keyboard.press("Space")
    thirty.keyboard.press("ArrowDown")
    thirty.keyboard.press("Space")
    assert len(shown_trials(thirty)) == 30
    assert thirty.locator("#trials-table tr.selected").count() == 2
    assert thirty.locator("#shown").inner_text() == "2 selected"
    thirty.locator("#only-selected").check()
    assert len(shown_trials(thirty)) == 2
    assert thirty.locator("#trials-table tbody input[tabindex='0']").count() == 1


def test_the_copied_flags_are_the_settings_of_the_trial(thirty: Any, make_run: MakeRun) -> None:
    thirty.locator("#filter").fill("kernel_size=5 finished")
    number = int(column(thirty, "trial")[0])
    thirty.locator("#copy-flags").click()
    run = make_run("thirty")
    flags = set_flags(run.records()[number], run.read_sweep().base)
    assert thirty.locator("#flags code").inner_text() == flags


def test_images_follow_the_order_and_the_filter_of_the_table(thirty: Any) -> None:
    heading = thirty.locator("#trials-table th button", has_text="val_loss").first
    heading.click()
    heading.click()
    images = thirty.locator(".strip[data-image-of]").evaluate_all(
        """images => images.sort((a, b) => a.style.order - b.style.order)
            .map(image => image.dataset.imageOf)"""
    )
    rows = thirty.locator("#trials-table tbody tr").evaluate_all(
        "rows => rows.map(row => row.dataset.trial)"
    )
    assert images == [row for row in rows if row in images]
    assert len(images) > 3
    thirty.locator("#filter").fill("kernel_size=7")
    shown = thirty.locator(".strip[data-image-of]:not([hidden])").evaluate_all(
        "images => images.map(image => String(Number(image.dataset.imageOf) + 1))"
    )
    assert set(shown) <= set(shown_trials(thirty))


def test_keys_focus_the_filter_and_clear_it(thirty: Any) -> None:
    thirty.keyboard.press("/")
    thirty.keyboard.type("stopped")
    assert address(thirty) == {"f": "stopped"}
    thirty.keyboard.press("Escape")
    assert len(shown_trials(thirty)) == 30
