"""Rows of verdicts.json: the verdict on each published number and each claim, with its reason."""

from __future__ import annotations

import math
from typing import Any

from cae.report import formatting
from cae.report.statistics.claims.verdict import ClaimResult
from cae.report.statistics.published_number import PublishedComparison
from cae.report.wording import claims, published
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
        "ours": comparison.ours,
        "sd": comparison.sd,
        "n": comparison.n,
        "trials_used": trials,
        "tolerance": tolerance,
        "verdict": comparison.verdict,
        "why": published.reason(comparison),
    }


def claim_row(result: ClaimResult) -> dict[str, Any]:
    """The claim, the test with its numbers, and the verdict."""
    judgment = result.judgment
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
        "n": len(judgment.trials),
        "seeds": result.seeds,
        "verdict": judgment.verdict,
        "why": reason,
        "differs": published.differences(result.overrides),
        "trials_used": list(result.trials),
        "groups": list(result.groups),
    }
