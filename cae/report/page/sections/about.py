"""Where, when and with which settings the trials ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results, Run
from cae.report.page.section import Scope, SectionContent, section
from cae.run.left_out import left_out_lines


class Fact(NamedTuple):
    name: str
    value: str


class Override(NamedTuple):
    parameter: str
    full_value: str
    value: str


@dataclass(frozen=True)
class RunDetails:
    """What sweep.json and the sessions record about one run."""

    facts: list[Fact]
    overrides: list[Override]
    base: list[Fact]
    """Parameters of the base trial."""
    description: str


@dataclass(frozen=True, kw_only=True)
class AboutContent(SectionContent):
    runs: Sequence[RunDetails] = ()


@section("about", title="Hardware and settings", order=210, scope=Scope.ALL)
def about_section(results: Results) -> SectionContent:
    return AboutContent(
        verdict=_verdict(results), runs=[_details(results, run) for run in results.runs]
    )


def _verdict(results: Results) -> str:
    trials = results.trials
    verdict = "No training yet"
    if "seconds" in trials:
        seconds = float(pd.to_numeric(trials["seconds"], errors="coerce").sum())
        if seconds:
            verdict = f"{formatting.duration(seconds)} of training"
    if "host" in trials and trials["host"].notna().any():
        verdict += f" on {formatting.plural(trials['host'].nunique(), 'host')}"
    if "started" in trials and trials["started"].notna().any() and len(results.epochs):
        start = _minute(trials["started"].dropna().min())
        end = _minute(results.epochs["ended"].max())
        verdict += f", from {start} to {end} UTC"
    return f"{verdict}."


def _minute(time: str) -> str:
    """Return "2026-01-31 12:00" of an ISO 8601 time."""
    return time[:16].replace("T", " ")


def _details(results: Results, run: Run) -> RunDetails:
    sweep = run.sweep
    overrides = []
    for name, change in sweep.overrides.items():
        overrides.append(
            Override(
                name,
                formatting.parameter(change.get("full")),
                formatting.parameter(change.get("here")),
            )
        )
    return RunDetails(
        facts=_facts(results, run),
        overrides=overrides,
        base=[Fact(name, formatting.parameter(value)) for name, value in sweep.base.items()],
        description=sweep.description.strip(),
    )


def _facts(results: Results, run: Run) -> list[Fact]:
    """Return what is recorded; old runs lack some of it."""
    sweep = run.sweep
    trials = results.trials[results.trials["run"] == run.name]
    sessions = ""
    if run.sessions:
        sessions = str(len(run.sessions))
    left_out = left_out_lines(sweep.left_out, sweep.examined)
    versions = [f"{name} {version}" for name, version in sweep.versions.items()]
    facts = [
        Fact("run", run.name),
        Fact("sweep file", sweep.file),
        Fact("command", sweep.command),
        Fact("git commit", sweep.git_commit),
        Fact("ranked by", f"{results.metric} ({results.mode})"),
        Fact("scheduler", _scheduler(sweep.scheduler)),
        Fact("trials", trials_text(run)),
        Fact("left out", "; ".join(line.strip() for line in left_out)),
        Fact("seeds", str(sweep.seeds)),
        Fact("images", "; ".join(sweep.image_notes)),
        Fact("budget", sweep.budget),
        Fact("started on", sweep.host),
        Fact("device", sweep.device),
        Fact("trained on", "; ".join(_devices(trials))),
        Fact("sessions", sessions),
        Fact("versions", ", ".join(versions)),
    ]
    return [fact for fact in facts if fact.value]


def trials_text(run: Run) -> str:
    """The number of trials of the current sweep, of its search space, and of the other trials."""
    current = 0
    dependencies = 0
    for record in run.records.values():
        if record.is_requested and record.is_dependency:
            dependencies += 1
        elif record.is_requested:
            current += 1
    text = formatting.plural(current, "trial")
    if run.sweep.space:
        text += f" of a search space of {formatting.plural(run.sweep.space, 'configuration')}"
        if run.sweep.seeds > 1:
            text += f", {run.sweep.seeds} seeds of each"
    if dependencies:
        text += f"; {formatting.plural(dependencies, 'trial')} that they depend on"
    earlier = len(run.records) - current - dependencies
    if earlier:
        text += f"; {formatting.plural(earlier, 'trial')} of earlier sweeps"
    return text


def _devices(trials: pd.DataFrame) -> list[str]:
    """Return each host and device with the number of its trials."""
    if not len(trials) or not trials["host"].notna().any():
        return []
    devices = []
    for (host, device), group in trials.groupby(["host", "device"], sort=True):
        devices.append(f"{host}, {device} ({formatting.plural(len(group), 'trial')})")
    return devices


def _scheduler(scheduler: dict[str, object] | None) -> str:
    if not scheduler:
        return "none: every trial runs all its epochs"
    settings = []
    for name, value in scheduler.items():
        if name not in ("name", "rungs"):
            settings.append(f"{name} {formatting.parameter(value)}")
    rungs = scheduler.get("rungs")
    if isinstance(rungs, list) and rungs:
        epochs = formatting.listed([str(rung) for rung in rungs], 12)
        settings.append(f"rungs at epochs {epochs}")
    return f"{scheduler.get('name')} ({', '.join(settings)})"
