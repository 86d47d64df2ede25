"""The 95 % interval of the effect of each kind of claim."""

from __future__ import annotations

from typing import NamedTuple

from cae.report.statistics.claims.kinds.extremes import ExtremeEvidence
from cae.report.statistics.claims.kinds.metric_pairs import MetricPairsEvidence
from cae.report.statistics.claims.kinds.parameter_importance import MoreImportantEvidence
from cae.report.statistics.claims.kinds.rank_correlations import RankCorrelationEvidence
from cae.report.statistics.claims.kinds.table_rows import TableRowsEvidence
from cae.report.statistics.claims.kinds.threshold import ThresholdEvidence
from cae.report.statistics.claims.kinds.two_groups import TwoGroupsEvidence
from cae.report.statistics.claims.verdict import Judgment, Method
from cae.report.statistics.inference import MeanDifference, correlation_interval


class Interval(NamedTuple):
    low: float
    high: float


def effect_interval(judgment: Judgment) -> Interval | None:
    """Return the interval of the effect, in its unit and with its sign.

    None if the effect was not tested or needs no test, or if the values do not vary.

    That of several comparisons contains all differences together with 95 % (Bonferroni). That of a
    rank correlation is Fisher's.
    """
    if judgment.procedure.method == Method.NOT_NEEDED:
        return None
    match judgment.evidence:
        case TwoGroupsEvidence(comparison=comparison):
            return _of_difference(comparison.difference)
        case ExtremeEvidence(comparison=comparison):
            return _of_difference(comparison.difference, judgment.procedure.comparisons)
        case ThresholdEvidence(difference=difference):
            return _of_difference(difference)
        case TableRowsEvidence(difference=difference):
            return _of_difference(difference, judgment.procedure.comparisons)
        case MetricPairsEvidence() as evidence:
            if evidence.signed_rank_interval is not None:
                return Interval(*evidence.signed_rank_interval)
            return _of_difference(evidence.difference)
        case RankCorrelationEvidence(correlation=correlation, observations=observations):
            interval = correlation_interval(correlation.coefficient, observations)
            return interval and Interval(*interval)
        case MoreImportantEvidence(lead=lead) if lead is not None:
            return Interval(*lead.interval)
    return None


def _of_difference(difference: MeanDifference, comparisons: int = 1) -> Interval | None:
    if not difference.is_testable or not difference.varies:
        return None
    return Interval(*difference.interval(comparisons))
