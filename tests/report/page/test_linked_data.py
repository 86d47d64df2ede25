"""One selection for the whole page, in a real Chromium: charts, table, address, file and clipboard agree."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from cae.report.data import tables
from cae.report.page import linked_data as linked
from cae.run.paths import RunDir
from cae.run.records import Record
from tests.report.page.pages import column, drawn, needs_chromium, opened

pytestmark = needs_chromium

Make = Callable[[str], RunDir]


def address(page: Any) -> dict[str, str]:
    return dict(
        part.split("=", 1) for part in page.evaluate("location.hash").lstrip("#").split("&") if part
    )


def chosen(page: Any) -> list[str]:
    return sorted(column(page, "trial"), key=int)


def brush(page: Any, name: str, left: float, top: float, right: float, bottom: float) -> None:
    """Draws a box over a part of a chart's first panel, in shares of it."""
    drawn(page, name)
    box = page.locator(f"#{name}-plot .nsewdrag").first.bounding_box()
    corners = [
        (box["x"] + x * box["width"], box["y"] + y * box["height"])
        for x, y in ((left, top), (right, bottom))
    ]
    page.mouse.move(*corners[0])
    page.mouse.down()
    page.mouse.move(*corners[1], steps=6)
    page.mouse.up()
    page.wait_for_url(re.compile("sel="))


def pale(page: Any, name: str) -> set[int]:
    """The trials that do not stand out in a chart, by plotly's own state of its dots."""
    found: list[int] = page.evaluate(
        """name => document.getElementById(name + "-plot").data.filter(t => t.selectedpoints && t.mode === "markers")
        .flatMap(t => t.customdata.filter((_, i) => !t.selectedpoints.includes(i)))""",
        name,
    )
    return set(found)


def test_a_box_in_a_chart_selects_in_the_table_the_address_and_the_other_charts(
    thirty: Any,
) -> None:
    drawn(thirty, "tradeoff")
    brush(thirty, "progress", 0.02, 0.02, 0.4, 0.98)
    trials = chosen(thirty)
    assert 0 < len(trials) < 30
    ranges = [part.partition("-") for part in address(thirty)["sel"].split(",")]
    assert {str(n) for low, _, high in ranges for n in range(int(low), int(high or low) + 1)} == {
        *trials
    }
    drawn(thirty, "tradeoff")
    thirty.wait_for_selector("#tradeoff-plot:not([data-stale])")
    thirty.wait_for_timeout(1000)
    ranked = set(
        thirty.evaluate(
            "document.getElementById('tradeoff-plot').data.flatMap(t => t.customdata ?? [])"
        )
    )
    assert pale(thirty, "tradeoff") == ranked - {int(trial) - 1 for trial in trials}
    thirty.keyboard.press("Escape")
    assert len(chosen(thirty)) == 30
    assert address(thirty) == {}


def test_a_box_over_an_axis_of_the_parallel_coordinates_selects_its_lines(thirty: Any) -> None:
    brush(thirty, "parallel", 0.0, 0.0, 0.12, 0.35)
    assert set(column(thirty, "arch.kernel_size")) == {"7"}


def test_a_click_on_a_dot_selects_its_trial_and_a_second_one_lets_it_go(thirty: Any) -> None:
    drawn(thirty, "best")
    dot = thirty.locator("#best-plot .nsewdrag").first
    box = thirty.locator("#best-plot .scatterlayer .trace path.point").last.bounding_box()
    thirty.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    thirty.wait_for_url(re.compile("sel="))
    assert len(chosen(thirty)) == 1
    assert dot.count() == 1


def test_the_address_restores_selection_filter_order_and_place(
    browser: Any, make_run: Make
) -> None:
    with opened(
        browser, make_run("thirty"), "#s=trials&sel=9,10-12,99&only=1&sort=-val_loss&nonsense=1"
    ) as page:
        assert set(chosen(page)) <= {"9", "10", "11", "12"}
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
    ("wanted", "holds"),
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
    thirty: Any, make_run: Make, wanted: str, holds: Any
) -> None:
    rows = list(csv.DictReader(io.StringIO(make_run("thirty").trials_csv.read_text())))
    thirty.locator("#filter").fill(wanted)
    assert chosen(thirty) == [row["trial"] for row in rows if holds(row)] != []


def saved(page: Any) -> str:
    with page.expect_download() as download:
        page.locator("#save").click()
    return str(download.value.path().read_text())


