"""The claims of the report, each judged by a statistical test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.section import Scope, SectionContent, section
from cae.report.page.table import Cell, Column, Table
from cae.report.statistics.claims.judge import judge_claims
from cae.report.statistics.claims.verdict import ALPHA, ClaimResult
from cae.report.statistics.score import score_results
from cae.report.wording import claims, published
from cae.report.wording.needs import need_commands, need_sentence


@dataclass(frozen=True)
class UndecidedClaim:
    """What would decide a claim, with the commands."""

    claim: str
    need: str
    commands: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class ClaimsContent(SectionContent):
    undecided: Sequence[UndecidedClaim] = ()


@section("claims", title="Claims", order=40, scope=Scope.ALL)
def claims_section(results: Results) -> SectionContent:
    judged = judge_claims(results)
    if not judged:
        return SectionContent(
            verdict="The sweep has no claims to judge.", is_empty=True, is_left_out=True
        )
    sentences = [claims.summary_sentence(judged), claims.score_sentence(score_results(judged))]
    with_overrides = [result for result in judged if result.overrides]
    if with_overrides and not results.joined:
        differences = published.differences(with_overrides[0].overrides)
        sentences.append(f"All under {differences}.")
    return ClaimsContent(
        verdict=formatting.sentences(sentences),
        undecided=_undecided(results, judged),
        method=(
            f"Supported: the effect has the claimed sign, and p is below {ALPHA}. "
            "Contradicted: it has the opposite sign, and p is below this limit. Undecided: "
            "neither, or too few seeds for a test. Not testable: the run lacks the trials. Only "
            "finished trials count, because stopped ones were trained for fewer epochs. If "
            "possible, the two sides are compared between trials that are equal in all other "
            "settings. Tests are two-sided. If a claim needs several comparisons, Holm's "
            "correction is applied. q corrects p for the number of "
            "claims of this page (Benjamini-Hochberg): of the claims with q below 0.05, about one "
            "in 20 is decided by chance. The score is the weighted share of the claims that are "
            "supported with such a q: stated claims weigh 3, those from the authors' repository 2, "
            "inferred ones 1. The number of seeds that would decide a claim is that for a power of "
            "80 % of its test at 0.05, from the observed effect and spread; the time is that of "
            "the same trials in the journal. Both are estimates."
        ),
        tables=[_table(results, judged)],
    )


def _undecided(results: Results, judged: list[ClaimResult]) -> list[UndecidedClaim]:
    """The claims that something would decide, the cheapest first."""
    runs = {run.name: run for run in results.runs}
    undecided: list[UndecidedClaim] = []
    for result in sorted(judged, key=_cost):
        sentence = need_sentence(result.need)
        if sentence:
            commands = need_commands(runs[result.run], result.need)
            claim = formatting.short(f"{result.id}: {result.text}", 400)
            undecided.append(UndecidedClaim(claim, sentence, commands))
    return undecided


def _cost(result: ClaimResult) -> float:
    if math.isfinite(result.need.seconds):
        return result.need.seconds
    return math.inf


def _table(results: Results, judged: list[ClaimResult]) -> Table:
    names = ["claim", "provenance", "test", "numbers", "seeds", "verdict", "reason"]
    if results.joined:
        names.insert(0, "run")
    columns = [Column(name) for name in names]
    cells = [_cells(result, joined=results.joined) for result in judged]
    return Table("Claims and their verdicts", columns, cells)


def _cells(result: ClaimResult, *, joined: bool) -> list[Cell]:
    reason = claims.reason(result)
    if joined:  # otherwise the section states the settings once
        reason = formatting.sentences([reason, claims.settings_sentence(result)])
    seeds = ""
    if result.seeds:
        seeds = str(result.seeds)
    verdict_class = f"verdict verdict-{result.verdict.replace(' ', '-')}"
    cells = [
        Cell(formatting.short(f"{result.id}: {result.text}", 400)),
        Cell(formatting.short(result.provenance, 80)),
        Cell(claims.procedure_name(result.judgment)),
        Cell(formatting.short(_numbers(result), 300)),
        Cell(seeds),
        Cell(result.verdict, css_class=verdict_class),
        Cell(formatting.short(reason, 800)),
    ]
    if joined:
        cells.insert(0, Cell(formatting.short(result.run, 80)))
    return cells


def _numbers(result: ClaimResult) -> str:
    """Return the effect, its p and q values and the number of trials."""
    judgment = result.judgment
    if not judgment.trials:
        return ""
    numbers = claims.effect_text(judgment)
    interval = claims.interval_text(judgment)
    if interval:
        numbers += f", {interval}"
    if judgment.p_value is not None:
        numbers += f", {claims.p_value_text(judgment.p_value)}"
    if result.q_value is not None:
        numbers += f", {claims.p_value_text(result.q_value, 'q')}"
    return f"{numbers}, {formatting.plural(len(judgment.trials), 'trial')}"
