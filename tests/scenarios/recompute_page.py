"""Numbers of the page report.html, computed again from the journal (see recompute.py)."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.recompute import Run, Trial

MAX_BEST = 10
"""Rows of the table of the best trials."""
FAILURES = {
    "failed": "with an error",
    "oom": "out of memory",
    "diverged": "diverged",
}
"""How the section of failures names the states, in its order."""


@dataclass
class Section:
    """The part of a section that is about one comparability group, or all of the section."""

    text: str
    tables: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """Rows by heading, by caption."""


def check_page(run: Run) -> None:
    """Compare the page with the journal, section by section and group by group."""
    page = (run.folder / "report.html").read_text()
    check_embedded_table(run, page)
    sections = read_sections(page)
    check_summary(run, sections["summary"][0])
    groups = list(run.groups().values())
    best = sections.get("best", [])
    if run.rankings():
        assert len(best) == len(groups)
    by_best: dict[int, list[Trial]] = {}
    for trials in groups:
        ranking = run.ranking(trials)
        if ranking:
            by_best[ranking[0][0]] = trials
    for position, part in enumerate(best):
        match = re.search(r"best of (\d+) ranked trials? with", part.text)
        rows = part.tables[next(name for name in part.tables if name.startswith("The best"))]
        trials = by_best[int(rows[0]["trial"])]
        check_best_trials(run, trials, rows)
        if match is not None:
            assert int(match[1]) == len(run.ranking(trials))
        check_configurations(run, trials, part)
        for name, check in GROUP_CHECKS.items():
            if name in sections and len(sections[name]) == len(best):
                check(run, trials, sections[name][position])
    check_failures(run, page, sections)


def check_embedded_table(run: Run, page: str) -> None:
    """The page holds the table of trials as it is on disk."""
    match = re.search(r'id="csv">([^<]*)</script>', page)
    assert match is not None
    rows = json.loads(gzip.decompress(base64.b64decode(match[1])))
    assert "".join(rows).split() == (run.folder / "trials.csv").read_text().split()


def read_sections(page: str) -> dict[str, list[Section]]:
    """The sections of the page by id: one part for each group, or one for all trials."""
    sections: dict[str, list[Section]] = {}
    for part in re.split(r'(?=<section id=")', page)[1:]:
        body = part.partition("</section>")[0]
        name = body.partition('"')[2].partition('"')[0]
        parts = re.split(r'<h3 class="comparability-group">', body)
        sections[name] = [read_part(text) for text in parts[1:] or parts]
    return sections


def read_part(body: str) -> Section:
    part = Section(to_text(body))
    for table in re.findall(r"<table.*?</table>", body, re.DOTALL):
        caption = re.search(r"<caption>(.*?)</caption>", table)
        head = re.search(r"<thead>.*?</thead>", table, re.DOTALL)
        if caption is None or head is None:
            continue
        headings = cells(head[0], "th")
        bodies = re.findall(r"<tbody>.*?</tbody>", table, re.DOTALL)
        lines = re.findall(r"<tr.*?</tr>", "".join(bodies), re.DOTALL)
        rows: list[dict[str, str]] = []
        for line in lines:
            row: dict[str, str] = {}
            for heading, cell in zip(headings, cells(line, "td"), strict=True):
                row.setdefault(heading, cell)
            rows.append(row)
        part.tables[to_text(caption[1])] = rows
    return part


def cells(line: str, tag: str) -> list[str]:
    return [to_text(cell) for cell in re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", line, re.DOTALL)]


def to_text(markup: str) -> str:
    """The text without tags, with single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", markup)).split())


def number(value: float, digits: int = 4) -> str:
    """A number of the page with four significant digits, trailing zeros included."""
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    text = f"{value:#.{digits}g}"
    return text.removesuffix(".")