def test_the_file_saved_is_trials_csv_and_of_a_selection_its_lines(
    thirty: Any, make_run: Make
) -> None:
    whole = make_run("thirty").trials_csv.read_text()
    assert saved(thirty) == whole
    thirty.locator("#filter").fill("stopped")
    some = list(csv.reader(io.StringIO(saved(thirty))))
    assert some[1:] == [row for row in csv.reader(io.StringIO(whole)) if "stopped" in row] != []


def test_boxes_of_the_table_select_by_mouse_and_keys_and_do_not_hide_the_others(
    thirty: Any,
) -> None:
    boxes = thirty.locator("#trials-table tbody input")
    boxes.first.focus()
    thirty.keyboard.press("Space")
    thirty.keyboard.press("ArrowDown")
    thirty.keyboard.press("Space")
    assert len(chosen(thirty)) == 30
    assert thirty.locator("#trials-table tr.selected").count() == 2
    assert thirty.locator("#shown").inner_text() == "2 selected"
    thirty.locator("#only").check()
    assert len(chosen(thirty)) == 2
    assert thirty.locator("#trials-table tbody input[tabindex='0']").count() == 1


def test_the_flags_of_a_trial_are_its_settings(thirty: Any, make_run: Make) -> None:
    thirty.locator("#filter").fill("kernel_size=5 finished")
    number = int(column(thirty, "trial")[0])
    thirty.locator("#copy-flags").click()
    words = shlex.split(thirty.locator("#flags code").inner_text())
    pairs = dict(word.split("=", 1) for word in words if word != "--set")
    axes = make_run("thirty").records()[number].axes
    assert {name: pairs[name] for name in axes} == {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in axes.items()
    }
    assert pairs["seed"] == "0"


def test_pictures_follow_the_order_and_the_filter_of_the_table(thirty: Any) -> None:
    thirty.locator("#trials-table th button", has_text="val_loss").first.click()
    thirty.locator("#trials-table th button", has_text="val_loss").first.click()
    order = thirty.evaluate(
        "[...document.querySelectorAll('[data-picture]')].sort((a, b) => a.style.order - b.style.order).map(f => f.dataset.picture)"
    )
    rows = thirty.evaluate(
        "[...document.querySelectorAll('#trials-table tbody tr')].map(r => r.dataset.t)"
    )
    assert order == [row for row in rows if row in order]
    assert len(order) > 3
    thirty.locator("#filter").fill("kernel_size=7")
    shown = thirty.evaluate(
        "[...document.querySelectorAll('[data-picture]:not([hidden])')].map(f => Number(f.dataset.picture) + 1)"
    )
    assert {str(number) for number in shown} <= set(chosen(thirty))


def test_keys_find_the_filter_and_clear_it(thirty: Any) -> None:
    thirty.keyboard.press("/")
    thirty.keyboard.type("stopped")
    assert address(thirty) == {"f": "stopped"}
    thirty.keyboard.press("Escape")
    assert len(chosen(thirty)) == 30


def test_flags_are_quoted_for_a_shell_and_lines_of_the_csv_may_hold_line_ends(
    make_run: Make, evil: str
) -> None:
    record = Record(
        1,
        "h",
        {"seed": 0, "arch.filters": [8, 16], "arch.name": evil},
        {"arch.filters": 0, "arch.name": 0},
        {},
    )
    assert shlex.split(linked.flags(record))[1::2] == [
        "arch.filters=[8, 16]",
        f"arch.name={evil}",
        "seed=0",
    ]
    results = tables.read([make_run("thirty")])
    results.trials.loc[0, "reason"] = 'two\nlines and a "quotation"'
    lines = json.loads(gzip.decompress(base64.b64decode(linked.packed_csv(results))))
    assert len(lines) == 31
    assert "".join(lines) == tables.csv_text(results, results.trials)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(thirty: Any, scheme: str) -> None:
    """In the dark only the colours are others. Of a table three rows are looked at, for all are of one make; of a chart its frame."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    thirty.emulate_media(color_scheme=scheme)
    drawn(thirty, "best")
    but, options = (
        {"exclude": [[".main-svg"], ["tbody tr:nth-child(n+4)"]]},
        {"runOnly": ["color-contrast"]} if scheme == "dark" else {},
    )
    found = axe.run(thirty, context=but, options=options).response["violations"]
    assert [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in found] == []
