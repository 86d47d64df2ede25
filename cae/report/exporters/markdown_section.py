"""The section of one run in the Markdown file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from cae.report import formatting
from cae.report.data.commands import commands_of
from cae.report.data.results import Results
from cae.report.exporters.markdown_header import (
    RULE,
    JudgedClaim,
    RunSection,
    SectionHeader,
    TestedClaim,
    digest,
)
from cae.report.exporters.markdown_text import code_block, table
from cae.report.page.sections.baselines import baselines_section
from cae.report.page.wording import state_note
from cae.report.statistics.claims.judge import judge_claims
from cae.report.statistics.claims.verdict import ClaimResult, Verdict
from cae.report.statistics.published import compare_published, group_comparisons
from cae.report.statistics.published_number import PublishedComparison, PublishedVerdict
from cae.report.statistics.score import score_results
from cae.report.wording import claims, published
from cae.report.wording.needs import need_commands, need_sentence
from cae.run.markdown import Markdown, escaped

MAX_GROUPS = 50
"""Comparability groups whose best trials are listed."""


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


def make_section(results: Results, archive: str) -> RunSection:
    """Return the section of a run.

    archive: name of the file that holds its journal; empty: none.
    """
    measured = Measured(
        results=results,
        published=compare_published(results),
        claims=judge_claims(results),
        dates=_dates(results),
        commit=results.sweep.git_commit or "unknown",
        training=formatting.duration(_training_seconds(results)),
    )
    text = _section_text(measured)
    return RunSection(_section_header(measured, text, archive), text)


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


def _section_header(measured: Measured, text: str, archive: str) -> SectionHeader:
    sweep = measured.results.sweep
    reports = {comparison.published.report for comparison in measured.published} - {""}
    numbers = []
    for comparison in measured.published:
        if comparison.is_counted:
            numbers.append(
                [
                    _quantity(comparison),
                    _published_value(comparison),
                    _our_value(comparison),
                    str(comparison.n),
                    comparison.verdict,
                ]
            )
    judged: list[PublishedVerdict] = []
    for comparison in measured.published:
        if comparison.verdict.is_judged and comparison.is_measurement:
            judged.append(comparison.verdict)
    has_own_settings = not sweep.overrides
    judged_claims = [
        _judged_claim(result, has_own_settings=has_own_settings) for result in measured.claims
    ]
    return SectionHeader(
        run=measured.results.runs[0].name,
        report=", ".join(sorted(reports)),
        row=[
            _command(measured.results),
            measured.dates,
            measured.commit,
            sweep.device,
            measured.training,
            _counts(judged, PublishedVerdict),
            _counts([result.verdict for result in measured.claims], Verdict),
        ],
        numbers=numbers,
        digest=digest(text),
        claims=_claims_with_p_values(measured.claims),
        judged=judged_claims,
        rule=RULE,
        archive=archive,
    )


def _command(results: Results) -> str:
    """The first command of a run, and the number of others."""
    first, *others = commands_of(results.runs[0])
    if not others:
        return f"`{first}`"
    return f"`{first}` and {formatting.plural(len(others), 'more command')} (below)"


def _claims_with_p_values(results: Sequence[ClaimResult]) -> list[TestedClaim]:
    tested: list[TestedClaim] = []
    for result in results:
        judgment = result.judgment
        if judgment.p_value is not None:
            effect = _effect(result)
            claim = f"{result.id}: {result.text}"
            tested.append(TestedClaim(claim, result.verdict, effect, judgment.p_value))
    return tested


def _judged_claim(result: ClaimResult, *, has_own_settings: bool) -> JudgedClaim:
    return JudgedClaim(
        id=result.id,
        provenance=result.provenance,
        verdict=result.verdict,
        p_value=result.judgment.p_value,
        seeds=result.seeds,
        has_own_settings=has_own_settings,
    )


def _effect(result: ClaimResult) -> str:
    """The effect of a claim with its interval; empty if it was not measured."""
    effect = claims.effect_text(result.judgment)
    interval = claims.interval_text(result.judgment)
    if interval:
        return f"{effect} ({interval})"
    return effect


def _counts(verdicts: Sequence[str], order: Iterable[str]) -> str:
    counts = Counter(verdicts)
    parts = [f"{counts[verdict]} {verdict}" for verdict in order if counts[verdict]]
    return ", ".join(parts) or "none"


def _section_text(measured: Measured) -> str:
    results = measured.results
    blocks = [
        f"## {escaped(results.runs[0].name)}: {escaped(results.sweep.title)}",
        code_block(*commands_of(results.runs[0])),
        _description(measured),
    ]
    for group in results.groups[:MAX_GROUPS]:
        at_group = ""
        if group.label:
            at_group = f" at {escaped(group.label)}"
        if len(group.results.ranked):
            blocks.append(f"Best {escaped(results.metric)}{at_group}: {_best(group.results)}.")
        baselines = baselines_section(group.results)
        if not baselines.is_empty:
            blocks.append(f"Baselines{at_group}: {escaped(baselines.verdict)}")
    if measured.published:
        blocks += _published_blocks(measured.published)
    if measured.claims:
        score = claims.score_sentence(score_results(measured.claims))
        blocks.append(f"**{escaped(claims.summary_sentence(measured.claims))}** {score}")
        blocks.append(_claims_table(measured.claims, has_report=bool(measured.published)))
        blocks += _undecided(measured)
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
        f"{measured.dates}, commit {escaped(measured.commit)}, {escaped(sweep.device)}, "
        f"{escaped(versions)}. "
        f"{trials}: {states}; {measured.training} of training."
    )
    differences = published.differences(sweep.overrides)
    if differences:
        full = "the full sweep's"
        if measured.published:
            full = "the report's"
        text += f" **Settings that differ from {full}**: {escaped(differences)}."
    return text


def _best(results: Results) -> str:
    index = results.ranked.index[0]
    best = results.ranked.loc[index]
    value = formatting.number(results.values[index])
    details = [f"trial {best['trial']}", f"epoch {int(best['best_epoch'])}"]
    note = state_note(results, index)
    if note:
        details.append(note)
    return f"{value} ({', '.join(details)})"


def _published_blocks(comparisons: list[PublishedComparison]) -> list[str]:
    blocks = []
    sentence = published.summary_sentence(comparisons, reasons=False)
    blocks.append(f"**{escaped(sentence)}**")
    groups = group_comparisons(comparisons)
    if groups.compared:
        blocks.append(_numbers_table(groups.compared))
    others = [comparison for comparison in groups.others if comparison.verdict.is_judged]
    if groups.settings:
        blocks.append(_folded("Sizes and settings", _numbers_table(groups.settings)))
    if others:
        blocks.append(_folded("Numbers that do not compare", _numbers_table(others)))
    return blocks


def _folded(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def _numbers_table(comparisons: list[PublishedComparison]) -> str:
    rows: list[list[str]] = []
    for comparison in comparisons:
        seeds = ""
        if comparison.n:
            seeds = str(comparison.n)
        reason = ""  # the section states once in which settings the run differs
        if comparison.verdict != PublishedVerdict.NOT_COMPARABLE:
            reason = published.reason(comparison)
        rows.append(
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
    columns = ["where", "quantity", "published", "ours", "seeds", "verdict", "reason"]
    return table(columns, rows)


def _undecided(measured: Measured) -> list[str]:
    """What would decide the undecided claims, with the commands; nothing if there are none."""
    run = measured.results.runs[0]
    blocks: list[str] = []
    for result in measured.claims:
        sentence = need_sentence(result.need)
        if sentence:
            blocks.append(f"{escaped(result.id)}: {escaped(sentence)}")
            commands = need_commands(run, result.need)
            if commands:
                blocks.append(code_block(*commands))
    if not blocks:
        return []
    return [_folded("What would decide the other claims", "\n\n".join(blocks))]


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


def _claims_table(results: list[ClaimResult], *, has_report: bool) -> str:
    """A table of claims; without a report, they are the sweep file's own: no provenance."""
    columns = ["claim", "provenance", "verdict", "effect", "seeds", "test", "reason"]
    if not has_report:
        columns.remove("provenance")
    rows = []
    for result in results:
        verdict = Markdown(f"**{result.verdict}**")
        if result.overrides:  # the section states once which settings these are
            verdict = Markdown(f"{verdict} (other settings)")
        seeds = ""
        if result.seeds:
            seeds = str(result.seeds)
        cells = {
            "claim": f"{result.id}: {result.text}",
            "provenance": result.provenance,
            "verdict": verdict,
            "effect": _effect(result),
            "seeds": seeds,
            "test": claims.procedure_name(result.judgment),
            "reason": claims.reason(result),
        }
        rows.append([cells[name] for name in columns])
    return table(columns, rows)
