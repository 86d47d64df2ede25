"""Comparing two groups of trials, and deciding a claim on the difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cae.report.statistics.claims.trials import ClaimTrials
from cae.report.statistics.claims.verdict import (
    ALPHA,
    NOT_TESTED,
    Direction,
    Method,
    NotTestable,
    Obstacle,
    ObstacleKind,
    Procedure,
    Unit,
    Verdict,
)
from cae.report.statistics.inference import (
    MeanDifference,
    paired_difference,
    welch_difference,
)


@dataclass(frozen=True, kw_only=True)
class GroupComparison:
    """The difference between two groups of trials, first minus second."""

    difference: MeanDifference
    trials: list[int]
    """Rows of the table of trials that were used."""
    unit: Unit | None = None
    """What was paired; of two samples, `MEANS` if they are means over seeds, otherwise None."""
    has_equal_settings: bool = True
    """Whether the two groups are equal in all settings that the claim does not name."""

    @property
    def procedure(self) -> Procedure:
        if not self.difference.is_testable:
            return NOT_TESTED
        if self.difference.is_paired:
            method = t_test(self.difference, Method.PAIRED_T)
            return Procedure(method=method, unit=self.unit, count=self.difference.first_count)
        method = t_test(self.difference, Method.WELCH_T)
        if self.unit is None:
            return Procedure(method=method)
        count = self.difference.first_count + self.difference.second_count
        return Procedure(method=method, unit=self.unit, count=count)


def t_test(difference: MeanDifference, method: Method) -> Method:
    """The t-test that a difference allows, or the permutation test of values that do not vary."""
    if difference.varies:
        return method
    return Method.PERMUTATION


def compare_groups(
    trials: ClaimTrials,
    first: pd.Series[float],
    second: pd.Series[float],
    names: Iterable[str],
) -> GroupComparison:
    """Compare two groups that differ in the settings `names`.

    If some trials of both groups are equal in all other settings, only these are compared. Trials
    of different comparability groups are only compared if those differ in `names`.
    """
    if set(first.index) & set(second.index):
        raise NotTestable(Obstacle(kind=ObstacleKind.OVERLAPPING_GROUPS))
    names = list(names)
    first, second = _in_common_strata(trials, first, second, names)
    others = {}
    for trial in [*first.index, *second.index]:
        others[trial] = trials.other_settings(trial, names)
    first_others = {others[trial] for trial in first.index}
    second_others = {others[trial] for trial in second.index}
    shared = first_others & second_others
    if shared:
        first = first[[others[trial] in shared for trial in first.index]]
        second = second[[others[trial] in shared for trial in second.index]]
    used = [*first.index, *second.index]
    with_seeds = {trial: f"{others[trial]} {trials.config(trial).get('seed')}" for trial in used}
    seed_unit = Unit.EQUAL_SETTINGS
    if len(shared) == 1:
        seed_unit = Unit.EQUAL_SEEDS
    comparison = _compare_pairs(first, second, with_seeds, seed_unit)
    if comparison is None:
        comparison = _compare_pairs(first, second, others, Unit.CONFIGURATIONS)
    if comparison is None:
        comparison = _compare_samples(trials, first, second, has_equal_settings=bool(shared))
    return comparison


def _compare_samples(
    trials: ClaimTrials,
    first: pd.Series[float],
    second: pd.Series[float],
    *,
    has_equal_settings: bool,
) -> GroupComparison:
    """Compare two samples: of configurations if a group has several, otherwise of seeds."""
    used = [*first.index, *second.index]
    unit = None
    if not has_equal_settings:
        first_means = trials.mean_per_configuration(first)
        second_means = trials.mean_per_configuration(second)
        if len(first_means) > 1:
            first = first_means
        if len(second_means) > 1:
            second = second_means
        if len(first) + len(second) < len(used):
            unit = Unit.MEANS
    return GroupComparison(
        difference=welch_difference(first.to_numpy(), second.to_numpy()),
        trials=used,
        unit=unit,
        has_equal_settings=has_equal_settings,
    )


def _in_common_strata(
    trials: ClaimTrials, first: pd.Series[float], second: pd.Series[float], names: list[str]
) -> tuple[pd.Series[float], pd.Series[float]]:
    """Return the trials whose comparability groups may be compared with one on the other side."""
    strata = {trial: trials.stratum(trial, names) for trial in [*first.index, *second.index]}
    common = {strata[trial] for trial in first.index} & {strata[trial] for trial in second.index}
    if not common:
        raise NotTestable(Obstacle(kind=ObstacleKind.NO_COMMON_GROUP, names=names))
    first = first[[strata[trial] in common for trial in first.index]]
    second = second[[strata[trial] in common for trial in second.index]]
    return first, second


def _compare_pairs(
    first: pd.Series[float], second: pd.Series[float], keys: Mapping[int, str], unit: Unit
) -> GroupComparison | None:
    """Compare the means of trials with equal keys.

    None unless every key of the smaller group is also in the other one, and there are two.
    """
    first_means = _means_by_key(first, keys)
    second_means = _means_by_key(second, keys)
    common = first_means.index.intersection(second_means.index)
    if len(common) < 2 or len(common) != min(len(first_means), len(second_means)):
        return None
    common_keys = set(common)
    used = [trial for trial in [*first.index, *second.index] if keys[trial] in common_keys]
    return GroupComparison(
        difference=paired_difference(
            first_means[common].to_numpy(), second_means[common].to_numpy()
        ),
        trials=used,
        unit=unit,
    )


def _means_by_key(values: pd.Series[float], keys: Mapping[int, str]) -> pd.Series[float]:
    by_trial: pd.Series[Any] = pd.Series({trial: keys[trial] for trial in values.index})
    return values.groupby(by_trial).mean()


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The verdict on a difference that is claimed to have a sign."""

    verdict: Verdict
    direction: Direction
    statistic: float | None = None
    p_value: float | None = None


