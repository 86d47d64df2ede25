"""Finding what would decide a claim: more seeds, with their number and cost, or something else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cae.report.data.results import Results, Run
from cae.report.statistics.claims.kinds.extremes import ExtremeEvidence
from cae.report.statistics.claims.kinds.metric_pairs import MetricPairsEvidence
from cae.report.statistics.claims.kinds.parameter_importance import MoreImportantEvidence
from cae.report.statistics.claims.kinds.rank_correlations import RankCorrelationEvidence
from cae.report.statistics.claims.kinds.table_rows import TableRowsEvidence
from cae.report.statistics.claims.kinds.threshold import ThresholdEvidence
from cae.report.statistics.claims.kinds.two_groups import TwoGroupsEvidence
from cae.report.statistics.claims.need import NOTHING, Need, NeedKind
from cae.report.statistics.claims.power import (
    WILCOXON_EFFICIENCY,
    PowerOf,
    difference_power,
    equivalence_power,
    sufficient_factor,
    sufficient_pairs_of_ranks,
)
from cae.report.statistics.claims.verdict import (
    ClaimResult,
    Judgment,
    Method,
    Obstacle,
    ObstacleKind,
    Unit,
    Verdict,
)
from cae.report.statistics.inference import MeanDifference

FIRST_SEEDS = 3
"""With one seed the spread is unknown: so many seeds give a first estimate of it."""
MIN_WILCOXON_TRIALS = 6
CONFIGURATION_UNITS = (Unit.CONFIGURATIONS, Unit.MEANS)
"""Units of which more seeds add none."""
MAX_PRACTICAL_SEEDS = 20
"""A claim that needs more seeds than this is hardly decided by seeds: the effect is too small."""


def find_need(results: Results, run: Run, result: ClaimResult) -> Need:
    """Return what would decide a claim of a run."""
    judgment = result.judgment
    match judgment.verdict:
        case Verdict.SUPPORTED | Verdict.CONTRADICTED:
            return NOTHING
        case Verdict.NOT_TESTABLE:
            return Need(kind=_kind_for_obstacle(judgment.evidence))
        case Verdict.UNDECIDED:
            pass
    estimate = _estimate(judgment, result.seeds)
    if not estimate.seeds:
        return Need(kind=estimate.kind)
    return _with_cost(results, run, judgment, estimate, result.seeds)


@dataclass(frozen=True)
class _Estimate:
    kind: NeedKind
    seeds: int = 0
    """In all, per configuration."""


def _kind_for_obstacle(evidence: object) -> NeedKind:
    if not isinstance(evidence, Obstacle):
        return NeedKind.IMPOSSIBLE
    match evidence.kind:
        case ObstacleKind.OTHER_SETTINGS:
            return NeedKind.OWN_SETTINGS
        case ObstacleKind.CONFOUNDED:
            return NeedKind.POINTS
        case (
            ObstacleKind.NO_TRIAL
            | ObstacleKind.NO_VALUE
            | ObstacleKind.NO_TRIAL_AT_VALUE
            | ObstacleKind.ONLY_TRIALS_AT_VALUE
            | ObstacleKind.CONSTANT
            | ObstacleKind.NOTHING_ELSE_VARIES
            | ObstacleKind.NO_COMMON_TRIAL
            | ObstacleKind.NO_TABLE
        ):
            return NeedKind.TRIALS
    return NeedKind.IMPOSSIBLE


def _estimate(judgment: Judgment, seeds: int) -> _Estimate:
    match judgment.evidence:
        case TwoGroupsEvidence() as evidence:
            if evidence.comparison.unit in CONFIGURATION_UNITS:
                return _Estimate(NeedKind.POINTS)
            return _for_two_groups(evidence, seeds)
        case ExtremeEvidence() as evidence:
            if evidence.untested is not None:
                return _Estimate(NeedKind.FIRST_SEEDS, FIRST_SEEDS)
            if evidence.comparison.unit in CONFIGURATION_UNITS:
                return _Estimate(NeedKind.POINTS)
            comparisons = judgment.procedure.comparisons
            return _for_difference(evidence.comparison.difference, seeds, comparisons=comparisons)
        case TableRowsEvidence() as evidence:
            if evidence.untested is not None:
                return _Estimate(NeedKind.FIRST_SEEDS, FIRST_SEEDS)
            comparisons = judgment.procedure.comparisons
            return _for_difference(evidence.difference, seeds, comparisons=comparisons)
        case ThresholdEvidence(difference=difference):
            return _for_difference(difference, seeds)
        case MetricPairsEvidence() as evidence:
            return _for_metric_pairs(evidence, judgment, seeds)
        case RankCorrelationEvidence() as evidence:
            return _for_rank_correlation(evidence, judgment, seeds)
        case MoreImportantEvidence():
            return _Estimate(NeedKind.POINTS)
    return _Estimate(NeedKind.IMPOSSIBLE)


def _for_two_groups(evidence: TwoGroupsEvidence, seeds: int) -> _Estimate:
    difference = evidence.comparison.difference
    margin = evidence.margin
    if not evidence.is_equivalence:
        return _for_difference(difference, seeds, shift=evidence.shift)
    problem = _problem(difference, margin)
    if problem is not None:
        return problem
    if abs(difference.value) < margin:
        return _seeds(equivalence_power(difference, margin), seeds)
    shift = math.copysign(margin, difference.value)
    return _seeds(difference_power(difference, shift), seeds)


def _for_difference(
    difference: MeanDifference, seeds: int, *, shift: float = 0.0, comparisons: int = 1
) -> _Estimate:
    problem = _problem(difference, shift)
    if problem is not None:
        return problem
    return _seeds(difference_power(difference, shift, comparisons), seeds)


def _for_metric_pairs(evidence: MetricPairsEvidence, judgment: Judgment, seeds: int) -> _Estimate:
    """The mean of the differences decides with few trials, their signed ranks with more."""
    difference = evidence.difference
    problem = _problem(difference, 0.0)
    if problem is not None:
        return problem
    estimate = _seeds(difference_power(difference), seeds)
    is_wilcoxon = judgment.procedure.method == Method.WILCOXON
    if is_wilcoxon or evidence.trials * estimate.seeds >= MIN_WILCOXON_TRIALS * seeds:
        power = difference_power(difference, efficiency=WILCOXON_EFFICIENCY)
        return _seeds(power, seeds)
    return estimate


def _for_rank_correlation(
    evidence: RankCorrelationEvidence, judgment: Judgment, seeds: int
) -> _Estimate:
    if evidence.is_over_configurations:
        return _Estimate(NeedKind.POINTS)
    coefficient = evidence.correlation.coefficient
    if not coefficient:
        return _Estimate(NeedKind.NO_EFFECT)
    necessary = sufficient_pairs_of_ranks(coefficient)
    total = math.ceil(necessary * seeds / len(judgment.trials))
    if evidence.trend is not None and evidence.trend.sufficient_seeds is not None:
        total = max(total, evidence.trend.sufficient_seeds)
    # The test is not significant with the seeds that there are.
    return _practical(max(total, seeds + 1))


def _problem(difference: MeanDifference, shift: float) -> _Estimate | None:
    """Why the number of seeds cannot be computed; None if it can."""
    if not difference.is_testable:
        return _Estimate(NeedKind.FIRST_SEEDS, FIRST_SEEDS)
    if difference.t(shift) == 0:
        return _Estimate(NeedKind.NO_EFFECT)
    if not difference.varies:
        return _Estimate(NeedKind.NO_SPREAD)
    return None


def _seeds(power: PowerOf, seeds: int) -> _Estimate:
    factor = sufficient_factor(power)
    if factor is None:
        return _Estimate(NeedKind.NO_EFFECT)
    return _practical(max(seeds + 1, math.ceil(factor * seeds)))


def _practical(seeds: int) -> _Estimate:
    if seeds > MAX_PRACTICAL_SEEDS:
        return _Estimate(NeedKind.MANY_SEEDS, seeds)
    return _Estimate(NeedKind.SEEDS, seeds)


def _with_cost(
    results: Results, run: Run, judgment: Judgment, estimate: _Estimate, seeds: int
) -> Need:
    """Add the trials whose configurations need more seeds, and the time of training them."""
    used = results.trials.loc[list(judgment.trials)]
    configurations = results.configurations.loc[used.index]
    groups = [rows for _, rows in used.groupby(configurations, sort=False)]
    # Configurations may have other numbers of seeds: some of them enough.
    lacking = [rows for rows in groups if len(rows) < estimate.seeds]
    if lacking:
        more_seeds = estimate.seeds - min(len(rows) for rows in lacking)
    else:
        lacking = groups
        more_seeds = max(1, estimate.seeds - seeds)
    seconds = 0.0
    trials: list[int] = []
    last_seed = 0
    for rows in lacking:
        trials.append(int(rows["trial"].iloc[0]))
        seconds += more_seeds * _mean_seconds(rows)
        last_seed = max(last_seed, *(_seed(run, int(number)) for number in rows["trial"]))
    return Need(
        kind=estimate.kind,
        seeds=estimate.seeds,
        more_seeds=more_seeds,
        trials=trials,
        first_seed=last_seed + 1,
        seconds=seconds,
    )


def _mean_seconds(rows: pd.DataFrame) -> float:
    if "seconds" not in rows:
        return math.nan
    return float(pd.to_numeric(rows["seconds"], errors="coerce").mean())


def _seed(run: Run, number: int) -> int:
    seed: Any = run.records[number].config.get("seed", 0)
    if isinstance(seed, int):
        return seed
    return 0
