"""Rows of verdicts.json: the verdict on each published number and each claim, with its reason."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from cae.report import formatting
from cae.report.statistics.claims.intervals import effect_interval
from cae.report.statistics.claims.verdict import ClaimResult
from cae.report.statistics.published_number import PublishedComparison
from cae.report.statistics.score import score_results
from cae.report.wording import claims, published
from cae.run.json_values import JsonObject
from cae.run.sweep_json import PUBLISHED


def published_row(comparison: PublishedComparison) -> dict[str, Any]:
    """The columns of the published number, and our measurement."""
    number = comparison.published
    columns = {name: getattr(number, name) for name in PUBLISHED}
    trials: list[int] = []
    tolerance: float | None = None
    if comparison.measurement is not None:
        trials = comparison.measurement.trials
    if math.isfinite(comparison.tolerance):
        tolerance = comparison.tolerance
    return {
        "run": comparison.run,
        **columns,
        **number.other_columns,
        "size": comparison.is_size,
        "setting": comparison.is_setting,
        "compared": comparison.is_counted,
        "ours": comparison.ours,
        "sd": comparison.sd,
        "n": comparison.n,
        "trials_used": trials,
        "tolerance": tolerance,
        "verdict": comparison.verdict,
        "why": published.reason(comparison),
    }


def claim_row(result: ClaimResult, commands: Sequence[str] = ()) -> dict[str, Any]:
    """The claim, the test with its numbers, the verdict, and what would decide it.

    commands: those that add the seeds (`needs.need_commands`).
    """
    judgment = result.judgment
    interval = effect_interval(judgment)
    need = result.need
    seconds: float | None = None
    if math.isfinite(need.seconds):
        seconds = need.seconds
    reason = formatting.sentences([claims.reason(result), claims.settings_sentence(result)])
    return {
        "run": result.run,
        "id": result.id,
        "kind": result.kind,
        "text": result.text,
        "provenance": result.provenance,
        "test": claims.procedure_name(judgment),
        "statistic": judgment.statistic,
        "p": judgment.p_value,
        "q": result.q_value,
        "effect": claims.effect_text(judgment),
        "size": judgment.effect,
        "interval": interval and list(interval),
        "n": len(judgment.trials),
        "seeds": result.seeds,
        "verdict": judgment.verdict,
        "why": reason,
        "differs": published.differences(result.overrides),
        "trials_used": list(result.trials),
        "groups": list(result.groups),
        "explanation": result.explanation,
        "need": str(need.kind),
        "more_seeds": need.more_seeds,
        "seeds_needed": need.seeds,
        "seconds_needed": seconds,
        "commands": list(commands),
    }


def counts(comparisons: Sequence[PublishedComparison], judged: Sequence[ClaimResult]) -> JsonObject:
    """How many numbers and claims have each verdict, and the score of the claims.

    Sizes and settings are counted apart: they do not depend on training.
    """
    numbers = [comparison for comparison in comparisons if comparison.is_counted]
    settings = [comparison for comparison in comparisons if not comparison.is_measurement]
    score = score_results(judged)
    scored: JsonObject | None = None
    if score is not None:
        scored = dataclasses.asdict(score)
    return {
        "numbers": Counter(str(comparison.verdict) for comparison in numbers),
        "sizes_and_settings": Counter(str(comparison.verdict) for comparison in settings),
        "claims": Counter(str(result.verdict) for result in judged),
        "score": scored,
    }
