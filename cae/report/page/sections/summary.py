"""The answers in short: the best trial, the progress of the sweep, and restrictions of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from cae.report import formatting
from cae.report.data.columns import IN_CURRENT_SWEEP
from cae.report.data.results import Results
from cae.report.page.section import Scope, SectionContent, section
from cae.report.page.sections.early_stopping import stopped_sentence
from cae.report.page.sections.published import published_comparisons
from cae.report.page.summary_lines import (
    REMAINING,
    SummaryLine,
    only_configuration_text,
    summary_lines,
)
from cae.report.page.wording import better_direction, nothing_is_ranked, state_note
from cae.report.statistics.best import compare_configurations
from cae.report.wording import published
from cae.report.wording.best import (
    best_configuration_sentence,
    best_mean_sentence,
    best_single_trial_sentence,
    comparison_sentence,
    other_best_configuration,
)
from cae.run.trial_state import TrialState

STATES = [
    TrialState.FINISHED,
    TrialState.STOPPED,
    TrialState.RUNNING,
    TrialState.PENDING,
    TrialState.INTERRUPTED,
    TrialState.WAITING,
    TrialState.DIVERGED,
    TrialState.FAILED,
    TrialState.OUT_OF_MEMORY,
    TrialState.KILLED,
    TrialState.WITHDRAWN,
]
"""In the order of the cards."""
MAX_GROUPS = 50
"""Comparability groups whose best trials are listed."""


@dataclass(frozen=True, kw_only=True)
class SummaryContent(SectionContent):
    trials: int
    states: Mapping[TrialState, int]
    """Number of trials in each state that occurs."""
    current_trials: int = 0
    """Number of trials of the current sweep; the others are of earlier sweeps of the run."""
    lines: Sequence[SummaryLine] = ()
    """What follows the best trial: at most four lines."""
    notes: Sequence[str] = ()
    """What restricts all results of the page."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """Further sentences by id of the section that has more."""
    group_answers: Mapping[str, str] = field(default_factory=dict)
    """The best trial of each comparability group, by its label; empty if there is one group."""

    @property
    @override
    def answer(self) -> str:
        groups = [f"{label}: {answer}" for label, answer in self.group_answers.items()]
        lines = [line.plain_text for line in self.lines]
        return "\n".join([self.verdict, *groups, *lines])


@section("summary", title="Summary", order=10, scope=Scope.ALL)
def summary_section(results: Results) -> SectionContent:
    counts = results.trials["state"].value_counts()
    states = {state: int(counts[state]) for state in STATES if state in counts}
    answers = {
        "published": published.summary_sentence(published_comparisons(results), reasons=False),
        "early_stopping": stopped_sentence(results),
    }
    notes = [
        _remaining(results, states),
        _earlier_sweeps(results),
        _joined(results),
        _budget(results),
    ]
    group_answers = {}
    verdict = _best(results.groups[0].results)
    if len(results.groups) > 1:
        verdict = (
            f"The trials are in {len(results.groups)} groups that are not comparable with each "
            f"other: they differ in {results.group_differences}. Each group has a best trial."
        )
        if len(results.groups) > MAX_GROUPS:
            verdict += f" The first {MAX_GROUPS} are listed; trials.csv contains all."
        for group in results.groups[:MAX_GROUPS]:
            group_answers[group.label] = best_sentence(group.results)
    return SummaryContent(
        verdict=verdict,
        group_answers=group_answers,
        trials=len(results.trials),
        states=states,
        current_trials=int(results.in_current_sweep.sum()),
        lines=summary_lines(results),
        notes=[note for note in notes if note],
        answers={id: sentence for id, sentence in answers.items() if sentence},
    )


def best_sentence(results: Results) -> str:
    """Return the best trial, its distance to the second, and how certain it is that it is best.

    `results` are those of one comparability group.
    """
    best = _best(results)
    only = only_configuration_text(results)
    if only or not len(results.ranked):
        return formatting.sentences([best, only])
    comparison = compare_configurations(results)
    if other_best_configuration(results, comparison):
        return best_configuration_sentence(results, comparison)
    return formatting.sentences([best, comparison_sentence(results, comparison)])


def _best(results: Results) -> str:
    """Return the best trial, or the best configuration, and its distance to the second."""
    if not len(results.trials):
        return "No trial has been planned or run yet."
    ranked = results.ranked
    if not len(ranked):
        return f"{nothing_is_ranked(results)}, so there is no best one."
    comparison = compare_configurations(results)
    has_one = bool(only_configuration_text(results))
    if not has_one and other_best_configuration(results, comparison):
        mean = best_mean_sentence(results, comparison)
        return formatting.sentences([mean, best_single_trial_sentence(results, comparison)])
    first = ranked.index[0]
    value = formatting.number(results.values[first])
    epoch = formatting.number(ranked.at[first, "best_epoch"])
    sentence = f"Best is {results.labels[first]}: {results.metric} {value} at epoch {epoch}"
    note = state_note(results, first)
    if note:
        sentence += f" ({note})"
    configurations = results.configurations.loc[ranked.index]
    is_same = configurations == configurations[first]
    if is_same.all():
        return f"{sentence}."
    distance = _distance(results, first, ranked.index[~is_same][0], seeds=int(is_same.sum()))
    return f"{sentence}, {distance}."


def _distance(results: Results, first: int, second: int, seeds: int) -> str:
    """Compare the best trial with the best one of another configuration."""
    value = results.values[first]
    second_value = results.values[second]
    other = "the next configuration"
    if seeds == 1:
        other = "the second"
    parts = [results.labels[second], formatting.number(second_value)]
    note = state_note(results, second)
    if note:
        parts.append(note)
    trial = f"({', '.join(parts)})"
    gap = abs(second_value - value)
    if gap == 0:
        return f"the same as {other} {trial}"
    share = ""
    if second_value:
        share = f" ({formatting.percent(gap, abs(second_value))})"
    return f"{formatting.number(gap, 3)}{share} {better_direction(results)} than {other} {trial}"


def _remaining(results: Results, states: Mapping[TrialState, int]) -> str:
    """State that trials are missing: all results are those so far."""
    remaining = sum(states.get(state, 0) for state in REMAINING)
    if not remaining:
        return ""
    status = "The sweep is not complete"
    if any(run.running for run in results.runs):
        status = "The sweep is running"
    trials = formatting.plural(remaining, "trial")
    verb = "remain"
    if remaining == 1:
        verb = "remains"
    return (
        f"{status}: {trials} of {len(results.trials)} {verb}. Their epochs so far are included "
        "below."
    )


def _earlier_sweeps(results: Results) -> str:
    """State that a run holds trials that its newest command does not request."""
    earlier = int((~results.in_current_sweep).sum())
    if not earlier:
        return ""
    current = int(results.in_current_sweep.sum())
    trials = formatting.plural(len(results.trials), "trial")
    return (
        f"Of {trials}, {current} are of the current sweep and {earlier} of earlier sweeps, which "
        "had other settings, images or code, or another search space. All keep their values; "
        f"filter the table by {IN_CURRENT_SWEEP}=true for the current ones."
    )


def _joined(results: Results) -> str:
    """State that runs share one ranking, and in which settings they differ."""
    if not results.joined:
        return ""
    runs = formatting.listed([run.name for run in results.runs])
    sentence = f"{len(results.runs)} runs are joined: {runs}."
    bases = [run.sweep.base for run in results.runs]
    differing = [name for name in _all_names(bases) if _differs(bases, name)]
    if differing:
        sentence += (
            f" Their base trials differ in {formatting.listed(differing)}: compare trials of "
            "different runs with care."
        )
    return sentence


def _all_names(bases: list[dict[str, Any]]) -> list[str]:
    names: dict[str, None] = {}
    for base in bases:
        names |= dict.fromkeys(base)
    return list(names)


def _differs(bases: list[dict[str, Any]], name: str) -> bool:
    return len({str(base.get(name)) for base in bases}) > 1


def _budget(results: Results) -> str:
    """State that the run has other settings than the full sweep."""
    overrides = results.sweep.overrides
    if not overrides or results.joined:
        return ""
    budget = results.sweep.budget or "this"
    differences = published.differences(overrides)
    return f"Budget {budget}: {differences}. The numbers are not those of the full sweep."
