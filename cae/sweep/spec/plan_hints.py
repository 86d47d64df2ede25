"""Hints of a plan: what of the sweep file has no effect, or may be meant otherwise."""

from __future__ import annotations

from collections import Counter

from cae.run.formatting import count_of
from cae.sweep.spec.candidates import Candidate
from cae.sweep.spec.drawn_points import is_random
from cae.sweep.spec.error_hints import list_constants
from cae.sweep.spec.open_search import learning_search
from cae.sweep.spec.sweep import Sweep


def list_hints(sweep: Sweep, candidates: list[Candidate]) -> list[str]:
    """What of the sweep file has no effect, or may be meant otherwise."""
    hints = list_constants(sweep)
    has_draws = any(map(is_random, sweep.spaces()))
    # A search that learns from results runs `samples` trials of a grid, too.
    if sweep.samples > 1 and not has_draws and learning_search(sweep.search) is None:
        hints.append(
            f"samples = {sweep.samples} has no effect: the search space has no random dimension, "
            "such as tune.uniform or tune.choice"
        )
    if sweep.scheduler is not None:
        epochs = max(candidate.trial.epochs for candidate in candidates)
        rungs = sweep.scheduler.rungs(epochs)
        largest = _largest_group(candidates)
        if not rungs:
            hints.append(
                "the scheduler has no effect: the first epoch at which it may stop trials is not "
                f"before epoch {epochs}, the last one"
            )
        elif sweep.scheduler.expected_epochs(epochs, rungs, largest) >= epochs:
            trials = count_of(largest, "trial")
            hints.append(
                f"the scheduler has no effect: it compares {trials} at most, and all continue"
            )
    return hints


def _largest_group(candidates: list[Candidate]) -> int:
    """The number of trials of the largest comparability group, without dependencies."""
    groups: Counter[str] = Counter()
    for candidate in candidates:
        if not candidate.is_dependency:
            groups[str(candidate.group.get("key"))] += 1
    return max(groups.values())
