"""Words that several sections use."""

from __future__ import annotations

import numpy as np

from cae.report import formatting
from cae.report.data.results import Results


def better_direction(results: Results) -> str:
    """Return "lower" if lower values of the sweep's metric are better, otherwise "higher"."""
    if results.mode == "min":
        return "lower"
    return "higher"


def nothing_is_ranked(results: Results) -> str:
    """Return why no trial is ranked: a sentence without its end.

    Trials that failed, diverged or ran out of memory are not ranked, whatever values they had.
    """
    reason = f"No trial has a finite {results.metric}"
    if results.metric in results.epochs and np.isfinite(results.epochs[results.metric]).any():
        reason += " apart from trials that failed or diverged"
    return reason


def left_out_trials(count: int) -> str:
    """Return how many trials are not ranked, and why not."""
    trials = formatting.plural(count, "trial")
    return f"{trials} left out: failed, diverged or without a finite value"
