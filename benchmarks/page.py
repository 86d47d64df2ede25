"""Bytes of a page, and seconds until its first chart and all its charts are there.

    python -m benchmarks.page RUN...

writes results/page.csv for these runs and for a synthetic one of 1,000 trials, measured in a real
Chromium (Playwright), from a file, each time in a new window. The first chart is the first one that
is visible without scrolling.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.measure import Row, save, show, spread
from cae.report.page import build as page
from cae.run.paths import RunDir
from tests.report.page.pages import CHROMIUM, WINDOW, draw_all
from tests.report.synthetic_runs import write_shape

DRAWN = ".plot[data-drawn] .main-svg"


def thousand(folder: Path) -> RunDir:
    """The tests' run of 1,000 trials: 143 of them with images, some stopped, failed and
    diverged."""
    with pytest.MonkeyPatch.context() as patch:
        return write_shape("thousand", folder, patch)


def seconds(browser: Any, run: RunDir) -> tuple[float, float]:
    """Until the first chart, and until every chart has been scrolled to and drawn."""
    shown = browser.new_page(viewport=WINDOW)
    began = time.perf_counter()
    shown.goto(run.report_html.resolve().as_uri(), wait_until="commit")
    shown.wait_for_selector(DRAWN, timeout=120_000, state="attached")
    first = time.perf_counter() - began
    draw_all(shown)
    last = time.perf_counter() - began
    shown.close()
    return first, last


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        for run in [*map(RunDir, options.runs), thousand(Path(folder))]:
            began = time.perf_counter()
            page.build(run)
            built = time.perf_counter() - began
            firsts, lasts = np.array(
                [seconds(browser, run) for _ in range(options.rounds)]
            ).T.tolist()
            sizes = {
                "trials": len(run.records()),
                "megabytes": run.report_html.stat().st_size / 1e6,
                "build_seconds": built,
            }
            times = {
                "seconds": statistics.median(firsts),
                "rounds": spread(firsts),
                "all_charts": statistics.median(lasts),
            }
            rows.append({"what": run.name, **times, **sizes})
        browser.close()
    show("until the first chart", rows)
    print(
        save(
            "page",
            rows,
            "seconds: from opening the file to the first chart; "
            "all_charts: after scrolling to the end",
        )
    )


if __name__ == "__main__":
    main()
