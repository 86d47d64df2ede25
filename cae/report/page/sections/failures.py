"""Failed trials, grouped by equal errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.section import Scope, SectionContent, section
from cae.run.trial_state import TrialState

DESCRIPTIONS = {
    TrialState.FAILED: "with an error",
    TrialState.OUT_OF_MEMORY: "out of memory",
    TrialState.DIVERGED: "diverged",
    TrialState.KILLED: "killed by a user",
}
"""States of this section, in their order."""
MAX_TRIALS_PER_GROUP = 50
NUMBERS = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True)
class FailureGroup:
    """Trials that ended in the same state with the same message, except for numbers in it."""

    state: TrialState
    message: str
    count: int
    numbers_by_epoch: dict[int, list[str]]
    """Numbers of the first trials by their last epoch."""
    traceback: str
    """Of the first trial."""
    first_label: str

    @property
    def trials(self) -> str:
        """Trials and epochs as text: "after epoch 2: trials 3, 23"."""
        parts = []
        listed = 0
        for epoch, numbers in sorted(self.numbers_by_epoch.items()):
            when = f"after epoch {epoch}"
            if epoch == 0:
                when = "before the end of the first epoch"
            noun = "trials"
            if len(numbers) == 1:
                noun = "trial"
            parts.append(f"{when}: {noun} {', '.join(numbers)}")
            listed += len(numbers)
        text = "; ".join(parts)
        if self.count > listed:
            text += f" and {self.count - listed} more"
        return text


@dataclass(frozen=True, kw_only=True)
class FailuresContent(SectionContent):
    groups: Sequence[FailureGroup] = ()


@section("failures", title="Failures", order=170, scope=Scope.ALL)
def failures_section(results: Results) -> SectionContent:
    trials = results.trials[results.trials["state"].isin(list(DESCRIPTIONS))]
    if not len(trials):
        return FailuresContent(verdict="No trial failed or diverged.", is_empty=True)
    return FailuresContent(
        verdict=_verdict(trials, len(results.trials)),
        method=(
            "Trials are in one group if the last lines of their errors are equal except for "
            "numbers. None of these trials is ranked, except for those killed by a user, which "
            "keep their best epoch so far, and those that had finished before they were extended "
            "to more epochs."
        ),
        groups=group_failures(results, trials),
    )


def _verdict(trials: pd.DataFrame, total: int) -> str:
    counts = trials["state"].value_counts()
    killed = int(counts.get(TrialState.KILLED, 0))
    failed = len(trials) - killed
    descriptions = []
    for state, description in DESCRIPTIONS.items():
        if state in counts and state != TrialState.KILLED:
            descriptions.append(f"{counts[state]} {description}")
    if failed:
        failed_trials = formatting.plural(failed, "trial")
        sentence = f"{failed_trials} of {total:,} failed: {formatting.listed(descriptions)}."
    else:
        sentence = "No trial failed or diverged."
    if killed:
        sentence += f" {formatting.plural(killed, 'trial was', 'trials were')} killed by a user."
    return sentence


def group_failures(results: Results, trials: pd.DataFrame) -> list[FailureGroup]:
    """Group trials by state and message, in the order of `DESCRIPTIONS`, the largest first."""
    members: dict[tuple[TrialState, str], list[int]] = {}
    messages: dict[tuple[TrialState, str], str] = {}
    for index, row in zip(trials.index, trials.to_dict("records"), strict=True):
        message = _message(row["error"], row["reason"])
        key = (row["state"], NUMBERS.sub("#", message))
        members.setdefault(key, []).append(index)
        messages.setdefault(key, message)
    states = list(DESCRIPTIONS)
    keys = sorted(members, key=lambda key: (states.index(key[0]), -len(members[key])))
    return [_make_group(results, key[0], messages[key], members[key]) for key in keys]


def _message(error: object, reason: object) -> str:
    for text in (error, reason):
        if isinstance(text, str) and text:
            return text
    return "no reason was recorded"


def _make_group(
    results: Results, state: TrialState, message: str, members: list[int]
) -> FailureGroup:
    numbers_by_epoch: dict[int, list[str]] = {}
    epochs_done = results.trials["epochs_done"]
    for index in members[:MAX_TRIALS_PER_GROUP]:
        epoch = int(epochs_done[index])
        number = results.labels[index].removeprefix("trial ")
        numbers_by_epoch.setdefault(epoch, []).append(number)
    run = results.trials["run"][members[0]]
    trial = results.trials["trial"][members[0]]
    return FailureGroup(
        state=state,
        message=formatting.short(message, 300),
        count=len(members),
        numbers_by_epoch=numbers_by_epoch,
        traceback=results.record(run, trial).error,
        first_label=results.labels[members[0]],
    )
