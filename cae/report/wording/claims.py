"""Sentences about claims and their verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from cae.report import formatting
from cae.report.statistics.claims.intervals import effect_interval
from cae.report.statistics.claims.kinds.extremes import ExtremeEvidence
from cae.report.statistics.claims.kinds.metric_pairs import MetricPairsEvidence
from cae.report.statistics.claims.kinds.parameter_importance import (
    MIN_CONFIGURATIONS,
    MoreImportantEvidence,
)
from cae.report.statistics.claims.kinds.rank_correlations import RankCorrelationEvidence, Trend
from cae.report.statistics.claims.kinds.table_rows import TableRowsEvidence
from cae.report.statistics.claims.kinds.threshold import ThresholdEvidence
from cae.report.statistics.claims.kinds.two_groups import TwoGroupsEvidence
from cae.report.statistics.claims.rivals import RivalKind
from cae.report.statistics.claims.verdict import (
    ClaimResult,
    Direction,
    Judgment,
    LeftOut,
    LeftOutReason,
    Method,
    Obstacle,
    Procedure,
    Verdict,
)
from cae.report.statistics.inference import PERMUTATIONS, MeanDifference
from cae.report.statistics.score import Score
from cae.report.wording import published
from cae.report.wording.explanations import explained
from cae.report.wording.obstacles import conditions_text, obstacle_text
from cae.report.wording.shared_dependencies import shared_dependencies_sentence
from cae.run.trial_state import TrialState

SURVIVORS = "The trials that are compared are survivors: they were better at a rung."
MIN_CORRELATED_TRIALS = 5
"""With fewer trials, no rank correlation is significant."""


def summary_sentence(results: Sequence[ClaimResult]) -> str:
    """Count the verdicts; empty without claims."""
    if not results:
        return ""
    counts = Counter(result.verdict for result in results)
    parts = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]]
    return f"Of {formatting.plural(len(results), 'claim')}: {', '.join(parts)}."


def score_sentence(score: Score | None) -> str:
    """The counts and the weighted share; empty without claims."""
    if score is None:
        return ""
    share = formatting.percent(score.value, 1)
    return (
        f"{score.decided} of {formatting.plural(score.claims, 'claim')} decided at a false "
        f"discovery rate of 5 %, {score.supported} supported; weighted score {share}."
    )


def p_value_text(p_value: float, name: str = "p") -> str:
    if p_value < 1e-4:
        return f"{name}\u00a0<\u00a00.0001"
    return f"{name}\u00a0=\u00a0{p_value:.2g}"


def reason(result: ClaimResult) -> str:
    """Why a claim has its verdict, without the settings in which the run differs."""
    return formatting.sentences(
        [
            evidence_text(result.judgment),
            _groups(result),
            _left_out(result.left_out),
            shared_dependencies_sentence(result.shared_dependencies),
            _explanation(result),
        ]
    )


def _explanation(result: ClaimResult) -> str:
    """Why a claim of a report is contradicted; empty if it is not."""
    if result.verdict != Verdict.CONTRADICTED or not result.is_published:
        return ""
    return explained(result.explanation)


def _groups(result: ClaimResult) -> str:
    """Which comparability groups are compared; empty if there is one."""
    count = len(result.groups)
    if count < 2:
        return ""
    deciding = result.judgment.deciding_group
    if deciding:
        return (
            f"Judged in each of {count} groups, which differ in {result.group_differences}; the "
            f"numbers are those of {deciding}, which decides."
        )
    return (
        f"Over {count} groups of trials, which differ in {result.group_differences}; the metric "
        "has the same formula in all of them."
    )


def settings_sentence(result: ClaimResult) -> str:
    """In which settings the run differs from the report; empty if in none."""
    if not result.overrides:
        return ""
    return f"Under {published.differences(result.overrides)}."


def _left_out(left_out: Iterable[LeftOut]) -> str:
    counts = Counter(_left_out_reason(item) for item in left_out)
    if not counts:
        return ""
    parts = [f"{count} {text}" for text, count in sorted(counts.items())]
    sentence = f"Left out: {formatting.listed(parts)}."
    if TrialState.STOPPED in counts:
        return f"{sentence} {SURVIVORS}"
    return sentence


def _left_out_reason(item: LeftOut) -> str:
    name = formatting.short(item.name)
    match item.reason:
        case LeftOutReason.STATE:
            return item.name
        case LeftOutReason.NO_METRIC:
            return f"without {name}"
        case LeftOutReason.NO_EPOCH:
            return f"without epoch {item.name}"
        case LeftOutReason.NO_ROWS:
            column = formatting.short(item.column)
            return f"without {column} of these rows in a table {name}"


def procedure_name(judgment: Judgment) -> str:
    """Name the statistical test; empty for a claim that is not testable."""
    if judgment.verdict == Verdict.NOT_TESTABLE:
        return ""
    procedure = judgment.procedure
    name = str(procedure.method)
    details = _procedure_details(procedure)
    if details:
        name += f" ({details})"
    if procedure.method == Method.SPEARMAN and procedure.is_within_configurations:
        name = name.replace(" (", " within configurations (")
    if procedure.is_equivalence:
        name = f"two one-sided tests (TOST), {name}"
    if procedure.comparisons > 1:
        name += f", Holm over {procedure.comparisons} comparisons"
    return name


def _procedure_details(procedure: Procedure) -> str:
    details: list[str] = []
    if procedure.unit is not None:
        details.append(f"{procedure.count} {procedure.unit}")
    if procedure.method == Method.SPEARMAN and procedure.is_exact:
        details.append("exact permutation")
    elif procedure.method == Method.SPEARMAN:
        details.append(f"{PERMUTATIONS:,} permutations")
    return ", ".join(details)


def interval_text(judgment: Judgment) -> str:
    """The 95 % interval of the effect, with its sign; empty if the claim was not tested."""
    interval = effect_interval(judgment)
    if interval is None or judgment.p_value is None:
        return ""
    low = formatting.number(interval.low, 3)
    high = formatting.number(interval.high, 3)
    of_what = " of the difference"
    if isinstance(judgment.evidence, RankCorrelationEvidence | MoreImportantEvidence):
        of_what = ""
    return f"95 % interval{of_what} {low} to {high}"


def effect_text(judgment: Judgment) -> str:
    """The size of the effect; empty if it was not measured."""
    effect = judgment.effect
    if effect is None:
        return ""
    match judgment.evidence:
        case TwoGroupsEvidence(metric=metric) | ExtremeEvidence(metric=metric):
            return _difference_text(effect, metric)
        case RankCorrelationEvidence():
            return f"Spearman correlation {formatting.number(effect, 3)}"
        case MoreImportantEvidence():
            return _importance_text(effect)
        case MetricPairsEvidence() as evidence if effect:
            text = _difference_text(effect, evidence.left)
            return f"{text} than {formatting.short(evidence.right)}"
        case ThresholdEvidence():
            return _difference_text(effect, "than the bound")
        case TableRowsEvidence(column=column):
            return _difference_text(effect, column)
    if not effect:
        return "no difference"
    return formatting.number(effect, 3)


def _difference_text(difference: float, name: str) -> str:
    if not difference:
        return "no difference"
    side = "higher"
    if difference < 0:
        side = "lower"
    return f"{formatting.number(abs(difference), 3)} {side} {formatting.short(name)}"


def _importance_text(lead: float) -> str:
    more = "less"
    if lead > 0:
        more = "more"
    return f"{formatting.number(abs(lead), 3)} {more} of the variance of ranks"


def evidence_text(judgment: Judgment) -> str:
    """The numbers behind a verdict, in sentences."""
    match judgment.evidence:
        case TwoGroupsEvidence() as evidence:
            return _two_groups(evidence, judgment)
        case ExtremeEvidence() as evidence:
            return _extreme(evidence, judgment)
        case RankCorrelationEvidence() as evidence:
            return _rank_correlation(evidence, judgment)
        case MoreImportantEvidence() as evidence:
            return _more_important(evidence, judgment)
        case MetricPairsEvidence() as evidence:
            return _metric_pairs(evidence, judgment)
        case ThresholdEvidence() as evidence:
            return _threshold(evidence, judgment)
        case TableRowsEvidence() as evidence:
            return _table_rows(evidence, judgment)
        case Obstacle() as obstacle:
            return obstacle_text(obstacle)
    return _other_kind(judgment)


def _other_kind(judgment: Judgment) -> str:
    """Describe the evidence of a kind of claim that has no wording of its own."""
    effect = effect_text(judgment)
    if not effect:
        return ""
    return formatting.sentences([f"Effect: {effect}.", _conclusion(judgment)])


def _two_groups(evidence: TwoGroupsEvidence, judgment: Judgment) -> str:
    comparison = evidence.comparison
    margin = formatting.parameter(evidence.margin)
    sentences = [
        _means_sentence(evidence.metric, comparison.difference, judgment),
    ]
    if evidence.margin and not evidence.is_equivalence:
        sentences.append(f"Claimed: better by more than {margin}.")
    sentences.append(_other_settings(comparison.has_equal_settings))
    if not evidence.is_equivalence:
        difference = comparison.difference
        if judgment.direction == Direction.OPPOSITE and difference.value * evidence.shift > 0:
            sentences.append("The difference has the claimed sign, but is smaller than claimed.")
        else:
            sentences.append(_conclusion(judgment, difference))
    elif judgment.p_value is None:
        sentences.append(f"Claimed margin {margin}.")
        sentences.append(_too_few(comparison.difference))
    else:
        sentences.append(_equivalence(judgment.verdict, judgment.p_value, margin))
    return formatting.sentences(sentences)


def _means_sentence(metric: str, difference: MeanDifference, judgment: Judgment) -> str:
    first = formatting.number(difference.first_mean)
    second = formatting.number(difference.second_mean)
    effect = effect_text(judgment)
    return f"Mean {formatting.short(metric)} {first} against {second}: {effect}."


def _equivalence(verdict: Verdict, p_value: float, margin: str) -> str:
    match verdict:
        case Verdict.SUPPORTED:
            outcome = f"The difference is within the margin of {margin}"
        case Verdict.CONTRADICTED:
            outcome = f"The difference is larger than the margin of {margin}"
        case _:
            outcome = f"It is uncertain whether the difference is within the margin of {margin}"
    return f"{outcome} ({p_value_text(p_value)})."


def _other_settings(has_equal_settings: bool) -> str:
    if has_equal_settings:
        return ""
    return "The two groups differ in other settings as well."


def _conclusion(
    judgment: Judgment,
    difference: MeanDifference | None = None,
    *,
    effect: str = "difference",
) -> str:
    """Whether an effect has the claimed sign and is significant, or has too few seeds for a test.

    difference: the one that is tested, or could not be.
    """
    match judgment.direction:
        case Direction.AS_CLAIMED:
            outcome = "has the claimed sign"
        case Direction.OPPOSITE:
            outcome = "has the opposite sign"
        case Direction.ZERO:
            outcome = "is zero"
    if judgment.procedure.method == Method.NOT_NEEDED:
        return f"The {effect} {outcome}. Sizes need no test."
    if judgment.p_value is None:
        few = ""
        if difference is not None:
            few = _too_few(difference)
        return formatting.sentences([f"The {effect} {outcome}.", few])
    p_value = p_value_text(judgment.p_value)
    if judgment.verdict == Verdict.UNDECIDED and judgment.direction != Direction.ZERO:
        return f"The {effect} {outcome}, but is not significant ({p_value})."
    return f"The {effect} {outcome} ({p_value})."


def _too_few(difference: MeanDifference) -> str:
    """Describe samples that are too small for a test."""
    first = difference.first_count
    second = difference.second_count
    if difference.is_paired:
        seeds = "One seed"
    elif first == second == 1:
        seeds = "One seed each"
    else:
        seeds = f"{first} against {formatting.plural(second, 'trial')}"
    return f"{seeds}; a test needs at least 2 seeds."


def _extreme(evidence: ExtremeEvidence, judgment: Judgment) -> str:
    difference = evidence.comparison.difference
    mean = formatting.number(difference.first_mean)
    rival_mean = formatting.number(difference.second_mean)
    value = conditions_text({evidence.axis: evidence.value})
    rival = ""
    if evidence.rival_kind != RivalKind.ONLY:
        rival = f" ({evidence.rival_kind} of {evidence.other_values} others)"
    sentences = [
        f"Mean {formatting.short(evidence.metric)} {mean} at {value} against {rival_mean} at "
        f"{formatting.short(evidence.rival)}{rival}.",
        _other_settings(evidence.comparison.has_equal_settings),
        _conclusion(judgment, evidence.untested),
    ]
    return formatting.sentences(sentences)


def _rank_correlation(evidence: RankCorrelationEvidence, judgment: Judgment) -> str:
    sentences = [
        f"{effect_text(judgment)}.",
        _at_epoch(evidence.at_epoch),
    ]
    if evidence.trend is not None:
        sentences += _trend(evidence, evidence.trend)
    sentences.append(_conclusion(judgment, effect="correlation"))
    if not evidence.can_be_significant:
        sentences.append(_necessary_trials(evidence))
    return formatting.sentences(sentences)


def _trend(evidence: RankCorrelationEvidence, trend: Trend) -> list[str]:
    ends = []
    for end in (trend.first, trend.last):
        ends.append(f"{formatting.number(end.mean)} at {formatting.parameter(end.setting)}")
    reversals = ""
    if trend.reversals:
        reversals = f", against the claim at {trend.reversals} of {trend.settings - 1} steps"
    sentences = [
        f"Mean {formatting.short(evidence.metric)} {' and '.join(ends)} of "
        f"{formatting.short(evidence.other)}{reversals}."
    ]
    if not trend.has_equal_settings:
        sentences.append("Other settings vary as well.")
    return sentences


def _necessary_trials(evidence: RankCorrelationEvidence) -> str:
    trend = evidence.trend
    if trend is None and evidence.is_over_configurations:
        return f"At least {MIN_CORRELATED_TRIALS} configurations are needed."
    if trend is None:
        return f"At least {MIN_CORRELATED_TRIALS} trials are needed."
    if trend.sufficient_seeds is None:
        return "There are too few trials."
    seeds = formatting.plural(trend.sufficient_seeds, "seed")
    return f"At least {seeds} of each of these {trend.settings} values are needed."


def _at_epoch(epoch: int | None) -> str:
    if not epoch:
        return ""
    return f"At epoch {epoch} of all trials that reached it, also those that were stopped later."


def _more_important(evidence: MoreImportantEvidence, judgment: Judgment) -> str:
    lead = evidence.lead
    if lead is None or judgment.p_value is None:
        configurations = formatting.plural(evidence.configurations, "configuration")
        return f"{configurations}; a random forest needs at least {MIN_CONFIGURATIONS}."
    axis = formatting.short(evidence.axis)
    rival = formatting.short(lead.rival)
    sentence = (
        f"On the ranks of {formatting.short(evidence.metric)}, the importance of {axis} is "
        f"{formatting.number(lead.importance, 3)}, and that of {rival}, the most important of "
        f"{formatting.plural(evidence.others, 'other')}, is "
        f"{formatting.number(lead.rival_importance, 3)} ({p_value_text(judgment.p_value)})."
    )
    return formatting.sentences([_at_epoch(evidence.at_epoch), sentence])


def _metric_pairs(evidence: MetricPairsEvidence, judgment: Judgment) -> str:
    when = "At the best epoch"
    if evidence.epochs is not None and evidence.claimed_epochs is not None:
        claimed = f"{evidence.claimed_epochs.first} to {evidence.claimed_epochs.last}"
        measured = f"{evidence.epochs.first} to {evidence.epochs.last}"
        when = f"Over epochs {measured} (claimed: {claimed})"
    left_mean = formatting.number(evidence.difference.first_mean)
    right_mean = formatting.number(evidence.difference.second_mean)
    trials = formatting.plural(evidence.trials, "trial")
    sentences = [
        f"{when}, mean {formatting.short(evidence.left)} {left_mean}, "
        f"{formatting.short(evidence.right)} {right_mean}, in {trials}."
    ]
    if judgment.procedure.method == Method.WILCOXON:
        # It may have another sign than the difference of the means.
        sentences.append(f"Typical difference (Hodges-Lehmann): {effect_text(judgment)}.")
    sentences.append(_conclusion(judgment, evidence.difference))
    return formatting.sentences(sentences)


def _threshold(evidence: ThresholdEvidence, judgment: Judgment) -> str:
    mean = formatting.number(evidence.difference.first_mean)
    bound = formatting.parameter(evidence.bound)
    sentences = [f"Mean {formatting.short(evidence.metric)} {mean}, claimed {evidence.op} {bound}."]
    if evidence.matching_configurations > 1:
        sentences.append(f"Best of {evidence.matching_configurations} matching configurations.")
    sentences.append(_conclusion(judgment, evidence.difference))
    return formatting.sentences(sentences)


def _table_rows(evidence: TableRowsEvidence, judgment: Judgment) -> str:
    named_mean = formatting.number(evidence.difference.first_mean)
    other_mean = formatting.number(evidence.difference.second_mean)
    kind = ""
    if evidence.rival_kind != RivalKind.ONLY:
        kind = f" ({evidence.rival_kind} of {evidence.pairs} pairs)"
    sentence = (
        f"Mean {formatting.short(evidence.column)} over "
        f"{formatting.plural(evidence.trials, 'trial')}: {named_mean} of {evidence.named} against "
        f"{other_mean} of {evidence.other}{kind}."
    )
    return formatting.sentences([sentence, _conclusion(judgment, evidence.untested)])
