"""Registration of sections: their names, their figures, and adding one in a new file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae.report.page import build, sections
from cae.report.page.section import REGISTERED_SECTIONS, section
from cae.report.page.sections import all_sections
from tests.report.page.conftest import ReadResults

PACKAGE = Path(build.__file__).parent
NEW_SECTION = """
import plotly.graph_objects as go

from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.style import set_layout
from cae.report.page.section import SectionContent, section


def largest_trial(results: Results) -> int:
    return int(results.trials["trial"].max())


def draw(trial: int) -> go.Figure:
    return set_layout(go.Figure(go.Scatter(x=[trial], y=[0])), height=200)


@section(
    "largest_number",
    title="Largest trial number",
    order=55,
    figures=[Figure("largest", largest_trial, draw)],
)
def largest_number_section(results: Results) -> SectionContent:
    trial = largest_trial(results)
    return SectionContent(verdict=f"It is {trial}.", captions={"largest": "The largest number"})
"""


def test_a_new_section_is_one_new_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    writer: Callable[..., Any],
) -> None:
    (tmp_path / "largest_number.py").write_text(NEW_SECTION)
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    run = writer()
    run.session([1, 2])
    for number in (1, 2):
        run.trial(number, {"arch.kernel_size": number})
    try:
        html = build.build(run.close()).read_text()
    finally:
        del REGISTERED_SECTIONS["largest_number"]
        del sys.modules["cae.report.page.sections.largest_number"]
    summary, new, trials = (
        html.index(f'<section id="{id}"') for id in ("summary", "largest_number", "trials")
    )
    assert summary < new < trials
    assert '<p class="verdict-line">It is 2.</p>' in html
    assert 'id="largest-plot"' in html
    assert '<a href="#largest_number">Largest number</a>' in html


def test_a_section_has_the_name_of_its_module() -> None:
    modules = {path.stem for path in (PACKAGE / "sections").glob("*.py")} - {"__init__"}
    assert {section.id for section in all_sections()} == modules


def test_titles_are_shortened_in_an_enumeration() -> None:
    names = {section.id: section.name for section in all_sections()}
    assert names["pareto"] == "Pareto front"
    assert names["rate_distortion"] == "latent size"
    assert names["published"] == "published numbers"


def test_figures_and_templates_have_the_name_of_a_section() -> None:
    names = {section.id for section in all_sections()}
    templates = {path.stem for path in (PACKAGE / "templates").glob("[!_]*.html")} - {"page"}
    figures = {path.stem for path in (PACKAGE / "figures").glob("*.py")} - {"__init__", "style"}
    assert templates <= names
    assert figures <= names


def test_the_sections_are_in_their_order() -> None:
    assert [section.id for section in all_sections()] == [
        "summary",
        "best",
        "next_steps",
        "published",
        "claims",
        "provenance",
        "progress",
        "search",
        "pareto",
        "hypervolume",
        "parallel_coordinates",
        "parameters",
        "importance",
        "curves",
        "early_stopping",
        "reconstructions",
        "rate_distortion",
        "latent_code",
        "galleries",
        "anomaly_scores",
        "baselines",
        "final_evaluation",
        "failures",
        "worker_utilization",
        "joined_runs",
        "trials",
        "about",
    ]


def test_names_of_figures_are_unique() -> None:
    names = [figure.name for section in all_sections() for figure in section.figures]
    assert len(names) == len(set(names))


def test_sections_only_show_figures_that_they_register(
    shape: str, read_results: ReadResults
) -> None:
    for registered in all_sections():
        content = registered.build(read_results(shape))
        names = {figure.name for figure in registered.figures}
        assert set(content.captions) <= names, registered.id
        assert content.verdict, registered.id


@pytest.mark.parametrize(("id", "order"), [("summary", 11), ("another", 10)])
def test_two_sections_with_the_same_id_or_order_are_an_error(id: str, order: int) -> None:
    all_sections()
    with pytest.raises(ValueError, match="conflicts with"):
        section(id, title="Another", order=order)(lambda _results: pytest.fail("never built"))
