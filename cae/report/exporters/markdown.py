"""What reports published beside what the runs gave, of many runs, as one Markdown file: docs/reproduction.md.

`write` makes the sections of the runs that it is given and keeps those of the others as the file has them, so that the results of
many days and machines come together. Nothing in the file is written by hand: its top is made anew from the marks of all sections.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from cae.errors import UserError
from cae.files import write_whole
from cae.report import formatting
from cae.report.data import tables
from cae.report.page.sections.final_evaluation import baselines
from cae.report.statistics import claims, published
from cae.run.paths import RunDir

MARK = re.compile(r"^<!-- run (\{.*\}) -->$", re.MULTILINE)
TITLE = "# What the reports say, and what came out"
JUDGED = ("reproduced", "better", "worse", "differs")


def write(runs: list[RunDir], path: Path) -> Path:
    """Writes the file, whole or not at all. Raises RunError where a folder is no run, UserError where the file is not ours."""
    sections = _kept(path) if path.exists() else {}
    for run in runs:
        results = tables.read([run])
        sections[results.runs[0].name] = _section(results)
    ordered = sorted(
        sections.values(), key=lambda section: (section[0]["report"] or "~", section[0]["run"])
    )
    marks = [mark for mark, _ in ordered]
    write_whole(
        path,
        "\n\n".join([*_top(marks), *(f"{_marked(mark)}\n{text}" for mark, text in ordered)]) + "\n",
    )
    return path


def _kept(path: Path) -> dict[str, tuple[dict[str, Any], str]]:
    text = path.read_text(encoding="utf-8")
    if not text.startswith(TITLE):
        raise UserError(
            f"--markdown {path}: is another file, which this would overwrite: choose another name"
        )
    pieces = MARK.split(text)[1:]
    try:
        found = {
            mark["run"]: (mark, body.strip())
            for mark, body in zip(map(json.loads, pieces[::2]), pieces[1::2], strict=True)
        }
        changed = [name for name, (mark, body) in found.items() if mark["digest"] != _digest(body)]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"--markdown {path}: a mark in it cannot be read ({error}): delete the file, and give all runs again"
        ) from None
    if changed:
        raise UserError(
            f"--markdown {path}: the section of {changed[0]} was changed by hand: delete the file, and give all runs again"
        )
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _marked(mark: dict[str, Any]) -> str:
    text = json.dumps(mark, ensure_ascii=False).replace(">", "\\u003e")
    return f"<!-- run {text} -->"


def _top(marks: list[dict[str, Any]]) -> list[str]:
    numbers = [
        [mark["report"], *number, f"`{mark['run']}`"]
        for mark in marks
        for number in mark["numbers"]
    ]
    return [
        TITLE,
        "Made by `cae-sweep report RUN... --markdown FILE` from the journals of the runs, never by hand; runs that are not given keep "
        "their sections. The page of a run (`cae-sweep report RUN`) has more: every trial, curves, images.",
        _table(
            [
                "report",
                "run",
                "command",
                "date",
                "commit",
                "hardware",
                "training",
                "published numbers",
                "claims",
            ],
            [[mark["report"], f"`{mark['run']}`", *mark["row"]] for mark in marks],
        ),
        "## The numbers that compare",
        "Measured at the settings of the report: the rest, of smaller budgets, is in the sections below as *not comparable*. Ours is the "
        "mean over the seeds, ± their standard deviation. *Reproduced*: within 2 standard deviations, or half a unit of the last digit "
        "printed. Sizes of networks are not repeated here.",
        _table(["report", "quantity", "published", "ours", "seeds", "verdict", "run"], numbers)
        if numbers
        else "None yet.",
    ]


def _section(results: tables.Results) -> tuple[dict[str, Any], str]:
    run = results.runs[0]
    sweep, rows, judged = run.sweep, published.compare(results), claims.judge(results)
    reports = sorted({str(row.get("report") or "") for row in rows} - {""})
    epochs, trials = results.epochs, results.trials
    dates = sorted({str(ended)[:10] for ended in epochs["ended"]}) if len(epochs) else []
    date = " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else "not begun"
    seconds = (
        float(pd.to_numeric(trials["seconds"], errors="coerce").sum())
        if "seconds" in trials
        else 0.0
    )
    compared, decided = (Counter(row["verdict"] for row in some) for some in (rows, judged))
    mark = {
        "run": run.name,
        "report": ", ".join(reports),
        "row": [
            f"`{sweep.command}`",
            date,
            str(sweep.git_commit or "not known"),
            str(sweep.device),
            formatting.duration(seconds),
            _counted(compared, published.COMPARED),
            _counted(decided, claims.VERDICTS),
        ],
        "numbers": [
            [_quantity(row), _published(row), _ours(row), str(row["n"]), row["verdict"]]
            for row in rows
            if row["verdict"] in JUDGED and not row["size"] and row.get("metric") != "epochs"
        ],
    }
    states = Counter(trials["state"])
    versions = ", ".join(f"{name} {version}" for name, version in (sweep.versions).items())
    differs = published.differences(sweep.overrides)
    against = baselines(results, [])
    parts = [
        f"## {run.name}: {_cell(str(sweep.title))}",
        f"```sh\n{sweep.command}\n```",
        f"{date}, commit {mark['row'][2]}, {mark['row'][3]}, {versions}. {formatting.plural(len(trials), 'trial')}: "
        f"{formatting.listed(f'{count} {state}' for state, count in states.items())}; {mark['row'][4]} of training."
        + (f" **Not the report's settings**: {_cell(differs)}." if differs else ""),
        f"Best {results.metric}: {_best(results)}." if len(results.ranked) else "",
        "" if against.empty else f"Against trivial answers: {_cell(against.verdict)}",
        f"**{published.sentence(rows, reasons=False)}**" if rows else "",
        _details(
            "Every published number that a run measures",
            _table(
                ["where", "quantity", "published", "ours", "seeds", "verdict", "why"],
                [
                    [
                        str(row.get("where", "")),
                        _quantity(row),
                        _published(row),
                        _ours(row),
                        str(row["n"] or ""),
                        row["verdict"],
                        _why(row),
                    ]
                    for row in rows
                    if row["verdict"] != "context"
                ],
            ),
        )
        if any(row["verdict"] != "context" for row in rows)
        else "",
        f"**{claims.sentence(judged)}**" if judged else "",
        _table(
            ["claim", "where it stands", "verdict", "seeds", "test", "why"],
            [
                [
                    f"{row['id']}: {row['text']}",
                    row["provenance"],
                    f"**{row['verdict']}**" + (" (other settings)" if row["differs"] else ""),
                    str(row["seeds"] or ""),
                    row["test"],
                    row["why"],
                ]
                for row in _briefly(judged)
            ],
        )
        if judged
        else "",
    ]
    text = "\n\n".join(part for part in parts if part)
    return mark | {"digest": _digest(text)}, text


def _briefly(judged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the settings of the run at the end of each reason: the section says them once."""
    return [
        row | {"why": row["why"].replace(f"Under {row['differs']}.", "").strip()}
        if row["differs"]
        else row
        for row in judged
    ]


def _counted(counts: Counter[str], order: tuple[str, ...]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in order if counts[name]) or "none"


def _best(results: tables.Results) -> str:
    index = results.ranked.index[0]
    trial, epoch = (int(str(results.ranked.at[index, name])) for name in ("trial", "best_epoch"))
    return f"{formatting.number(results.values[index])} (trial {trial}, epoch {epoch})"


def _quantity(row: dict[str, Any]) -> str:
    which = str(row.get("trials") or "")
    return str(row.get("quantity", "")) + (
        f" ({formatting.short(which.replace(';', ', '), 60)})" if which else ""
    )


def _published(row: dict[str, Any]) -> str:
    return " ".join(
        part for part in (str(row.get("value", "")), str(row.get("unit") or "")) if part
    )


def _ours(row: dict[str, Any]) -> str:
    if row["ours"] is None:
        return ""
    return formatting.number(row["ours"]) + (
        f" ± {formatting.number(row['sd'], 2)}" if row["sd"] is not None else ""
    )


def _why(row: dict[str, Any]) -> str:
    return str(row["why"]) if row["verdict"] in JUDGED or row["verdict"] == "not run" else ""


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_cell(item) for item in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text that stays in its cell, and is text: no markup of the strings that a sweep file gives."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
