"""The page: one HTML file that contains its charts, images, tables and scripts.

`build` derives four files from the journal of a run: trials.csv, epochs.csv, verdicts.json and
report.html. Each is written completely or not at all, and two builds of the same folder give the
same bytes.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jinja2
import plotly.graph_objects as go
import plotly.io
from markupsafe import Markup, escape

from cae.files import write_whole
from cae.report import formatting
from cae.report.data import tables
from cae.report.data.latent_samples import LATENT
from cae.report.data.results import Results
from cae.report.page import linked_data
from cae.report.page.figures import style
from cae.report.page.section import Scope, Section, SectionContent
from cae.report.page.sections import all_sections
from cae.report.page.sections.published import published_comparisons
from cae.report.statistics.claims.judge import judge_claims
from cae.report.wording.needs import need_commands
from cae.report.wording.verdicts import claim_row, counts, published_row
from cae.run.paths import RunDir

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
"""With this policy, the browser refuses every request of the page, which contains all it needs."""
SCRIPTS = (
    "selection.js",
    "contents.js",
    "latent_map.js",
    "charts.js",
    "trials_table.js",
    "page.js",
)
"""In the order in which they run: the first one defines what the others use."""
MAX_TITLE_LENGTH = 300
MAX_DESCRIPTION_LENGTH = 600
DEFAULT_HEIGHT = 400
"""Height in pixels of charts whose figure does not define one."""
MAX_GROUPS = 12
"""Comparability groups that sections show; the summary names the best trial of each."""

MAX_UNFOLDED = 2
"""Of more parts of a section, all but the first are folded."""


@dataclass(frozen=True)
class Chart:
    """A figure in the form in which the template writes it into the page."""

    name: str
    caption: str
    json: str
    """The figure as JSON, escaped by `safe_json`."""
    height: int
    """Pixels to keep free until the chart is drawn."""


@dataclass(frozen=True)
class BuiltPart:
    """A section for one comparability group, or for all trials."""

    label: str
    """What distinguishes the group from the others; empty if the section has one part."""
    suffix: str
    """Distinguishes the ids of elements in the parts of a section; empty in the first one."""
    content: SectionContent
    charts: Sequence[Chart]


@dataclass(frozen=True)
class BuiltSection:
    """A section with the content and the charts that were computed from the results."""

    section: Section
    parts: Sequence[BuiltPart]
    introduction: str = ""
    """Why there are several parts; empty if there is one."""

    @property
    def is_empty(self) -> bool:
        """Whether no part has anything to show but its verdict."""
        return all(part.content.is_empty for part in self.parts)

    @property
    def is_left_out(self) -> bool:
        """Whether the section is about something that the sweep does not have."""
        return all(part.content.is_left_out for part in self.parts)

    def is_folded(self, part: BuiltPart) -> bool:
        """Whether only the answer of a part is shown until it is unfolded: a page of ten groups
        would be a hundred screens long."""
        return len(self.parts) > MAX_UNFOLDED and part is not self.parts[0]

    @property
    def answer(self) -> str:
        """The answers of all parts as text."""
        answers: list[str] = []
        for part in self.parts:
            answer = part.content.answer
            if part.label:
                answer = f"{part.label}: {answer}"
            answers.append(answer)
        return "\n".join(answers)


def build(run: RunDir) -> Path:
    """Write the tables, the verdicts and the page of one run into its folder.

    Returns the path of the page.

    Works while the sweep is running. Raises RunError if the folder is not a run.
    """
    return _write(tables.read([run]), run)


def build_joined(runs: list[RunDir], out: Path) -> Path:
    """Write one page for several runs, and tables with a `run` column, into the folder `out`.

    Returns the path of the page.

    Raises RunError if a folder is not a run, or the runs rank their trials by different metrics.
    """
    return _write(tables.read(runs), RunDir(out))


def build_all(runs: list[RunDir], out: Path | None = None) -> Path:
    """Write the page of one run, or one page for several runs; return its path.

    One run: the files are written into its folder and, if it is in a bucket, uploaded. Several
    runs: they are written into `out`, by default runs/joined.
    """
    for run in runs:
        # A run in a bucket has no local copies of these files, whose images the page contains.
        run.fetch("samples.npz", "galleries.npz", LATENT)
    if len(runs) > 1:
        return build_joined(runs, out or Path("runs/joined"))
    run = runs[0]
    page = build(run)
    run.publish(run.trials_csv, run.epochs_csv, run.verdicts_json, run.report_html)
    return page


def _write(results: Results, folder: RunDir) -> Path:
    sections = [build_section(section, results) for section in all_sections()]
    tables.write(results, folder)
    write_whole(folder.verdicts_json, _verdicts_json(results, sections))
    write_whole(folder.report_html, render(results, sections))
    return folder.report_html


def build_section(section: Section, results: Results) -> BuiltSection:
    """Compute the content of a section and draw its figures, for each comparability group."""
    groups = results.groups
    has_dependencies = bool(results.is_dependency.any())
    if section.scope == Scope.ALL:
        return BuiltSection(section, [_build_part(section, "", results, 1)])
    if len(groups) == 1:
        only = groups[0]
        part = _build_part(section, only.label, only.results, 1)
        if section.scope == Scope.GROUP_AND_DEPENDENCIES and has_dependencies:
            part = _build_part(section, only.label, results, 1)
        return BuiltSection(section, [part])
    shown = [(group.label, group.results) for group in groups[:MAX_GROUPS]]
    introduction = (
        f"One answer for each of {len(groups)} groups of trials: they differ in "
        f"{results.group_differences} and are not comparable with each other."
    )
    if len(shown) < len(groups):
        introduction += f" The first {MAX_GROUPS} are shown; trials.csv contains all."
    if section.scope == Scope.GROUP_AND_DEPENDENCIES and has_dependencies:
        shown.append(("Dependencies", results.dependencies))
    parts = [
        _build_part(section, label, of_group, number)
        for number, (label, of_group) in enumerate(shown, start=1)
    ]
    first = parts[0].content
    if first.is_empty and all(part.content == first for part in parts):
        return BuiltSection(section, [replace(parts[0], label="")])
    return BuiltSection(section, parts, introduction)


def _build_part(section: Section, label: str, results: Results, number: int) -> BuiltPart:
    suffix = ""
    if number > 1:
        suffix = f"-{number}"
    content = section.build(results)
    charts = []
    for name, caption in content.captions.items():
        figure = section.figure(name).build(results)
        charts.append(embed(f"{name}{suffix}", caption, figure))
    return BuiltPart(label, suffix, content, charts)


def embed(name: str, caption: str, figure: go.Figure) -> Chart:
    """Convert a figure to a chart of the page."""
    text = str(plotly.io.to_json(figure, validate=False, engine="json"))
    height = figure.layout.height or DEFAULT_HEIGHT
    return Chart(name, caption, safe_json(text), int(height))


def _verdicts_json(results: Results, sections: Sequence[BuiltSection]) -> str:
    comparisons = published_comparisons(results)
    judged = judge_claims(results)
    runs = {run.name: run for run in results.runs}
    claims = []
    for result in judged:
        commands = need_commands(runs[result.run], result.need)
        claims.append(claim_row(result, commands))
    verdicts = {
        "sections": {built.section.id: built.answer for built in sections},
        "counts": counts(comparisons, judged),
        "published": [published_row(comparison) for comparison in comparisons],
        "claims": claims,
    }
    text = json.dumps(_without_nan(verdicts), indent=1, ensure_ascii=False, allow_nan=False)
    return text + "\n"


def _without_nan(value: object) -> object:
    """Replace NaN and infinity, which JSON does not have, by None."""
    if isinstance(value, dict):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def render(results: Results, sections: Sequence[BuiltSection]) -> str:
    """Return the HTML of the page."""
    library = ""
    shown: list[BuiltSection] = []
    absent: list[BuiltSection] = []
    empty: list[BuiltSection] = []
    for built in sections:
        if built.is_left_out:
            absent.append(built)
        elif built.is_empty:
            empty.append(built)
        else:
            shown.append(built)
    if any(part.charts for built in sections for part in built.parts):
        library = _plotly_library()
    return (
        _environment()
        .get_template("page.html")
        .render(
            content_security_policy=CONTENT_SECURITY_POLICY,
            title=_title(results),
            description=_description(results),
            run_names=[run.name for run in results.runs],
            sections=shown,
            absent=absent,
            empty=empty,
            states=style.STATE_STYLES,
            css=without_indentation(_read_package_file("templates/page.css")),
            scripts=[
                without_indentation(_read_package_file(f"scripts/{name}")) for name in SCRIPTS
            ],
            trial_keys=safe_json(json.dumps(linked_data.trial_keys(results))),
            csv=linked_data.packed_csv(results),
            library=library,
        )
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cae.report.page", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = formatting.number
    environment.filters["plural"] = formatting.plural
    environment.filters["breakable"] = breakable
    return environment


def breakable(name: str) -> Markup:
    """Allow line breaks after the dots and underscores of a name, which may be long."""
    return escape(name).replace("_", Markup("_<wbr>")).replace(".", Markup(".<wbr>"))


def safe_json(text: str) -> str:
    """Escape JSON so that it can be written into a script element.

    Otherwise, a text such as "</script>" in it would end the element. The two line separators are
    valid in JSON, but not in JavaScript of older browsers.
    """
    text = text.replace("<", "\\u003c").replace(">", "\\u003e")
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _title(results: Results) -> str:
    title = results.sweep.title or results.sweep.sweep or results.runs[0].name
    return formatting.short(title, MAX_TITLE_LENGTH)


def _description(results: Results) -> str:
    """Return the first paragraph of the sweep file's description, unless it repeats the title."""
    if results.joined:
        return ""
    paragraph = results.sweep.description.strip().split("\n\n")[0]
    if paragraph.strip(" .") == results.sweep.title.strip(" ."):
        return ""
    return formatting.short(paragraph, MAX_DESCRIPTION_LENGTH)


def _read_package_file(name: str) -> str:
    return importlib.resources.files("cae.report.page").joinpath(name).read_text(encoding="utf-8")


def without_indentation(text: str) -> str:
    """Return a script or a style without indentation and lines of comments: a smaller page."""
    kept: list[str] = []
    for line in map(str.strip, text.splitlines()):
        is_comment = line.startswith("//") or (line.startswith("/*") and line.endswith("*/"))
        if line and not is_comment:
            kept.append(line)
    return "\n".join(kept)


@functools.lru_cache(maxsize=1)
def _plotly_library() -> str:
    """Return plotly.js of the installed package, compressed (to a third) as base64 text."""
    path = importlib.resources.files("plotly").joinpath("package_data", "plotly.min.js")
    return linked_data.compress(path.read_bytes())
