"""What to try next, as commands to copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from cae.report import formatting
from cae.report.data.commands import run_command, set_flags
from cae.report.data.results import Results
from cae.report.page.section import SectionContent, section
from cae.report.statistics.next_steps import (
    MIN_FINISHED,
    MIN_VALUES,
    NextStep,
    next_steps,
)


class StepCommand(NamedTuple):
    """A finding, and the command that tries what it suggests."""

    finding: str
    command: str


@dataclass(frozen=True, kw_only=True)
class NextStepsContent(SectionContent):
    steps: Sequence[StepCommand] = ()


@section("next_steps", title="What to try next", order=25)
def next_steps_section(results: Results) -> SectionContent:
    steps = next_steps(results)
    if not steps:
        return SectionContent(
            verdict=(
                "No next step is suggested. The range of a parameter is examined if at least "
                f"{MIN_VALUES} different values of it were tried, the number of epochs if at least "
                f"{MIN_FINISHED} trials finished."
            ),
            is_empty=True,
        )
    return NextStepsContent(
        verdict=_verdict(steps),
        method=(
            "A parameter with at least three different values is named if the best trial has the "
            "largest or smallest of them, or lies in the outer 5 % of a range that was drawn from. "
            "Whether values beyond it are possible and better is not known. The commands train the "
            "best trial with the one change, in the same run."
        ),
        steps=[StepCommand(step.finding, _command(results, step)) for step in steps],
    )


def _verdict(steps: list[NextStep]) -> str:
    edges = sum(step.is_edge for step in steps)
    parts: list[str] = []
    if edges:
        parts.append(f"the best trial is at the edge of {formatting.plural(edges, 'range')}")
    if edges < len(steps):
        parts.append("more epochs would likely help")
    text = " and ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _command(results: Results, step: NextStep) -> str:
    """The command that adds the changed trial to its run."""
    name: Any = results.trials.at[step.trial, "run"]
    number: Any = results.trials.at[step.trial, "trial"]
    run = next(run for run in results.runs if run.name == name)
    record = run.records[number]
    config = dict(record.config)
    for key, value in step.changes.items():
        parameter, _, element = key.rpartition(".")
        elements = config.get(parameter)
        if key not in config and element.isdecimal() and isinstance(elements, list):
            changed = list(elements)
            changed[int(element) - 1] = value
            config[parameter] = changed
        else:
            config[key] = value
    flags = set_flags(replace(record, config=config), run.sweep.base, run.sweep.defaults)
    if "epochs" in step.changes and "epochs" not in flags:
        flags += f" --set epochs={step.changes['epochs']}"
    return f"{run_command(run.sweep)} {flags}"