def check_summary(run: Run, part: Section) -> None:
    """The cards count all trials of the run; the best of each group is named."""
    counts = run.state_counts(set(run.trials))
    assert f"{len(run.trials)}trials" in part.text.replace(" ", "")
    for state, count in counts.items():
        assert re.search(rf"\b{count} ?{state}\b", part.text), (state, count)
    for ranking in run.rankings():
        best, epoch, value = ranking[0]
        single = f"trial {best}: {run.metric} {number(value)} at epoch {epoch}"
        of_configurations = f"The best single trial is trial {best} ({number(value)})"
        assert single in part.text or of_configurations in part.text
    stopped = [trial for trial in run.trials.values() if trial.state == "stopped"]
    if stopped:
        assert stopped_sentence(stopped, len(run.trials)) in part.text
    remaining = sum(counts.get(state, 0) for state in ("running", "pending", "interrupted"))
    if remaining:
        noun = "trials"
        if remaining == 1:
            noun = "trial"
        assert f"not complete: {remaining} {noun} of {len(run.trials)} remain" in part.text
    else:
        assert "not complete" not in part.text


def stopped_sentence(stopped: list[Trial], total: int) -> str:
    """How many trials were stopped, where, and the epochs that this saved."""
    rungs = Counter(trial.end["rung"] for trial in stopped if trial.end is not None)
    places = [f"{rungs[rung]} at epoch {rung}" for rung in sorted(rungs)]
    places_text = " and ".join([", ".join(places[:-1]), places[-1]]).removeprefix(" and ")
    requested = sum(trial.config["epochs"] for trial in stopped)
    saved = requested - sum(len(trial.epochs) for trial in stopped)
    noun = "trials"
    if len(stopped) == 1:
        noun = "trial"
    return (
        f"{len(stopped)} {noun} of {total} stopped early ({places_text}), which saved {saved} of "
        f"their {requested} epochs"
    )


def check_best_trials(run: Run, trials: list[Trial], rows: list[dict[str, str]]) -> None:
    """The best trials of a group: rank, state, value, epoch and final evaluation."""
    by_number = {trial.number: trial for trial in trials}
    expected: list[tuple[str, ...]] = []
    for rank, (best, epoch, value) in enumerate(run.ranking(trials)[:MAX_BEST], start=1):
        state = by_number[best].state
        expected.append((str(rank), str(best), state, number(value), str(epoch)))
    headings = ("rank", "trial", "state", run.metric, "epoch")
    assert [tuple(row[name] for name in headings) for row in rows] == expected
    for row in rows:
        final = by_number[int(row["trial"])].final(int(row["epoch"]))
        for name in row:
            if name.startswith("test_"):
                text = ""
                if name in final:
                    text = number(final[name])
                assert row[name] == text


def check_configurations(run: Run, trials: list[Trial], part: Section) -> None:
    """The mean over the finished seeds of each configuration."""
    rows = part.tables.get("Configurations and their seeds", [])
    configurations: dict[str, list[Trial]] = {}
    for trial in trials:
        config = {name: value for name, value in trial.config.items() if name != "seed"}
        configurations.setdefault(json.dumps(config), []).append(trial)
    shown = {int(row["configuration of"].removeprefix("trial ")): row for row in rows}
    for members in configurations.values():
        numbers = [trial.number for trial in members]
        matching = [shown[member] for member in numbers if member in shown]
        if not matching:
            continue
        values: list[float] = []
        for trial in members:
            epoch = trial.best_epoch(run.metric, run.sign)
            if trial.state == "finished" and epoch is not None:
                values.append(trial.epochs[epoch][run.metric])
        row = matching[0]
        assert len(matching) == 1
        assert int(row["finished seeds"]) == len(values)
        if values:
            assert row[f"mean {run.metric}"] == number(statistics.fmean(values))
        else:
            assert row[f"mean {run.metric}"] == ""


def check_stopping(_: Run, trials: list[Trial], part: Section) -> None:
    """The stopped trials of a group with their rungs, values and cutoffs, and the rungs."""
    stopped = [trial for trial in trials if trial.state == "stopped"]
    if not stopped:
        assert "Stopped trials" not in part.tables
        return
    assert stopped_sentence(stopped, len(trials)) in part.text
    expected: set[tuple[str, ...]] = set()
    for trial in stopped:
        end = trial.end or {}
        values = (number(end["value"]), number(end["cutoff"]), end["reason"])
        expected.add((str(trial.number), str(end["rung"]), *values))
    headings = ("trial", "rung", "value", "cutoff", "reason")
    rows = part.tables["Stopped trials"]
    assert {tuple(row[name] for name in headings) for row in rows} == expected
    assert len(rows) == len(expected)
    rungs = part.tables["Rungs"]
    limits = [int(row["rung (epoch)"]) for row in rungs]
    for row, rung, next_rung in zip(rungs, limits, [*limits[1:], 10**9], strict=True):
        entered = [trial for trial in trials if rung in trial.epochs]
        here = [trial for trial in stopped if trial.end is not None and trial.end["rung"] == rung]
        failed = [
            trial
            for trial in trials
            if trial.state in (*FAILURES, "killed") and rung <= len(trial.epochs) < next_rung
        ]
        counts = [len(entered), len(here), len(failed), len(entered) - len(here) - len(failed)]
        names = ("entered", "stopped", "failed", "continued")
        assert [int(row[name]) for name in names] == counts


