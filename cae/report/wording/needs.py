"""Sentences and commands about what would decide a claim."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cae.report import formatting
from cae.report.data.commands import seeds_command, with_seeds
from cae.report.data.results import Run
from cae.report.statistics.claims.need import Need, NeedKind

MAX_COMMANDS = 4
"""With more configurations, one command adds seeds of all configurations of the sweep."""


def need_sentence(need: Need) -> str:
    """What would decide a claim; empty if it is decided, or if nothing can decide it."""
    match need.kind:
        case NeedKind.SEEDS:
            return (
                f"Estimate: {_more_seeds(need)} would decide it with 80 % probability, if the "
                f"observed effect and spread are the true ones{_cost(need)}."
            )
        case NeedKind.FIRST_SEEDS:
            return (
                "The spread is not known, and with it the number of seeds: "
                f"{_more_seeds(need)} would give a first estimate{_cost(need)}."
            )
        case NeedKind.MANY_SEEDS:
            return (
                f"Hardly decided by seeds: about {formatting.number(need.seeds)} of each "
                f"configuration, because the effect is small compared with the spread{_cost(need)}."
            )
        case NeedKind.NO_EFFECT:
            return "Not decided by seeds: the observed effect is zero, or nearly."
        case NeedKind.NO_SPREAD:
            return "Hardly decided by seeds: those that there are have equal values."
        case NeedKind.POINTS:
            return "Decided by more points of the search space, not by more seeds."
        case NeedKind.TRIALS:
            return "Needs trials that the run lacks: `cae-sweep plan --for-claims` lists them."
        case NeedKind.OWN_SETTINGS:
            return "Needs a run with the report's settings: without --budget and overrides."
    return ""


def need_commands(run: Run, need: Need) -> list[str]:
    """The commands that add the seeds of a claim to its run; none if seeds do not decide it."""
    if not need.is_by_seeds or need.kind == NeedKind.MANY_SEEDS:
        return []
    return seeds_commands(run, need.trials, need.first_seed, need.more_seeds, need.seeds)


def seeds_commands(
    run: Run, trials: Sequence[int], first_seed: int, more_seeds: int, all_seeds: int
) -> list[str]:
    """The commands that add seeds: one per configuration, or one for the whole sweep.

    Args:
        run: The run.
        trials: A trial of each configuration.
        first_seed: The first of the new seeds.
        more_seeds: How many to add.
        all_seeds: How many each configuration has then.
    """
    if len(trials) > MAX_COMMANDS:
        return [with_seeds(run, all_seeds)]
    return [seeds_command(run, number, first_seed, more_seeds) for number in trials]


def _more_seeds(need: Need) -> str:
    seeds = formatting.plural(need.more_seeds, "more seed")
    if len(need.trials) > 1:
        seeds += f" of each of {len(need.trials)} configurations"
    return f"{seeds} ({need.seeds} in all)"


def _cost(need: Need) -> str:
    """The time of training, as measured for the same trials; empty if it is not known."""
    if not math.isfinite(need.seconds):
        return ""
    return f"; about {formatting.duration(need.seconds)} of training"
