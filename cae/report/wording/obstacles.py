"""Sentences about why claims are not testable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cae.report import formatting
from cae.report.statistics.claims.verdict import Obstacle, ObstacleKind
from cae.report.wording import published


def obstacle_text(obstacle: Obstacle) -> str:
    """Why a claim is not testable, as a sentence."""
    sentence = f"{_obstacle_clause(obstacle).rstrip('.')}."
    first_word = sentence.split(" ")[0]
    if first_word.isalpha():  # not the name of a parameter or a metric
        sentence = sentence[0].upper() + sentence[1:]
    return sentence


def _obstacle_clause(obstacle: Obstacle) -> str:
    """Why a claim is not testable."""
    names = [formatting.short(name) for name in obstacle.names]
    conditions = conditions_text(obstacle.conditions)
    with_conditions = ""
    if conditions:
        with_conditions = f" with {conditions}"
    match obstacle.kind:
        case ObstacleKind.DECLARED:
            return obstacle.text
        case ObstacleKind.UNKNOWN_KIND:
            return f"claims of the kind {formatting.short(obstacle.text)} are unknown here"
        case ObstacleKind.NO_TRIAL:
            return f"there is no finished trial{with_conditions}"
        case ObstacleKind.NO_VALUE:
            return f"there is no finished trial{with_conditions} that has {names[0]}"
        case ObstacleKind.NOT_A_NUMBER:
            return f"{names[0]} is not a number in every trial"
        case ObstacleKind.OVERLAPPING_GROUPS:
            return "some trials are in both groups"
        case ObstacleKind.UNKNOWN_DIRECTION:
            return (
                f"it is unknown whether lower or higher values of {names[0]} are better; set the "
                "mode of the claim to min or max"
            )
        case ObstacleKind.NO_TRIAL_AT_VALUE:
            return f"no finished trial has {conditions}"
        case ObstacleKind.ONLY_TRIALS_AT_VALUE:
            return f"every finished trial has {conditions}"
        case ObstacleKind.CONSTANT:
            if obstacle.count == 1:
                return f"there is only one trial with a value of {names[0]}"
            return f"{names[0]} has the same value in all {obstacle.count} trials"
        case ObstacleKind.NOTHING_ELSE_VARIES:
            return f"only {names[0]} varies"
        case ObstacleKind.CONFOUNDED:
            return (
                f"{formatting.listed(names)} change together in these trials: their effects cannot "
                "be separated"
            )
        case ObstacleKind.NO_COMMON_TRIAL:
            return _no_common_trial(obstacle, names)
        case ObstacleKind.OTHER_SETTINGS:
            settings = published.differences(obstacle.overrides)
            return f"the report's bound was measured with other settings: this run has {settings}"
        case ObstacleKind.NO_COMMON_GROUP:
            return (
                "the trials differ in their data, task or loss, and not only in "
                f"{formatting.listed(names)}: they are not comparable; add conditions to the claim"
            )
        case ObstacleKind.OTHER_DEFINITION:
            return (
                f"{names[0]} is not defined in the same way in all of these trials, which differ "
                f"in {formatting.short(obstacle.text)}; add a condition to the claim (where)"
            )
        case ObstacleKind.NO_TABLE:
            rows = formatting.listed(obstacle.rows)
            return (
                f"no finished trial has a table {names[0]} with {names[1]} of {rows} and of other "
                "rows"
            )


def _no_common_trial(obstacle: Obstacle, names: list[str]) -> str:
    epochs = ""
    if obstacle.epochs is not None:
        first, last = obstacle.epochs
        epochs = f" in epochs {first} to {last}"
    return f"no finished trial has both {names[0]} and {names[1]}{epochs}"


def conditions_text(conditions: Mapping[str, Any]) -> str:
    """Settings as text: "arch.kernel_size 3 and epochs 10"."""
    parts = []
    for name, value in conditions.items():
        setting = formatting.short(formatting.parameter(value))
        parts.append(f"{formatting.short(name)} {setting}")
    return formatting.listed(parts)
