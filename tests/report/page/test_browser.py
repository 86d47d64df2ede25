"""The page in a real Chromium, from a file, offline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cae.report.page.figures import FIGURES
from cae.report.page.sections import SECTIONS
from cae.run.paths import RunDir
from tests.report.page.pages import column, draw_all, needs_chromium, opened

pytestmark = needs_chromium

Make = Callable[[str], RunDir]
PAPER = "getComputedStyle(document.body).backgroundColor"


@pytest.mark.parametrize("name", ["none", "one", "all_failed", "all_nan", "mixed"])
def test_every_section_has_its_heading_and_every_chart_draws(
    browser: Any, make_run: Make, name: str
) -> None:
    with opened(browser, make_run(name)) as page:
        assert page.locator("section > h2").count() == len(SECTIONS)
        assert all(page.locator("section > h2").all_inner_texts())
        assert set(draw_all(page)) <= set(FIGURES)


def test_a_thousand_trials_open_and_draw_what_is_near_the_screen_first(
    browser: Any, make_run: Make
) -> None:
    with opened(browser, make_run("thousand")) as page:
        page.wait_for_selector("#best-plot[data-drawn] .main-svg", timeout=60_000)
        heights = {
            plot.get_attribute("data-chart"): plot.bounding_box()["y"]
            for plot in page.locator(".plot").all()
        }
        known = {
            plot.get_attribute("data-chart") for plot in page.locator(".plot[data-drawn]").all()
        }
        assert "best" in known
        assert {name for name in known if heights[name] > 900 + 400 + 10} == set()
        assert len(known) < len(heights) / 3
        assert set(draw_all(page)) == set(FIGURES) - {"interaction", "regret"}, (
            "nothing was planted for these two"
        )
        assert page.locator("#trials-table tbody tr").count() == 1000


def test_hostile_text_is_read_as_text_and_does_not_widen_the_page(
    browser: Any, make_run: Make, evil: str
) -> None:
    with opened(browser, make_run("hostile"), viewport={"width": 420, "height": 900}) as page:
        draw_all(page)
        assert page.evaluate("window.evil") is None
        assert page.locator("h1").inner_text().startswith("</script><img src=x onerror=")
        assert page.locator("img").count() == 0
        assert page.locator("main b", has_text="bold").count() == 0
        assert "</script><img" in page.locator("#axes-plot .xtitle").text_content()
        assert evil.split()[0] in page.locator("#failures .message").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 420


def test_no_chart_offers_to_send_itself_anywhere(thirty: Any) -> None:
    buttons = thirty.evaluate(
        "[...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title || b.getAttribute('aria-label'))"
    )
    assert len(buttons) == 4 * thirty.locator(".plot").count()
    assert not [
        button
        for button in buttons
        if any(word in button for word in ("Share", "cloud", "Plotly", "Edit"))
    ]


def test_no_chart_uses_webgl(thirty: Any) -> None:
    assert thirty.locator("canvas").count() == 0


def test_the_page_is_never_wider_than_the_window_and_panels_follow_its_width(thirty: Any) -> None:
    thirty.locator("#axes-plot").scroll_into_view_if_needed()
    wide = thirty.locator("#axes-plot").bounding_box()["height"]
    thirty.set_viewport_size({"width": 420, "height": 900})
    thirty.wait_for_function(
        "wide => document.getElementById('axes-plot').offsetHeight === 2 * wide", arg=wide
    )
    assert thirty.evaluate("document.documentElement.scrollWidth") <= 420


def test_the_table_sorts_both_ways_and_what_has_no_value_is_last(thirty: Any) -> None:
    head = thirty.locator("#trials-table th", has_text="test_loss").first
    for order in ("ascending", "descending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        texts = column(thirty, "test_loss")
        values = [float(text) for text in texts if text]
        assert 0 < len(values) < len(texts) == 30
        assert values == sorted(values, reverse=order == "descending")
        assert all(not text for text in texts[len(values) :])
    thirty.locator("#trials-table th button", has_text="state").click()
    assert column(thirty, "state") == sorted(column(thirty, "state"))
    assert thirty.locator("#trials-table th[aria-sort]:not([aria-sort=none])").count() == 1


def test_the_filter_keeps_rows_with_the_text(thirty: Any) -> None:
    thirty.locator("#filter").fill("STOPPED")
    assert set(column(thirty, "state")) == {"stopped"}
    assert thirty.locator("#shown").inner_text() == f"{len(column(thirty, 'state'))} of 30 shown"
    thirty.locator("#filter").fill("")
    assert len(column(thirty, "state")) == 30


def test_columns_that_hold_one_value_are_hidden_until_asked_for(thirty: Any) -> None:
    head = thirty.locator("#trials-table th", has_text="dataset").first
    assert not head.is_visible()
    thirty.locator("#constants").check()
    assert head.is_visible()


def test_without_javascript_every_table_is_there(browser: Any, make_run: Make) -> None:
    with opened(browser, make_run("thirty"), java_script_enabled=False) as page:
        assert page.locator("#trials-table tbody tr").count() == 30
        assert page.locator("#best-table tbody tr").count() == 10
        assert page.locator("noscript p").is_visible()


def test_the_page_follows_the_readers_colours_and_prints_on_white_with_all_headings_and_charts(
    browser: Any, make_run: Make
) -> None:
    with opened(browser, make_run("two"), color_scheme="dark") as page:
        assert page.evaluate(PAPER) == "rgb(20, 23, 27)"
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        for plot in page.locator(".plot").all():
            page.wait_for_selector(f"#{plot.get_attribute('id')}[data-drawn]", timeout=60_000)
        page.emulate_media(media="print", color_scheme="light")
        assert page.evaluate(PAPER) == "rgb(255, 255, 255)"
        assert page.pdf().startswith(b"%PDF")
        assert [head for head in page.locator("section > h2").all() if not head.is_visible()] == []


def test_every_heading_is_printed(thirty: Any) -> None:
    thirty.emulate_media(media="print")
    assert thirty.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
        "the browser would shrink all that is printed"
    )
    heads = thirty.locator("section > h2").all()
    assert len(heads) == len(SECTIONS)
    assert all(head.is_visible() for head in heads)


def test_a_reader_of_the_screen_finds_names_and_headers(thirty: Any) -> None:
    assert thirty.locator("a.skip").get_attribute("href") == "#summary"
    for name in [plot.get_attribute("data-chart") for plot in thirty.locator(".plot").all()]:
        caption = thirty.locator(f"figure[role=group]:has(#{name}-plot)").get_attribute(
            "aria-labelledby"
        )
        assert len(thirty.locator(f"#{caption}").inner_text()) > 20
    assert thirty.locator("th:not([scope])").count() == 0
    assert thirty.locator("img:not([alt])").count() == 0
    assert thirty.evaluate(
        "document.querySelectorAll('[id]').length === new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
    )