def decide(
    difference: MeanDifference,
    sign: int,
    *,
    shift: float = 0.0,
    p_value: float | None = None,
    is_testable: bool = True,
    is_certain: bool = False,
) -> Decision:
    """Decide whether `difference - shift` has the claimed sign.

    Args:
        difference: The observed one.
        sign: 1 if it is claimed to be positive, otherwise -1.
        shift: The claimed minimum, with the sign.
        p_value: Of another test than the t-test.
        is_testable: Whether all necessary tests are possible.
        is_certain: Whether the difference is not random, and needs no test.
    """
    if is_certain:
        effect = sign * (difference.value - shift)
        certain_verdict = Verdict.CONTRADICTED
        if effect > 0:
            certain_verdict = Verdict.SUPPORTED
        return Decision(verdict=certain_verdict, direction=direction(effect))
    if not is_testable or not difference.is_testable:
        return Decision(
            verdict=Verdict.UNDECIDED, direction=direction(sign * (difference.value - shift))
        )
    if p_value is None:
        p_value = difference.p_value(shift)
    statistic = difference.t(shift)
    effect = sign * statistic
    return Decision(
        verdict=verdict(effect, p_value),
        direction=direction(effect),
        statistic=statistic,
        p_value=p_value,
    )


def verdict(effect: float, p_value: float) -> Verdict:
    """Return the verdict on an effect that is claimed to be positive."""
    if not p_value < ALPHA or not effect:
        return Verdict.UNDECIDED
    if effect > 0:
        return Verdict.SUPPORTED
    return Verdict.CONTRADICTED


def direction(effect: float) -> Direction:
    """Return the direction of an effect that is claimed to be positive."""
    if effect > 0:
        return Direction.AS_CLAIMED
    if effect < 0:
        return Direction.OPPOSITE
    return Direction.ZERO