def check_baselines(run: Run, trials: list[Trial], part: Section) -> None:
    """Each finished trial beside the lowest loss that needs no network."""
    rows = part.tables.get("Test losses of the trials and of the baselines", [])
    expected: list[tuple[str, str, str]] = []
    by_number = {trial.number: trial for trial in trials}
    for best, epoch, _ in run.ranking(trials):
        trial = by_number[best]
        if trial.state == "finished":
            final = trial.final(epoch)
            baselines = [final[name] for name in final if name.startswith("test_baseline_")]
            verdict = "does not beat the best baseline"
            if final["test_loss"] < min(baselines):
                verdict = "beats every baseline"
            expected.append((f"trial {best}", number(final["test_loss"]), verdict))
    assert [(row["trial"], row["test loss"], row["verdict"]) for row in rows] == expected
    if expected and run.ranking(trials)[0][0] != int(expected[0][0].removeprefix("trial ")):
        assert f"of the best finished trial ({expected[0][0]}) is" in part.text, (
            "it is not the best trial"
        )


def check_curves(run: Run, trials: list[Trial], part: Section) -> None:
    """How many finished trials of several epochs were best in the last; training of the best."""
    finished = [trial for trial in trials if trial.state == "finished" and len(trial.epochs) > 1]
    last = [
        trial for trial in finished if trial.best_epoch(run.metric, run.sign) == max(trial.epochs)
    ]
    if last:
        assert re.search(rf"\b{len(last)} of {len(finished)} finished trials? w", part.text)
    best, epoch, value = run.ranking(trials)[0]
    row = next(trial for trial in trials if trial.number == best).epochs[epoch]
    assert (
        f"Trial {best} has {run.metric} {number(value)} and train_loss {number(row['train_loss'])}"
        in part.text
    ) or run.metric != "val_loss"


def check_progress(run: Run, trials: list[Trial], part: Section) -> None:
    """The last new best value is that of the best trial."""
    best, _, value = run.ranking(trials)[0]
    rows = part.tables.get("Every new best value", [])
    if rows:
        assert (rows[-1]["trial"], rows[-1]["value"]) == (f"trial {best}", number(value))
        assert f"improved {len(rows)} time" in part.text or len(trials) == 1


GROUP_CHECKS = {
    "early_stopping": check_stopping,
    "baselines": check_baselines,
    "curves": check_curves,
    "progress": check_progress,
}


def check_failures(run: Run, page: str, sections: dict[str, list[Section]]) -> None:
    """Which trials failed, in which way and after which epoch."""
    failed = [trial for trial in run.trials.values() if trial.state in FAILURES]
    killed = [trial for trial in run.trials.values() if trial.state == "killed"]
    if not failed and not killed:
        return
    text = sections["failures"][0].text
    for state, description in FAILURES.items():
        count = sum(trial.state == state for trial in failed)
        if count:
            assert f"{count} {description}" in text
    shown: dict[int, tuple[str, int]] = {}
    for article in re.findall(r'<article class="failure">.*?</article>', page, re.DOTALL):
        heading = to_text(article.partition("</h3>")[0])
        state = heading.split()[-1]
        trials_text = re.search(r'<p class="failed-trials">(.*?)</p>', article)
        assert trials_text is not None
        for when in to_text(trials_text[1]).split("; "):
            moment, _, numbers = when.partition(": trial")
            epoch = 0
            if moment.startswith("after epoch "):
                epoch = int(moment.removeprefix("after epoch "))
            for text_number in re.findall(r"\d+", numbers):
                shown[int(text_number)] = (state, epoch)
    assert shown == {trial.number: (trial.state, len(trial.epochs)) for trial in failed + killed}
