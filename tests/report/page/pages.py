"""Pages in a real Chromium: one browser for all tests, and one page of thirty trials for most."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cae.report.page import build
from cae.report.page.section import Section
from cae.report.page.sections import all_sections
from cae.run.paths import RunDir

CHROMIUM = Path("/usr/bin/chromium")
WINDOW = {"width": 1200, "height": 900}
TIMEOUT_MS = 60_000

needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}")


@contextmanager
def opened(browser: Any, run: RunDir, address: str = "", **options: Any) -> Iterator[Any]:
    """Open the page of a run, offline.

    Asserts at the end that the page requested nothing and wrote nothing to the console.
    """
    if not run.report_html.exists():
        build.build(run)
    context = browser.new_context(offline=True, **{"viewport": WINDOW, **options})
    page = context.new_page()
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(run.report_html.as_uri() + address)
    yield page
    context.close()
    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def drawn(page: Any, name: str) -> None:
    """Scroll to a chart and wait until it is drawn."""
    page.locator(f"#{name}-plot").scroll_into_view_if_needed()
    page.wait_for_selector(
        f"#{name}-plot[data-drawn]:not([data-stale]) .main-svg", timeout=TIMEOUT_MS
    )


def draw_all(page: Any) -> list[str]:
    """Scroll to every chart and wait until it is drawn; return their names."""
    names = [plot.get_attribute("data-chart") for plot in page.query_selector_all(".plot")]
    for name in names:
        drawn(page, name)
    return names


def afresh(page: Any) -> None:
    """Reset a page to how it was opened, except that its charts stay drawn."""
    page.set_viewport_size(WINDOW)
    page.emulate_media(media="screen", color_scheme="light")
    page.evaluate(
        """() => {
            document.activeElement.blur();
            scrollTo(0, 0);
            document.getElementById("flags").hidden = true;
            selection.change(
                { trials: new Set(), onlySelected: false, filter: "", sort: "", section: "" });
        }"""
    )
    page.locator("#show-constant").uncheck()


def column(page: Any, name: str) -> list[str]:
    """Return the texts of a column of the table of trials: shown rows, in their order."""
    texts: list[str] = page.evaluate(
        """name => {
            const table = document.getElementById("trials-table");
            const headings = [...table.tHead.rows[0].cells];
            const index = headings.findIndex(heading => heading.textContent === name);
            const rows = [...table.tBodies[0].rows].filter(row => !row.hidden);
            return rows.map(row => row.cells[index].textContent);
        }""",
        name,
    )
    return texts


def shown_sections(run: RunDir) -> list[Section]:
    """The sections on a run's page: without those that the line at its end names."""
    ids = re.findall(r'<section id="(\w+)"', run.report_html.read_text())
    return [section for section in all_sections() if section.id in ids]
