"""Published numbers and claims beside ours, of many runs, in one file: docs/reproduction.md.

`write` writes the sections of the runs it gets, and keeps the sections of other runs that the file
contains, so that results of many days and machines are collected. Nothing in the file is written
by hand: the tables at its top are made from the comments that start the sections.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cae.errors import UserError
from cae.files import write_whole
from cae.report import formatting
from cae.report.data import tables
from cae.report.data.tables import Results
from cae.report.page.sections.baselines import baselines_section
from cae.report.statistics import claims, published
from cae.run.paths import RunDir

TITLE = "# Published results and ours"
OLD_TITLE = "# What the reports say, and what came out"
"""Files with this title were written by earlier versions."""
HEADER = re.compile(r"^<!-- run (\{.*\}) -->$", re.MULTILINE)
INTRODUCTION = (
    "Written by `cae-sweep report RUN... --markdown FILE` from the journals of the runs, not by "
    "hand; the sections of other runs are kept. The page of a run (`cae-sweep report RUN`) shows "
    "more: every trial, curves, images."
)
EXPLANATION = (
    "Measured with the settings of the report; results of smaller budgets are in the sections "
    "below as *not comparable*. Ours is the mean over the seeds ± their standard deviation. "
    "*Reproduced*: within 2 standard deviations, or half a unit of the last printed digit. Sizes "
    "of networks are not repeated here."
)
COMPARED = ("reproduced", "better", "worse", "differs")
"""Verdicts on numbers that were measured with the settings of the report."""


class SectionHeader(NamedTuple):
    """What the tables at the top of the file need of a section; a comment before its text."""

    run: str
    report: str
    row: list[str]
    """The row of the table of runs, after report and run."""
    numbers: list[list[str]]
    """Rows of the table of comparable numbers: quantity, published, ours, seeds, verdict."""
    digest: str
    """Hash of the text, to notice changes by hand."""

    def to_comment(self) -> str:
        text = json.dumps(self._asdict(), ensure_ascii=False).replace(">", "\\u003e")
        return f"<!-- run {text} -->"


class RunSection(NamedTuple):
    header: SectionHeader
    text: str


def write(runs: list[RunDir], path: Path) -> Path:
    """Write the file, completely or not at all.

    Raises RunError if a folder is not a run, UserError if the file was not written by this command.
    """
    sections: dict[str, RunSection] = {}
    if path.exists():
        sections = _read_sections(path)
    for run in runs:
        section = _make_section(tables.read([run]))
        sections[section.header.run] = section
    ordered = sorted(sections.values(), key=_sort_key)
    blocks = _top([section.header for section in ordered])
    blocks += [f"{section.header.to_comment()}\n{section.text}" for section in ordered]
    write_whole(path, "\n\n".join(blocks) + "\n")
    return path


def _sort_key(section: RunSection) -> tuple[str, str]:
    """Sort by report, then by run; runs without a report are last."""
    return section.header.report or "~", section.header.run


def _read_sections(path: Path) -> dict[str, RunSection]:
    """Return the sections of a file by the names of their runs. Raises UserError."""
    text = path.read_text(encoding="utf-8")
    if not text.startswith((TITLE, OLD_TITLE)):
        raise UserError(
            f"--markdown {path}: the file exists and was not written by this command; choose "
            "another name"
        )
    _, *parts = HEADER.split(text)
    sections: dict[str, RunSection] = {}
    for comment, body in zip(parts[::2], parts[1::2], strict=True):
        try:
            header = SectionHeader(**json.loads(comment))
        except (ValueError, TypeError) as error:
            raise UserError(
                f"--markdown {path}: the comment before a section cannot be read ({error}); delete "
                "the file and name all runs again"
            ) from None
        if header.digest != _digest(body.strip()):
            raise UserError(
                f"--markdown {path}: the section of {header.run} was changed by hand; delete the "
                "file and name all runs again"
            )
        sections[header.run] = RunSection(header, body.strip())
    return sections


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _top(headers: Sequence[SectionHeader]) -> list[str]:
    """Return title and tables over all sections."""
    runs: list[list[str]] = []
    numbers: list[list[str]] = []
    for header in headers:
        name = f"`{header.run}`"
        runs.append([header.report, name, *header.row])
        numbers += [[header.report, *number, name] for number in header.numbers]
    run_columns = ["report", "run", "command", "date", "commit", "hardware", "training"]
    number_columns = ["report", "quantity", "published", "ours", "seeds", "verdict", "run"]
    numbers_table = "None yet."
    if numbers:
        numbers_table = _table(number_columns, numbers)
    return [
        TITLE,
        INTRODUCTION,
        _table([*run_columns, "published numbers", "claims"], runs),
        "## Comparable numbers",
        EXPLANATION,
        numbers_table,
    ]


@dataclass(frozen=True)
class Measured:
    """Everything that a section shows."""

    results: Results
    published: list[dict[str, Any]]
    claims: list[dict[str, Any]]
    dates: str
    commit: str
    training: str
    """Duration as text."""


def _make_section(results: Results) -> RunSection:
    measured = Measured(
        results=results,
        published=published.compare(results),
        claims=claims.judge(results),
        dates=_dates(results),
        commit=results.sweep.git_commit or "unknown",
        training=formatting.duration(_training_seconds(results)),
    )
    text = _section_text(measured)
    return RunSection(_section_header(measured, text), text)


def _dates(results: Results) -> str:
    """Return the first and the last day of training."""
    if not len(results.epochs):
        return "not started"
    first = str(results.epochs["ended"].min())[:10]
    last = str(results.epochs["ended"].max())[:10]
    if first == last:
        return first
    return f"{first} to {last}"


def _training_seconds(results: Results) -> float:
    if "seconds" not in results.trials:
        return 0.0
    return float(pd.to_numeric(results.trials["seconds"], errors="coerce").sum())


def _section_header(measured: Measured, text: str) -> SectionHeader:
    sweep = measured.results.sweep
    reports = {str(row["report"]) for row in measured.published} - {""}
    numbers = []
    for row in measured.published:
        is_compared = row["verdict"] in COMPARED
        if is_compared and not row["size"] and row["metric"] != "epochs":
            seeds = str(row["n"])
            numbers.append(
                [_quantity(row), _published_value(row), _our_value(row), seeds, row["verdict"]]
            )
    return SectionHeader(
        run=measured.results.runs[0].name,
        report=", ".join(sorted(reports)),
        row=[
            f"`{sweep.command}`",
            measured.dates,
            measured.commit,
            sweep.device,
            measured.training,
            _verdict_counts(measured.published, published.COMPARED),
            _verdict_counts(measured.claims, claims.VERDICTS),
        ],
        numbers=numbers,
        digest=_digest(text),
    )


def _verdict_counts(rows: Sequence[Mapping[str, Any]], verdicts: Sequence[str]) -> str:
    counts = Counter(row["verdict"] for row in rows)
    parts = [f"{counts[verdict]} {verdict}" for verdict in verdicts if counts[verdict]]
    return ", ".join(parts) or "none"


def _section_text(measured: Measured) -> str:
    results = measured.results
    blocks = [
        f"## {results.runs[0].name}: {_cell(results.sweep.title)}",
        f"```sh\n{results.sweep.command}\n```",
        _description(measured),
    ]
    if len(results.ranked):
        blocks.append(f"Best {results.metric}: {_best(results)}.")
    baselines = baselines_section(results)
    if not baselines.is_empty:
        blocks.append(f"Baselines: {_cell(baselines.verdict)}")
    if measured.published:
        blocks += _published_blocks(measured.published)
    if measured.claims:
        blocks.append(f"**{claims.sentence(measured.claims)}**")
        blocks.append(_claims_table(measured.claims))
    return "\n\n".join(blocks)


def _description(measured: Measured) -> str:
    """Describe when, where and for how long the trials ran, and with which settings."""
    results = measured.results
    sweep = results.sweep
    versions = ", ".join(f"{name} {version}" for name, version in sweep.versions.items())
    counts = Counter(results.trials["state"])
    states = formatting.listed(f"{count} {state}" for state, count in counts.items())
    trials = formatting.plural(len(results.trials), "trial")
    text = (
        f"{measured.dates}, commit {measured.commit}, {sweep.device}, {versions}. "
        f"{trials}: {states}; {measured.training} of training."
    )
    differences = published.differences(sweep.overrides)
    if differences:
        text += f" **Other settings than the report's**: {_cell(differences)}."
    return text


def _best(results: Results) -> str:
    best = results.ranked.iloc[0]
    value = formatting.number(results.values[results.ranked.index[0]])
    return f"{value} (trial {best['trial']}, epoch {int(best['best_epoch'])})"


def _published_blocks(rows: list[dict[str, Any]]) -> list[str]:
    blocks = []
    sentence = published.sentence(rows, reasons=False)
    blocks.append(f"**{sentence}**")
    cells = []
    for row in rows:
        if row["verdict"] == "context":
            continue
        seeds = ""
        if row["n"]:
            seeds = str(row["n"])
        reason = ""
        if row["verdict"] in COMPARED or row["verdict"] == "not run":
            reason = row["why"]
        cells.append(
            [
                row["where"],
                _quantity(row),
                _published_value(row),
                _our_value(row),
                seeds,
                row["verdict"],
                reason,
            ]
        )
    if cells:
        columns = ["where", "quantity", "published", "ours", "seeds", "verdict", "reason"]
        table = _table(columns, cells)
        summary = "All published numbers that the run measures"
        blocks.append(f"<details><summary>{summary}</summary>\n\n{table}\n\n</details>")
    return blocks


def _quantity(row: Mapping[str, Any]) -> str:
    conditions = str(row["trials"])
    if not conditions:
        return str(row["quantity"])
    return f"{row['quantity']} ({formatting.short(conditions.replace(';', ', '), 60)})"


def _published_value(row: Mapping[str, Any]) -> str:
    return f"{row['value']} {row['unit']}".strip()


def _our_value(row: Mapping[str, Any]) -> str:
    if row["ours"] is None:
        return ""
    value = formatting.number(row["ours"])
    if row["sd"] is not None:
        value += f" ± {formatting.number(row['sd'], 2)}"
    return value


def _claims_table(rows: list[dict[str, Any]]) -> str:
    cells = []
    for row in rows:
        verdict = f"**{row['verdict']}**"
        reason = row["why"]
        if row["differs"]:  # the section states the settings once
            verdict += " (other settings)"
            reason = reason.replace(f"Under {row['differs']}.", "").strip()
        seeds = ""
        if row["seeds"]:
            seeds = str(row["seeds"])
        claim = f"{row['id']}: {row['text']}"
        cells.append([claim, row["provenance"], verdict, seeds, row["test"], reason])
    return _table(["claim", "provenance", "verdict", "seeds", "test", "reason"], cells)


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(text) for text in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Escape text of a sweep file, so that it is no markup and stays in its cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
