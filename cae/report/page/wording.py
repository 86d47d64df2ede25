"""Words that several sections use."""

from __future__ import annotations

from typing import Any

import numpy as np

from cae.report import formatting
from cae.report.data.results import Results
from cae.run.trial_state import TrialState


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


def state_note(results: Results, trial: int) -> str:
    """Return how a trial ended and after how many epochs, "stopped after 3 epochs".

    Empty if it finished. Values of other trials are from fewer epochs, and are marked where they
    are beside those of finished trials.
    """
    state: Any = results.trials.at[trial, "state"]
    if state == TrialState.FINISHED:
        return ""
    epochs: Any = results.trials.at[trial, "epochs_done"]
    return f"{state} after {formatting.plural(int(epochs), 'epoch')}"


def left_out_trials(count: int) -> str:
    """Return how many trials are not ranked, and why not."""
    trials = formatting.plural(count, "trial")
    return f"{trials} left out: failed, diverged or without a finite value"
