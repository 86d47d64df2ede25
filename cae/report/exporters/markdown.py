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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from cae.errors import UserError
from cae.files import write_whole
from cae.report import formatting
from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.page.sections.baselines import baselines_section
from cae.report.statistics.claims.judge import judge_claims
from cae.report.statistics.claims.verdict import ClaimResult, Verdict
from cae.report.statistics.published import (
    PublishedComparison,
    PublishedVerdict,
    compare_published,
)
from cae.report.wording import claims, published
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
    published: list[PublishedComparison]
    claims: list[ClaimResult]
    dates: str
    commit: str
    training: str
    """Duration as text."""


def _make_section(results: Results) -> RunSection:
    measured = Measured(
        results=results,
        published=compare_published(results),
        claims=judge_claims(results),
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
    reports = {comparison.published.report for comparison in measured.published} - {""}
    numbers = []
    for comparison in measured.published:
        is_epochs = comparison.published.metric == "epochs"
        if comparison.verdict.is_compared and not comparison.is_size and not is_epochs:
            numbers.append(
                [
                    _quantity(comparison),
                    _published_value(comparison),
                    _our_value(comparison),
                    str(comparison.n),
                    comparison.verdict,
                ]
            )
    judged = [comparison for comparison in measured.published if comparison.verdict.is_judged]
    return SectionHeader(
        run=measured.results.runs[0].name,
        report=", ".join(sorted(reports)),
        row=[
            f"`{sweep.command}`",
            measured.dates,
            measured.commit,
            sweep.device,
            measured.training,
            _counts([comparison.verdict for comparison in judged], PublishedVerdict),
            _counts([result.verdict for result in measured.claims], Verdict),
        ],
        numbers=numbers,
        digest=_digest(text),
    )


def _counts(verdicts: Sequence[str], order: Iterable[str]) -> str:
    counts = Counter(verdicts)
    parts = [f"{counts[verdict]} {verdict}" for verdict in order if counts[verdict]]
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
        blocks.append(f"**{claims.summary_sentence(measured.claims)}**")
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


def _published_blocks(comparisons: list[PublishedComparison]) -> list[str]:
    blocks = []
    sentence = published.summary_sentence(comparisons, reasons=False)
    blocks.append(f"**{sentence}**")
    cells = []
    for comparison in comparisons:
        if not comparison.verdict.is_judged:
            continue
        seeds = ""
        if comparison.n:
            seeds = str(comparison.n)
        reason = ""  # the section states once in which settings the run differs
        if comparison.verdict != PublishedVerdict.NOT_COMPARABLE:
            reason = published.reason(comparison)
        cells.append(
            [
                comparison.published.where,
                _quantity(comparison),
                _published_value(comparison),
                _our_value(comparison),
                seeds,
                comparison.verdict,
                reason,
            ]
        )
    if cells:
        columns = ["where", "quantity", "published", "ours", "seeds", "verdict", "reason"]
        table = _table(columns, cells)
        summary = "All published numbers that the run measures"
        blocks.append(f"<details><summary>{summary}</summary>\n\n{table}\n\n</details>")
    return blocks


def _quantity(comparison: PublishedComparison) -> str:
    number = comparison.published
    if not number.trials:
        return number.quantity
    return f"{number.quantity} ({formatting.short(number.trials.replace(';', ', '), 60)})"


def _published_value(comparison: PublishedComparison) -> str:
    return f"{comparison.published.value} {comparison.published.unit}".strip()


def _our_value(comparison: PublishedComparison) -> str:
    if comparison.ours is None:
        return ""
    value = formatting.number(comparison.ours)
    if comparison.sd is not None:
        value += f" ± {formatting.number(comparison.sd, 2)}"
    return value


def _claims_table(results: list[ClaimResult]) -> str:
    cells = []
    for result in results:
        verdict = f"**{result.verdict}**"
        if result.overrides:  # the section states once which settings these are
            verdict += " (other settings)"
        seeds = ""
        if result.seeds:
            seeds = str(result.seeds)
        cells.append(
            [
                f"{result.id}: {result.text}",
                result.provenance,
                verdict,
                seeds,
                claims.procedure_name(result.judgment),
                claims.reason(result),
            ]
        )
    return _table(["claim", "provenance", "verdict", "seeds", "test", "reason"], cells)


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns)]
    for row in rows:
        lines.append([_cell(text) for text in row])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Escape text of a sweep file, so that it is no markup and stays in its cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
