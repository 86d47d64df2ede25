"""Size of pages, and seconds until the first chart and until all charts are drawn.

    python -m benchmarks.page RUN...

Measures the pages of these runs and of a synthetic run of 1,000 trials, and writes
results/page.csv. Each page is opened from its file in Chromium (Playwright), each time in a new
window. The first chart is the first one that is visible without scrolling.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.measure import Row, save, show, spread
from cae.report.page import build
from cae.run.paths import RunDir
from tests.report.page.pages import CHROMIUM, WINDOW, draw_all
from tests.report.synthetic_runs import write_shape

FIRST_CHART = ".plot[data-drawn] .main-svg"
"""CSS selector of a chart that is drawn."""
TIMEOUT_MS = 120_000


class PageTimes(NamedTuple):
    """Seconds after the page was opened."""

    first_chart: float
    all_charts: float
    """Until every chart has been scrolled to and drawn."""


def thousand_trials(folder: Path) -> RunDir:
    """Write the run of 1,000 trials of the tests.

    143 trials have images; some were stopped, failed or diverged.
    """
    with pytest.MonkeyPatch.context() as patch:
        return write_shape("thousand", folder, patch)


def open_page(browser: Any, run: RunDir) -> PageTimes:
    """Open the page of a run in a new window, scroll to its end, and return the times."""
    page = browser.new_page(viewport=WINDOW)
    started = time.perf_counter()
    page.goto(run.report_html.resolve().as_uri(), wait_until="commit")
    page.wait_for_selector(FIRST_CHART, timeout=TIMEOUT_MS, state="attached")
    first_chart = time.perf_counter() - started
    draw_all(page)
    all_charts = time.perf_counter() - started
    page.close()
    return PageTimes(first_chart, all_charts)


def measure(browser: Any, run: RunDir, rounds: int) -> Row:
    """Build the page of a run, open it once per round, and return a row of the results."""
    started = time.perf_counter()
    build.build(run)
    build_seconds = time.perf_counter() - started
    times = [open_page(browser, run) for _ in range(rounds)]
    first_charts = [page.first_chart for page in times]
    return {
        "what": run.name,
        "seconds": statistics.median(first_charts),
        "rounds": spread(first_charts),
        "all_charts": statistics.median([page.all_charts for page in times]),
        "trials": len(run.records()),
        "megabytes": run.report_html.stat().st_size / 1e6,
        "build_seconds": build_seconds,
    }


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="folders of runs")
    parser.add_argument("--rounds", type=int, default=5, help="how often each page is opened")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        runs = [RunDir(path) for path in options.runs]
        runs.append(thousand_trials(Path(folder)))
        for run in runs:
            rows.append(measure(browser, run, options.rounds))
        browser.close()
    show("seconds until the first chart", rows)
    note = (
        "seconds: from opening the file to the first chart; all_charts: after scrolling to the end"
    )
    print(save("page", rows, note))


if __name__ == "__main__":
    main()
