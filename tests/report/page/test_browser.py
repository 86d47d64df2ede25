"""The page in a real Chromium, from a file, offline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cae.report.page.sections import all_sections
from cae.run.paths import RunDir
from tests.report.page.pages import (
    TIMEOUT_MS,
    column,
    draw_all,
    drawn,
    needs_chromium,
    opened,
    shown_sections,
)

pytestmark = needs_chromium

MakeRun = Callable[[str], RunDir]
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
PAGE_WIDTH = "document.documentElement.scrollWidth"
FIGURES = {figure.name for section in all_sections() for figure in section.figures}


@pytest.mark.parametrize(
    ("name", "charts"),
    [("none", 0), ("one", 3), ("all_failed", 1), ("all_nan", 2), ("mixed", 8)],
)
def test_every_section_has_a_heading_and_every_chart_is_drawn(
    browser: Any, make_run: MakeRun, name: str, charts: int
) -> None:
    with opened(browser, make_run(name)) as page:
        headings = page.locator("section > h2").all_inner_texts()
        assert headings == [section.title for section in shown_sections(make_run(name))]
        assert {"Summary", "Hardware and settings"} <= set(headings)
        drawn_charts = set(draw_all(page))
        assert drawn_charts <= FIGURES
        assert len(drawn_charts) == charts


@pytest.mark.slow
def test_a_page_of_a_thousand_trials_draws_charts_near_the_screen_first(
    browser: Any, make_run: MakeRun
) -> None:
    with opened(browser, make_run("thousand")) as page:
        page.wait_for_selector("#best-plot[data-drawn] .main-svg", timeout=TIMEOUT_MS)
        tops = {
            plot.get_attribute("data-chart"): plot.bounding_box()["y"]
            for plot in page.locator(".plot").all()
        }
        drawn_charts = {
            plot.get_attribute("data-chart") for plot in page.locator(".plot[data-drawn]").all()
        }
        assert "best" in drawn_charts
        assert {name for name in drawn_charts if tops[name] > 900 + 400 + 10} == set()
        assert len(drawn_charts) < len(tops) / 3
        # This run has no interaction, no regret and no anomalies.
        not_drawn = {"interaction", "regret", "search", "hypervolume", "rate_distortion"}
        not_drawn.add("anomaly_scores")
        assert set(draw_all(page)) == FIGURES - not_drawn - {"latent_umap"}
        assert page.locator("#trials-table tbody tr").count() == 1000


def test_hostile_text_is_shown_as_text_and_does_not_widen_the_page(
    browser: Any, make_run: MakeRun, evil: str
) -> None:
    with opened(browser, make_run("hostile"), viewport={"width": 420, "height": 900}) as page:
        draw_all(page)
        assert page.evaluate("window.evil") is None
        assert page.locator("h1").inner_text().startswith("=1+1 </script><img src=x onerror=")
        assert page.locator("img").count() == 0
        assert page.locator("main b", has_text="bold").count() == 0
        assert "</script><img" in page.locator("#parameters-plot .xtitle").text_content()
        assert evil.split()[0] in page.locator("#failures .message").inner_text()
        assert page.evaluate(PAGE_WIDTH) <= 420


def test_no_chart_offers_to_upload_itself(thirty: Any) -> None:
    labels = thirty.locator(".modebar-btn").evaluate_all(
        "buttons => buttons.map(b => b.dataset.title || b.getAttribute('aria-label'))"
    )
    assert len(labels) == 4 * thirty.locator(".plot").count()
    for word in ("Share", "cloud", "Plotly", "Edit"):
        assert not [label for label in labels if word in label]


def test_no_chart_uses_webgl(thirty: Any) -> None:
    assert thirty.locator("canvas").count() == 0


def test_panels_are_rearranged_in_a_narrow_window(thirty: Any) -> None:
    thirty.locator("#parameters-plot").scroll_into_view_if_needed()
    height = thirty.locator("#parameters-plot").bounding_box()["height"]
    thirty.set_viewport_size({"width": 420, "height": 900})
    thirty.wait_for_function(
        "height => document.getElementById('parameters-plot').offsetHeight === 2 * height",
        arg=height,
    )
    assert thirty.evaluate(PAGE_WIDTH) <= 420


@pytest.mark.parametrize("chart", ["best", "importance"])
def test_a_narrow_chart_has_its_labels_above_its_rows_and_shows_all_points(
    thirty: Any, chart: str
) -> None:
    thirty.set_viewport_size({"width": 390, "height": 844})
    plot = thirty.locator(f"#{chart}-plot")
    plot.scroll_into_view_if_needed()
    plot.locator(".annotation-text").first.wait_for(timeout=TIMEOUT_MS)
    frame = plot.bounding_box()
    assert frame["width"] <= 390
    points = plot.locator(".scatterlayer .point").all()
    assert len(points) >= 4
    for point in points:
        box = point.bounding_box()
        assert frame["x"] <= box["x"] <= frame["x"] + frame["width"] - box["width"]
    labels = plot.locator(".annotation-text").all()
    assert len(labels) > 2
    for label in labels:
        box = label.bounding_box()
        assert box["x"] + box["width"] <= frame["x"] + frame["width"]
    assert plot.locator(".ytick text").count() == 0
    assert plot.locator(".xtick text").count() > 1
    assert plot.evaluate("plot => plot._fullLayout._size.w") > 0.8 * frame["width"]


def test_narrow_parallel_coordinates_have_their_axes_below_one_another(thirty: Any) -> None:
    thirty.set_viewport_size({"width": 390, "height": 844})
    plot = thirty.locator("#parallel_coordinates-plot")
    plot.scroll_into_view_if_needed()
    labels = plot.locator(".annotation-text")
    labels.filter(has_text="optimizer.lr").wait_for(timeout=TIMEOUT_MS)
    frame = plot.bounding_box()
    assert frame["width"] <= 390
    assert plot.evaluate("plot => plot.parentElement.scrollWidth") <= frame["width"]
    boxes = {label.text_content(): label.bounding_box() for label in labels.all()}
    for box in boxes.values():
        assert frame["x"] <= box["x"] <= frame["x"] + frame["width"] - box["width"]
    names = ["arch.kernel_size", "arch.encoder_filters.1", "optimizer.lr", "optimizer", "val_loss"]
    heights = [boxes[name]["y"] for name in names]
    assert heights == sorted(heights)
    assert boxes["3"]["x"] < boxes["5"]["x"] < boxes["7"]["x"]
    assert len({round(boxes[kernel]["y"]) for kernel in "357"}) == 1


@pytest.mark.parametrize("width", [390, 800])
def test_the_contents_unfold_in_a_narrow_window_and_fold_after_a_click(
    thirty: Any, width: int
) -> None:
    thirty.set_viewport_size({"width": width, "height": 844})
    link = thirty.locator("#contents a[href='#pareto']")
    assert not link.is_visible()
    thirty.locator("#contents > summary").click()
    link.click()
    assert not link.is_visible()
    assert thirty.locator("#pareto-title").is_visible()
    thirty.wait_for_function(
        "() => document.getElementById('current-section').textContent === 'Pareto'"
    )


def test_the_contents_are_beside_the_page_in_a_wide_window(thirty: Any) -> None:
    links = thirty.locator("#contents a")
    assert links.count() == thirty.locator("main > section").count()
    assert all(link.is_visible() for link in links.all())
    contents = thirty.locator("nav").bounding_box()
    main = thirty.locator("main").bounding_box()
    assert contents["x"] + contents["width"] < main["x"]


def test_a_link_to_a_section_without_content_unfolds_the_line_that_names_it(
    browser: Any, make_run: MakeRun
) -> None:
    with opened(browser, make_run("two"), "#s=failures") as page:
        answer = page.locator("#failures + dd")
        assert answer.inner_text() == "No trial failed or diverged."
        assert answer.is_visible()


def test_the_table_sorts_both_ways_with_missing_values_last(thirty: Any) -> None:
    heading = thirty.locator("#trials-table th", has_text="test_loss").first
    for order in ("ascending", "descending"):
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == order
        texts = column(thirty, "test_loss")
        values = [float(text) for text in texts if text]
        assert 0 < len(values) < len(texts) == 30
        assert values == sorted(values, reverse=order == "descending")
        assert not any(texts[len(values) :])
    thirty.locator("#trials-table th button", has_text="state").click()
    assert column(thirty, "state") == sorted(column(thirty, "state"))
    assert thirty.locator("#trials-table th[aria-sort]:not([aria-sort=none])").count() == 1


def test_the_filter_shows_rows_with_the_text(thirty: Any) -> None:
    thirty.locator("#filter").fill("STOPPED")
    assert set(column(thirty, "state")) == {"stopped"}
    assert thirty.locator("#shown").inner_text() == f"{len(column(thirty, 'state'))} of 30 shown"
    thirty.locator("#filter").fill("")
    assert len(column(thirty, "state")) == 30


def test_constant_columns_are_hidden_at_first(thirty: Any) -> None:
    heading = thirty.locator("#trials-table th", has_text="dataset").first
    assert not heading.is_visible()
    thirty.locator("#show-constant").check()
    assert heading.is_visible()


def test_without_javascript_every_table_is_shown(browser: Any, make_run: MakeRun) -> None:
    with opened(browser, make_run("thirty"), java_script_enabled=False) as page:
        assert page.locator("#trials-table tbody tr").count() == 30
        assert page.locator("#best-table tbody tr").count() == 10
        assert page.locator("noscript p.note").is_visible()
        assert page.locator("#contents a").first.is_visible()
        page.locator("#not-shown > summary").click()
        assert page.locator("#not-shown dd").first.is_visible()


def test_the_page_is_dark_for_dark_themes_and_printed_on_white(
    browser: Any, make_run: MakeRun
) -> None:
    with opened(browser, make_run("two"), color_scheme="dark") as page:
        assert page.evaluate(BACKGROUND) == "rgb(20, 23, 27)"
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        for plot in page.locator(".plot").all():
            page.wait_for_selector(f"#{plot.get_attribute('id')}[data-drawn]", timeout=TIMEOUT_MS)
        page.emulate_media(media="print", color_scheme="light")
        assert page.evaluate(BACKGROUND) == "rgb(255, 255, 255)"
        assert page.pdf().startswith(b"%PDF")
        assert all(heading.is_visible() for heading in page.locator("section > h2").all())


def test_every_heading_is_printed(thirty: Any, make_run: MakeRun) -> None:
    thirty.emulate_media(media="print")
    # A browser would shrink everything if one element was wider than the paper.
    assert thirty.evaluate(f"{PAGE_WIDTH} <= innerWidth")
    headings = thirty.locator("section > h2").all()
    assert len(headings) == len(shown_sections(make_run("thirty")))
    assert all(heading.is_visible() for heading in headings)


def test_charts_tables_and_images_have_names_for_screen_readers(thirty: Any) -> None:
    assert thirty.locator("a.skip").get_attribute("href") == "#summary"
    for plot in thirty.locator(".plot").all():
        name = plot.get_attribute("data-chart")
        figure = thirty.locator(f"figure[role=group]:has(#{name}-plot)")
        caption = figure.get_attribute("aria-labelledby")
        assert len(thirty.locator(f"#{caption}").inner_text()) > 20
    assert thirty.locator("th:not([scope])").count() == 0
    assert thirty.locator("img:not([alt])").count() == 0


def test_ids_are_unique(thirty: Any) -> None:
    ids = thirty.locator("[id]").evaluate_all("elements => elements.map(e => e.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_axe_finds_no_accessibility_violation(thirty: Any, color_scheme: str) -> None:
    """Check three rows of each table and the frame of each chart; in the dark, only colors."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    thirty.emulate_media(color_scheme=color_scheme)
    drawn(thirty, "best")
    context = {"exclude": [[".main-svg"], ["tbody tr:nth-child(n+4)"]]}
    options = {}
    if color_scheme == "dark":
        options = {"runOnly": ["color-contrast"]}
    violations = axe.run(thirty, context=context, options=options).response["violations"]
    assert [
        (violation["id"], violation["nodes"][0]["html"][:200]) for violation in violations
    ] == []
