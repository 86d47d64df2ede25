"""Fixtures of the tests of reports: synthetic runs, and pages in a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cae.run.paths import RunDir
from tests.report import synthetic_runs
from tests.report.page import pages
from tests.report.synthetic_runs import SHAPES, MakeWriter, RunWriter


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeWriter]:
    """Make an empty run and return its writer."""
    writers: list[RunWriter] = []

    def make(name: str = "run", **sweep: Any) -> RunWriter:
        run = RunWriter(tmp_path / name, monkeypatch, **sweep)
        writers.append(run)
        return run

    yield make
    for run in writers:
        run.journal.close()


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunDir]:
    """Return a run of `SHAPES` by its name, written once per session. Copy it to change it."""
    runs: dict[str, RunDir] = {}

    def make(name: str) -> RunDir:
        if name not in runs:
            with pytest.MonkeyPatch.context() as patch:
                runs[name] = synthetic_runs.write_shape(
                    name, tmp_path_factory.mktemp("runs"), patch
                )
        return runs[name]

    return make


@pytest.fixture
def evil() -> str:
    """A text with HTML, for every place where a sweep file can put text."""
    return synthetic_runs.HOSTILE_TEXT


@pytest.fixture(scope="session")
def _shared_page(browser: Any, make_run: Callable[[str], RunDir]) -> Iterator[Any]:
    with pages.opened(browser, make_run("thirty"), accept_downloads=True) as page:
        pages.draw_all(page)
        yield page


@pytest.fixture
def thirty(_shared_page: Any) -> Any:
    """The page of thirty trials with all charts drawn, no trial selected. All tests share it."""
    pages.afresh(_shared_page)
    return _shared_page


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests of the browser and of the expensive pages in one of the test processes."""
    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        if "browser" in getattr(item, "fixturenames", ()) or "thousand" in item.name:
            item.add_marker(pytest.mark.xdist_group("page"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `shape` once for every shape of run."""
    if "shape" in metafunc.fixturenames:
        metafunc.parametrize("shape", list(SHAPES))
