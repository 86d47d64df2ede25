"""The documents: their links on a code host and on the site, and what the site adds."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import typer.main

import cae
from cae.cli.app import app
from tests.conftest import ROOT
from tests.report.page.pages import TIMEOUT_MS, needs_chromium

BUILD_SECONDS = 900
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "docs").rglob("*.ipynb")),
    *sorted((ROOT / "cluster").glob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
QUESTION = re.compile(r"^- .*?(?=^- |^#|\Z)", re.DOTALL | re.MULTILINE)
MIN_QUESTIONS = 3
"""Least number of questions of each of the five people."""


def text_of(document: Path) -> str:
    """The Markdown of a document without its blocks of code."""
    text = document.read_text()
    if document.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        text = "\n\n".join(sources)
    return FENCE.sub("", text)


def anchors_of(document: Path) -> set[str]:
    """The anchors that code hosts give to the headings of a document."""
    anchors: set[str] = set()
    for heading in HEADING.findall(text_of(document)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        anchor = slug
        number = 1
        while anchor in anchors:
            anchor = f"{slug}-{number}"
            number += 1
        anchors.add(anchor)
    return anchors


def links_of(document: Path) -> list[str]:
    """The links of a document to other files and to headings."""
    links = LINK.findall(CODE.sub("", text_of(document)))
    return [link for link in links if not urlsplit(link).scheme]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    broken = []
    for link in links_of(document):
        path, _, anchor = link.partition("#")
        target = document
        if path:
            target = (document.parent / unquote(path)).resolve()
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


def test_the_contents_list_every_document() -> None:
    listed = {(ROOT / "docs" / link).resolve() for link in links_of(ROOT / "docs" / "README.md")}
    documents = {path for path in DOCUMENTS if path.is_relative_to(ROOT / "docs")}
    assert documents - listed == {ROOT / "docs" / "README.md"}


def test_every_question_has_a_link_to_its_answer() -> None:
    text = (ROOT / "docs" / "questions.md").read_text()
    people = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert len(people) == 5
    for person in people:
        questions = QUESTION.findall(person)
        assert len(questions) >= MIN_QUESTIONS, person
        for question in questions:
            assert LINK.search(question), question


@dataclass
class Page(HTMLParser):
    """The links, anchors and loaded files of a page of the site."""

    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.anchors.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and "href" in values:
            self.loaded.append(values["href"])
        elif "src" in values:
            self.loaded.append(values["src"])


@dataclass(frozen=True)
class Site:
    folder: Path
    pages: dict[Path, Page]

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site").resolve()
    options = ["--quiet", "--fail-on-warning", "--keep-going", "-c", "docs/site"]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, "-d", f"{folder}-doctrees", ".", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    pages = {}
    for path in folder.rglob("*.html"):
        page = Page()
        page.feed(path.read_text())
        pages[path] = page
    return Site(folder, pages)


def reference(name: str) -> ModuleType:
    """A module of docs/site."""
    specification = importlib.util.spec_from_file_location(name, ROOT / f"docs/site/{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look for their module there
    specification.loader.exec_module(module)
    return module


pytestmark = pytest.mark.xdist_group("documentation")


@pytest.mark.timeout(BUILD_SECONDS)
def test_the_site_has_every_page_of_the_contents(site: Site) -> None:
    for page in reference("contents").pages(ROOT / "docs" / "README.md"):
        assert (site.folder / page).with_suffix(".html").exists(), page
    assert site.text("index.html") == site.text("README.html")


@pytest.mark.timeout(BUILD_SECONDS)
def test_every_link_of_the_site_leads_to_a_page_and_an_anchor(site: Site) -> None:
    broken = []
    for path, page in site.pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = path
            if parts.path:
                target = (path.parent / unquote(parts.path)).resolve()
            has_anchor = True
            if parts.fragment and target in site.pages:
                has_anchor = unquote(parts.fragment) in site.pages[target].anchors
            if not target.exists() or not has_anchor:
                broken.append(f"{path.relative_to(site.folder)}: {link}")
    assert broken == []


@pytest.mark.timeout(BUILD_SECONDS)
def test_the_site_loads_nothing_from_other_hosts(site: Site) -> None:
    for path, page in site.pages.items():
        for file in page.loaded:
            assert not urlsplit(file).netloc, f"{path}: {file}"
            if not urlsplit(file).scheme:
                assert (path.parent / unquote(urlsplit(file).path)).exists(), f"{path}: {file}"
    for style in site.folder.rglob("*.css"):
        assert not re.search(r"@import|url\(['\"]?(https?:)?//", style.read_text()), style


@pytest.mark.timeout(BUILD_SECONDS)
def test_the_command_reference_has_every_option(site: Site) -> None:
    text = re.sub(r"<[^>]+>", "", site.text("docs/commands.html"))
    names = dict(reference("command_reference").commands())
    top = set(typer.main.get_group(app).commands) - {"data"}
    assert {f"cae-sweep {name}" for name in top} <= set(names)
    assert "cae-sweep data import" in names
    for name, command in names.items():
        assert name.replace(" ", "-") in site.pages[site.folder / "docs/commands.html"].anchors
        for parameter in command.params:
            for option in parameter.opts:
                assert option in text or option.upper() in text, f"{name} {option}"


@pytest.mark.timeout(BUILD_SECONDS)
def test_the_python_reference_has_every_public_name(site: Site) -> None:
    text = site.text("docs/api.html")
    page = site.pages[site.folder / "docs/api.html"]
    for name in dir(cae):
        assert f"cae.{name}" in page.anchors or f">{name}<" in text, name
    for name in ("cae.run_sweep", "cae.Model.encode", "cae.SavedRun.best", "cae.Task.metrics"):
        assert name in page.anchors


@needs_chromium
@pytest.mark.timeout(BUILD_SECONDS)
def test_the_search_finds_pages_without_a_server(site: Site, browser: Any) -> None:
    pages = {
        "nearly black": "Troubleshooting",
        "max-trials": "Commands",
        "load_model": "Python API",
        "interpolate": "Using a model",
    }
    with browser.new_context(offline=True) as context:
        tab = context.new_page()
        for words, page in pages.items():
            tab.goto((site.folder / "index.html").as_uri())
            tab.fill("input[name=q]", words)
            tab.press("input[name=q]", "Enter")
            result = tab.locator("#search-results li a", has_text=page).first
            result.wait_for(timeout=TIMEOUT_MS)


@needs_chromium
@pytest.mark.timeout(BUILD_SECONDS)
@pytest.mark.parametrize("page", ["reproduction", "results"])
def test_the_table_of_runs_fits_and_breaks_no_flag(site: Site, browser: Any, page: str) -> None:
    """A command broke between the two hyphens of a flag, and columns were outside of the page."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        tab = context.new_page()
        tab.goto((site.folder / f"docs/{page}.html").as_uri())
        table = tab.locator("table.runs").first
        widths = table.evaluate("table => [table.scrollWidth, table.parentElement.clientWidth]")
        words = tab.locator("table.runs td code .pre")
        lines_per_word = words.evaluate_all(
            "words => words.map(word => word.getClientRects().length)"
        )
        first_row = table.locator("tbody tr").first
        command = first_row.locator("td.command").bounding_box()
        run = first_row.locator("td.run").bounding_box()
    assert widths[0] <= widths[1]
    assert set(lines_per_word) == {1}
    assert command["y"] >= run["y"] + run["height"]
