"""Pages in a real Chromium: one browser for all tests, and one page of thirty trials that most of them look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cae.report.page import build as report
from cae.run.paths import RunDir

CHROMIUM = Path("/usr/bin/chromium")
needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}")
WINDOW = {"width": 1200, "height": 900}


@contextmanager
def opened(browser: Any, run: RunDir, address: str = "", **options: Any) -> Iterator[Any]:
    """A run's page; asserts at the end that it asked for nothing and complained of nothing."""
    if not run.report_html.exists():
        report.build(run)
    context = browser.new_context(offline=True, **{"viewport": WINDOW, **options})
    page, complaints, requests = context.new_page(), [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(run.report_html.as_uri() + address)
    yield page
    context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def drawn(page: Any, name: str) -> None:
    page.locator(f"#{name}-plot").scroll_into_view_if_needed()
    page.wait_for_selector(f"#{name}-plot[data-drawn]:not([data-stale]) .main-svg", timeout=60_000)


def draw_all(page: Any) -> list[str]:
    """Scrolls to every chart and waits until it is drawn; returns their names."""
    names = [plot.get_attribute("data-chart") for plot in page.query_selector_all(".plot")]
    for name in names:
        drawn(page, name)
    return names


def afresh(page: Any) -> None:
    """As it was when it was opened, charts that are drawn aside."""
    page.set_viewport_size(WINDOW)
    page.emulate_media(media="screen", color_scheme="light")
    page.evaluate(
        """() => { document.activeElement.blur(); scrollTo(0, 0); document.getElementById("flags").hidden = true;
        selection.change({ sel: new Set(), only: false, f: "", sort: "", s: "" }); }"""
    )
    page.locator("#constants").uncheck()


def column(page: Any, name: str) -> list[str]:
    """The texts of a column of the table of trials, in its order, of the rows in sight."""
    texts: list[str] = page.evaluate(
        """name => { const t = document.getElementById("trials-table");
        const i = [...t.tHead.rows[0].cells].findIndex(c => c.textContent === name);
        return [...t.tBodies[0].rows].filter(r => !r.hidden).map(r => r.cells[i].textContent); }""",
        name,
    )
    return texts
