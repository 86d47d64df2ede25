"""The lines of the summary: certainty, what matters, what looks wrong, what to do next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.section import SectionContent
from cae.report.page.sections.baselines import baseline_warning
from cae.report.page.sections.best import BestContent, best_section
from cae.report.page.sections.failures import failures_section
from cae.report.page.sections.importance import importance_sentence
from cae.report.page.sections.next_steps import NextStepsContent, StepCommand, next_steps_section
from cae.report.page.wording import nothing_is_ranked
from cae.report.statistics import importance
from cae.report.statistics.best import compare_configurations
from cae.report.statistics.next_steps import next_steps
from cae.report.statistics.worker_utilization import measure_utilization
from cae.report.wording.best import certainty_sentence
from cae.report.wording.parameter_effects import effects_sentences
from cae.run.trial_state import TrialState

MAX_COMMANDS = 2
"""Of the line about what to do next; the sections have all."""
MAX_LABELLED = 3
"""Different sentences about comparability groups in one line, and named groups of a sentence."""
MIN_UNUSED_SHARE = 0.25
"""Slots are reported as unused if they had no trial for this share of the time."""
MIN_RUNNING_SECONDS = 600
"""In shorter runs, starting Ray is a large share of the time."""
REMAINING = [
    TrialState.RUNNING,
    TrialState.PENDING,
    TrialState.INTERRUPTED,
    TrialState.WAITING,
]
NOTHING_WRONG = (
    "Nothing of what is checked: failed trials, baselines, edges of ranges, trials that still "
    "improve, unused slots."
)


@dataclass(frozen=True)
class SummaryLine:
    """One line of the summary."""

    title: str
    text: str
    section: str = ""
    """Id of the section that has more; empty: none."""
    commands: Sequence[StepCommand] = ()

    @property
    def plain_text(self) -> str:
        """The line as verdicts.json contains it."""
        parts = [self.text]
        for step in self.commands:
            parts.append(f"{step.finding} {step.command}")
        return f"{self.title}: {formatting.sentences(parts)}"


def summary_lines(results: Results) -> list[SummaryLine]:
    """The lines below the best trial, without those that have nothing to say."""
    lines: list[SummaryLine] = []
    if len(results.groups) == 1:  # otherwise each group has its own, beside its best trial
        certainty = certainty_text(results.groups[0].results)
        lines.append(SummaryLine("Certainty", certainty, "best"))
    lines.append(_what_matters(results))
    if len(results.trials):
        lines.append(_what_looks_wrong(results))
    lines.append(_what_to_do_next(results))
    return [line for line in lines if line.text or line.commands]


def certainty_text(results: Results) -> str:
    """How certain it is that the best trial is the best.

    Empty if no trial is ranked. `results` are those of one comparability group.
    """
    if not len(results.ranked):
        return ""
    text = only_configuration_text(results)
    if text:
        return text
    return certainty_sentence(results, compare_configurations(results))


def only_configuration_text(results: Results) -> str:
    """Why nothing can be compared: one trial or configuration has values. Empty if several have."""
    ranked = results.ranked
    if len(ranked) == 1:
        return "It is the only trial with a value: there is nothing to compare with."
    configurations = results.configurations.loc[ranked.index]
    if len(ranked) and (configurations == configurations.iloc[0]).all():
        return f"All {len(ranked)} trials with a value are seeds of one configuration."
    return ""


def _by_group(results: Results, sentence_of: Callable[[Results], str]) -> str:
    """A sentence about each comparability group, with its label if there are several."""
    labels: dict[str, list[str]] = {}
    for group in results.groups:
        sentence = sentence_of(group.results)
        if sentence:
            labels.setdefault(sentence, []).append(group.label)
    if len(results.groups) == 1:
        return formatting.sentences(list(labels))
    sentences: list[str] = []
    for sentence, groups in labels.items():
        name = formatting.listed(groups, MAX_LABELLED)
        if len(groups) == len(results.groups):
            name = f"In each of {len(groups)} groups"
        sentences.append(f"{name}: {sentence}")
    hidden = len(sentences) - MAX_LABELLED
    if hidden > 0:
        sentences = [*sentences[:MAX_LABELLED], f"The page has {hidden} more of these."]
    return formatting.sentences(sentences)


def _what_matters(results: Results) -> SummaryLine:
    """The most important parameters, or the one with the most significant difference."""
    section = "parameters"
    for group in results.groups:
        if importance.shown_analysis(group.results).is_computed:
            section = "importance"
    return SummaryLine("What matters", _by_group(results, _most_important), section)


def _most_important(results: Results) -> str:
    """By the forests of the finished trials and of all trials, else by the medians at settings."""
    sentences = []
    for analysis in importance.analyze_importance(results):
        if analysis.is_computed:
            sentences.append(importance_sentence(analysis))
    if sentences:
        return formatting.sentences(sentences)
    return effects_sentences(results)


def _what_looks_wrong(results: Results) -> SummaryLine:
    findings = [
        _Finding(_failed_trials(results), "failures"),
        _Finding(_by_group(results, baseline_warning), "baselines"),
        _Finding(_by_group(results, _edges_and_epochs), "next_steps"),
        _Finding(_unused_slots(results), "worker_utilization"),
    ]
    found = [finding for finding in findings if finding.text]
    if not found:
        return SummaryLine("What looks wrong", _nothing_wrong(results))
    text = formatting.sentences([finding.text for finding in found])
    return SummaryLine("What looks wrong", text, found[0].section)


@dataclass(frozen=True)
class _Finding:
    text: str
    section: str


def _nothing_wrong(results: Results) -> str:
    if not len(results.ranked):
        return f"{nothing_is_ranked(results)}."
    return NOTHING_WRONG


def _failed_trials(results: Results) -> str:
    content = failures_section(results)
    if content.is_empty:
        return ""
    return content.verdict


def _edges_and_epochs(results: Results) -> str:
    """At the edge of which ranges the best trial is, and whether trials still improve."""
    steps = next_steps(results)
    edges: list[str] = []
    for step in steps:
        if step.is_edge:
            edges += step.changes
    sentences: list[str] = []
    if edges:
        sentences.append(
            f"The best trial is at the edge of what was tried: {formatting.listed(edges)}."
        )
    if len(edges) < len(steps):
        sentences.append("The best trials still improve: more epochs would likely help.")
    return formatting.sentences(sentences)


def _unused_slots(results: Results) -> str:
    utilization = measure_utilization(results)
    share = utilization.unused_share
    if utilization.running_seconds < MIN_RUNNING_SECONDS or not share >= MIN_UNUSED_SHARE:
        return ""
    return f"Slots were unused for {formatting.percent(share, 1)} of their time."


def _what_to_do_next(results: Results) -> SummaryLine:
    """Commands: resume, add seeds, extend ranges, train longer, export; the first ones of them."""
    title = "What to do next"
    if any(run.running for run in results.runs):
        return SummaryLine(title, "The sweep is running: wait for its end.")
    commands = [*_resume(results), *_seeds(results), *_steps(results), *_export(results)]
    section = ""
    if len(commands) > MAX_COMMANDS:
        section = _section_of(results)
    return SummaryLine(title, "", section, commands[:MAX_COMMANDS])


def _section_of(results: Results) -> str:
    """The section with further commands."""
    if _steps(results):
        return "next_steps"
    return "best"


def _resume(results: Results) -> list[StepCommand]:
    if results.joined or not results.sweep.command:
        return []
    if not results.trials["state"].isin(REMAINING).any():
        return []
    return [StepCommand("Resume the sweep:", results.sweep.command)]


def _best_contents(results: Results) -> list[BestContent]:
    contents: list[BestContent] = []
    for group in results.groups:
        content: SectionContent = best_section(group.results)
        if isinstance(content, BestContent) and not content.is_empty:
            contents.append(content)
    return contents


def _seeds(results: Results) -> list[StepCommand]:
    for content in _best_contents(results):
        if content.seeds_command:
            return [StepCommand(f"{content.seeds_label}:", content.seeds_command)]
    return []


def _steps(results: Results) -> list[StepCommand]:
    steps: list[StepCommand] = []
    for group in results.groups:
        content = next_steps_section(group.results)
        if not isinstance(content, NextStepsContent):
            continue
        for step in content.steps:
            if group.label:
                step = step._replace(finding=f"{group.label}: {step.finding}")
            steps.append(step)
    return steps


def _export(results: Results) -> list[StepCommand]:
    contents = _best_contents(results)
    if len(contents) != 1:
        return []
    return [StepCommand("Export the best network:", contents[0].export_command)]
