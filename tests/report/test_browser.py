"""The page in a real Chromium, from a file, offline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cae.report import page as report
from cae.report.figures import FIGURES
from cae.report.sections import SECTIONS
from cae.rundir import RunDir

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}")

Make = Callable[[str], RunDir]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, run: RunDir, **options: Any) -> Iterator[Any]:
    """A run's page; asserts at the end that it asked for nothing and complained of nothing."""
    if not run.report_html.exists():
        report.build(run)
    context = browser.new_context(offline=True, **options)
    page, complaints, requests = context.new_page(), [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(run.report_html.as_uri())
    yield page
    context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture(scope="module")
def thirty(browser: Any, make_run: Make) -> Iterator[Any]:
    """The page of thirty trials with every chart drawn, for the tests that only look."""
    with opened(browser, make_run("thirty"), viewport={"width": 1200, "height": 900}) as page:
        assert set(draw_all(page)) <= set(FIGURES)
        yield page


def draw_all(page: Any) -> list[str]:
    """Scrolls to every chart and waits until it is drawn; returns their names."""
    names = [plot.get_attribute("data-chart") for plot in page.query_selector_all(".plot")]
    for name in names:
        page.locator(f"#{name}-plot").scroll_into_view_if_needed()
        page.wait_for_selector(f"#{name}-plot[data-drawn] .main-svg", timeout=60_000)
    return names


@pytest.mark.parametrize("name", ["none", "one", "all_nan", "mixed"])
def test_every_section_has_its_heading_and_every_chart_draws(browser: Any, make_run: Make, name: str) -> None:
    with opened(browser, make_run(name)) as page:
        assert page.locator("section > h2").count() == len(SECTIONS)
        assert all(page.locator("section > h2").all_inner_texts())
        assert set(draw_all(page)) <= set(FIGURES)


def test_a_thousand_trials_open_and_draw(browser: Any, make_run: Make) -> None:
    with opened(browser, make_run("thousand")) as page:
        assert set(draw_all(page)) == set(FIGURES) - {"interaction", "regret"}, "nothing was planted for these two"
        assert page.locator("#trials-table tbody tr").count() == 1000


def test_hostile_text_is_read_as_text_and_does_not_widen_the_page(browser: Any, make_run: Make, evil: str) -> None:
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
    buttons = thirty.evaluate("[...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title || b.getAttribute('aria-label'))")
    assert len(buttons) == 4 * thirty.locator(".plot").count()
    assert not [button for button in buttons if any(word in button for word in ("Share", "cloud", "Plotly", "Edit"))]


def test_no_chart_uses_webgl(thirty: Any) -> None:
    assert thirty.locator("canvas").count() == 0


def test_the_page_is_never_wider_than_the_window_and_panels_follow_its_width(browser: Any, make_run: Make) -> None:
    with opened(browser, make_run("thirty"), viewport={"width": 1200, "height": 900}) as page:
        page.locator("#axes-plot").scroll_into_view_if_needed()
        page.wait_for_selector("#axes-plot[data-drawn]", timeout=60_000)
        heights = []
        for width in (1200, 420):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(1000)
            heights.append(page.locator("#axes-plot").bounding_box()["height"])
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert heights[1] == 2 * heights[0]


def column(page: Any, name: str) -> list[str]:
    texts: list[str] = page.evaluate(
        """name => { const t = document.getElementById("trials-table");
        const i = [...t.tHead.rows[0].cells].findIndex(c => c.textContent === name);
        return [...t.tBodies[0].rows].filter(r => !r.hidden).map(r => r.cells[i].textContent); }""",
        name,
    )
    return texts


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


def test_the_page_follows_the_readers_colours_and_prints_on_white_with_all_charts(browser: Any, make_run: Make) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, make_run("two"), color_scheme="dark") as page:
        assert page.evaluate(paper) == "rgb(20, 23, 27)"
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        for plot in page.locator(".plot").all():
            page.wait_for_selector(f"#{plot.get_attribute('id')}[data-drawn]", timeout=60_000)
        page.emulate_media(media="print", color_scheme="light")
        assert page.evaluate(paper) == "rgb(255, 255, 255)"
        assert page.pdf().startswith(b"%PDF")


def test_a_reader_of_the_screen_finds_names_and_headers(thirty: Any) -> None:
    assert thirty.locator("a.skip").get_attribute("href") == "#summary"
    for name in [plot.get_attribute("data-chart") for plot in thirty.locator(".plot").all()]:
        caption = thirty.locator(f"figure[role=group]:has(#{name}-plot)").get_attribute("aria-labelledby")
        assert len(thirty.locator(f"#{caption}").inner_text()) > 20
    assert thirty.locator("th:not([scope])").count() == 0
    assert thirty.locator("img:not([alt])").count() == 0
    assert thirty.evaluate(
        "document.querySelectorAll('[id]').length === new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
    )
