"""Which planned trials a claim compares, so that few and cheap ones can be run for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cae.sweep.spec.claim_hints import Overrides, meets_conditions, plain_setting, setting_of
from cae.sweep.spec.claims import Claim
from cae.sweep.spec.planned_trial import PlannedTrial

CostOf = Callable[[Sequence[PlannedTrial]], float]
"""The seconds of training some trials and the trials that they depend on."""


def trials_for_claim(
    claim: Claim, trials: Sequence[PlannedTrial], overrides: Overrides, cost: CostOf
) -> list[PlannedTrial]:
    """The trials, one seed of each configuration, that a claim needs at least; empty without any.

    A claim about an axis or about two groups compares trials that are equal in all other settings:
    the cheapest such set is chosen. Other claims need all trials that meet the conditions.
    """
    configs = {trial.number: _config(trial) for trial in trials}
    where = getattr(claim, "where", {})
    matching: list[PlannedTrial] = []
    for trial in trials:
        is_met = meets_conditions(configs[trial.number], where, overrides)
        if is_met and not trial.is_dependency:
            matching.append(trial)
    matching = _first_seeds(matching, configs)
    names = _contrasted(claim)
    if not names:
        return matching
    sets: dict[str, list[PlannedTrial]] = {}
    for trial in matching:
        key = _other_settings(configs[trial.number], names)
        sets.setdefault(key, []).append(trial)
    complete: list[list[PlannedTrial]] = []
    for members in sets.values():
        used = _sides(claim, members, configs, overrides)
        if used:
            complete.append(used)
    if not complete:
        return []
    # As many values of the axis as possible, then the cheapest.
    return min(complete, key=lambda members: (-len(members), cost(members)))


def _config(trial: PlannedTrial) -> dict[str, Any]:
    return trial.trial.later_defaults() | trial.trial.flat()


def _contrasted(claim: Claim) -> list[str]:
    """The parameters that a claim varies; empty if it compares numbers of the same trial."""
    if hasattr(claim, "this") and hasattr(claim, "that"):
        return list(dict.fromkeys([*claim.this, *claim.that]))
    if hasattr(claim, "others"):  # the importance of parameters: all trials
        return []
    if hasattr(claim, "axis"):
        return [str(claim.axis)]
    return []


def _sides(
    claim: Claim,
    members: Sequence[PlannedTrial],
    configs: Mapping[int, Mapping[str, Any]],
    overrides: Overrides,
) -> list[PlannedTrial]:
    """The trials of both sides, or of all values of the axis; empty if a side is missing."""
    if hasattr(claim, "this") and hasattr(claim, "that"):
        first = [
            trial
            for trial in members
            if meets_conditions(configs[trial.number], claim.this, overrides)
        ]
        second = [
            trial
            for trial in members
            if meets_conditions(configs[trial.number], claim.that, overrides)
        ]
        if not first or not second:
            return []
        return [*first, *second]
    axis = str(getattr(claim, "axis", ""))
    values = {repr(plain_setting(setting_of(configs[trial.number], axis))) for trial in members}
    if len(values) < 2:
        return []
    return list(members)


def _first_seeds(
    trials: Sequence[PlannedTrial], configs: Mapping[int, Mapping[str, Any]]
) -> list[PlannedTrial]:
    """The first trial of each configuration."""
    first: dict[str, PlannedTrial] = {}
    for trial in trials:
        first.setdefault(_other_settings(configs[trial.number], []), trial)
    return list(first.values())


def _other_settings(config: Mapping[str, Any], names: Sequence[str]) -> str:
    """All settings but the seed and these, elements of tuples included, as text."""
    settings: dict[str, Any] = {}
    for key, value in config.items():
        is_named = any(key == name or key.startswith(f"{name}.") for name in names)
        if key == "seed" or is_named:
            continue
        settings[key] = plain_setting(value)
        for name in names:
            parent, _, element = name.rpartition(".")
            if key == parent and element.isdecimal() and isinstance(settings[key], list):
                settings[key] = list(settings[key])
                settings[key][int(element) - 1] = None
    return repr(sorted((key, str(value)) for key, value in settings.items()))
