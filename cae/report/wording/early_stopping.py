"""Phrases about early stopping."""

from __future__ import annotations

from cae.report import formatting
from cae.report.statistics.early_stopping import Audit, SurvivalCurve


def audit_sentence(audit: Audit | None, metric: str) -> str:
    """What the audit trials show; empty if there are none."""
    if audit is None:
        return ""
    if not audit.would_be_stopped:
        planned = formatting.plural(audit.planned, "audit trial")
        return f"{planned}; none that would have been stopped has finished yet."
    trials = formatting.plural(audit.would_be_stopped, "trial")
    finished = f"Audit: {trials} that would have been stopped ran all epochs"
    if audit.best is None:
        return f"{finished}, but no other trial has a {metric} to compare with."
    low = formatting.percent(audit.low, 1)
    high = formatting.percent(audit.high, 1)
    return (
        f"{finished}, and {audit.best} had a better {metric} than all other trials; so {low} to "
        f"{high} of the stopped trials would have been the best (95 % interval)."
    )


def curve_name(curve: SurvivalCurve) -> str:
    """Name the trials of a survival curve."""
    if not curve.parameter:
        return "all trials"
    return f"{curve.parameter} {curve.setting}"
