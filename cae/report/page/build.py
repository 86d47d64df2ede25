"""The page: one HTML file that holds its charts, images, tables and scripts, and asks the network for nothing.

`build` derives all four files of a run's folder from its journal: trials.csv, epochs.csv, verdicts.json and report.html, each
whole or absent. Two builds of the same folder give the same bytes.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import math
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
import plotly.io

from cae.files import write_whole
from cae.report import formatting
from cae.report.data import tables
from cae.report.page import linked_data as linked
from cae.report.page.figures import FIGURES, style
from cae.report.page.sections import SECTIONS
from cae.report.page.sections.base import Section
from cae.report.statistics import claims, published
from cae.run.paths import RunDir

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
"""The browser itself refuses every request: what the page needs is inside it."""
SCRIPTS = ("selection.js", "page.js", "table.js")
"""In the order in which they run."""


def build(run: RunDir) -> Path:
    """Writes the tables, the verdicts and the page of one run into its folder; returns the page. Works while the run goes on.

    Raises RunError where the folder is no run.
    """
    return _write(tables.read([run]), run)


def build_joined(runs: list[RunDir], out: Path) -> Path:
    """Like `build` for several runs as one: tables with a `run` column and one page, in the folder `out`.

    Raises RunError where a folder is no run, or the runs rank their trials by different metrics.
    """
    return _write(tables.read(runs), RunDir(out))


def build_all(runs: list[RunDir], out: Path | None = None) -> Path:
    """The page of one run in its folder, and where else the run is kept; of several in `out` (default: runs/joined)."""
    for run in runs:
        run.fetch("samples.npz", "galleries.npz")
    if len(runs) > 1:
        return build_joined(runs, out or Path("runs/joined"))
    built = build(runs[0])
    runs[0].publish(
        runs[0].trials_csv, runs[0].epochs_csv, runs[0].verdicts_json, runs[0].report_html
    )
    return built


def _write(results: tables.Results, folder: RunDir) -> Path:
    rows = published.compare(results)
    sections = [answer(results, rows) for answer in SECTIONS.values()]
    tables.write(results, folder)
    judged = next(section.data.get("rows", []) for section in sections if section.id == "claims")
    verdicts = {
        "sections": {section.id: section.verdict for section in sections},
        "published": rows,
        "claims": judged,
    }
    write_whole(
        folder.verdicts_json,
        json.dumps(_plain(verdicts), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    )
    write_whole(folder.report_html, render(results, sections))
    return folder.report_html


def render(results: tables.Results, sections: list[Section]) -> str:
    """The page as text."""
    charts = {
        name: embedded(FIGURES[name].draw(FIGURES[name].data(results)))
        for section in sections
        for name in section.charts
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cae.report.page", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": formatting.number, "plural": formatting.plural}
    return environment.get_template("page.html").render(
        policy=POLICY,
        title=formatting.short(
            str(results.sweep.title or results.sweep.sweep or results.runs[0].name),
            300,
        ),
        lead=_lead(results),
        names=[run.name for run in results.runs],
        sections=sections,
        charts=charts,
        states=style.STATES,
        verdicts=claims.VERDICTS,
        css=_package_file("templates/page.css"),
        scripts=[_package_file(f"scripts/{name}") for name in SCRIPTS],
        keys=safe_json(json.dumps(linked.keys(results))),
        csv=linked.packed_csv(results),
        library=_library() if charts else "",
    )


def embedded(figure: go.Figure) -> dict[str, Any]:
    """A figure as the page embeds it: JSON that no HTML parser can leave, and the height to keep free for it."""
    text = str(plotly.io.to_json(figure, validate=False, engine="json"))
    return {"json": safe_json(text), "height": int(figure.layout.height or 400)}


def safe_json(text: str) -> str:
    """JSON inside <script>: equal to a JSON reader, inert to an HTML reader."""
    for character, escape in (
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        text = text.replace(character, escape)
    return text


def _lead(results: tables.Results) -> str:
    """The first paragraph of the sweep file's description, unless it only repeats the title."""
    paragraph = str(results.sweep.description or "").strip().split("\n\n")[0]
    return (
        ""
        if results.joined or paragraph.strip(" .") == str(results.sweep.title).strip(" .")
        else formatting.short(paragraph, 600)
    )


def _plain(value: Any) -> Any:
    """What JSON can hold: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _package_file(name: str) -> str:
    return importlib.resources.files("cae.report.page").joinpath(name).read_text(encoding="utf-8")


@functools.lru_cache(maxsize=1)
def _library() -> str:
    """plotly.js from the installed wheel, packed to a third: gzip without a time stamp, in base64."""
    script = (
        importlib.resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    )
    return linked.packed(script)
