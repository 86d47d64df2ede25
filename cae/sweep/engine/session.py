"""From a command to a run and back: what `cae-sweep plan` and `cae-sweep run` do, step by step."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cae.errors import RunError, gather
from cae.files import write_whole
from cae.run.events import Event
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.status import Progress, progress
from cae.run.storage import is_url, open_store, run_at
from cae.run.sweep_json import SweepDescription
from cae.sweep.engine.limits import DEFAULTS, LEAST_FREE, Limits
from cae.sweep.engine.retention import disk, disk_of
from cae.sweep.places.hosts import TOKEN, Demands, check_hosts, described, new_token
from cae.sweep.places.local import Resources, device_name, git_commit, local_ray, versions
from cae.sweep.spec.plan import Plan, make_plan
from cae.sweep.spec.sweep_file import SweepFile, read_sweep_file
from cae.trial.config import ConfigError
from cae.trial.datasets.base import Dataset, Images, data_folders

Display = Callable[[dict[int, Record]], AbstractContextManager[Callable[[Event | None], None]]]
"""Opens a view of a running sweep, such as the live table, from its records: it is called with each event."""

TRAINED_BY = ("command", "git_commit", "versions", "device", "slots")
"""What stays in sweep.json when the same command finds nothing left to train: these say what the numbers come from."""
RETRYABLE = ("failed", "oom", "diverged", "killed")


@dataclass(frozen=True)
class Selection:
    """Which trials of a sweep, on which images, into which folder: what `plan` and `run` are told alike."""

    sweep: Path
    out: str | Path | None
    budget: str
    settings: Mapping[str, Any]
    max_trials: int | None
    data_dir: Path | None
    retry: tuple[str, ...] = ()


def select(
    sweep: Path,
    out: str | Path | None,
    budget: str,
    pairs: list[str] | None,
    max_trials: int | None,
    data_dir: Path | None,
    retry: str,
) -> Selection:
    """A selection from the words of the command line: KEY=VALUE, the value as JSON where it is (numbers, true, lists) and as
    text where it is not; states with commas between them. Raises ConfigError with every mistake."""
    settings: dict[str, Any] = {}
    states = tuple(filter(None, retry.split(",")))
    wrong = [state for state in states if state not in RETRYABLE]
    mistakes = [f"--retry {','.join(wrong)}: there are {', '.join(RETRYABLE)}"] if wrong else []
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            mistakes.append(f"--set {pair}: should be KEY=VALUE")
        settings[key] = value
        with contextlib.suppress(ValueError):
            settings[key] = json.loads(value)
    if mistakes:
        raise ConfigError(mistakes)
    return Selection(sweep, out, budget, settings, max_trials, data_dir, states)


@dataclass(frozen=True)
class Prepared:
    """A sweep that is known to be right: it has been read, planned and checked; nothing has been written."""

    file: SweepFile
    plan: Plan
    run: RunDir
    selection: Selection
    records: dict[int, Record]
    """What the journal said of each trial when the plan was made from it; who runs it keeps them up to date."""
    journal_bytes: int
    """How long the journal was then."""


def prepare(selection: Selection) -> Prepared:
    """Reads and plans a sweep. Raises UserError with all that is wrong; writes nothing."""
    file = read_sweep_file(selection.sweep)
    name = file.name if selection.budget == "full" else f"{file.name}-{selection.budget}"
    run = run_at(selection.out or Path("runs") / name)
    if run.path.exists() and not run.path.is_dir():
        raise RunError(f"--out {run} is no folder")
    if run.sweep_json.exists():
        known = run.read_sweep()
        if known.sweep != file.name:
            raise RunError(
                f"{run} holds a run of another sweep, {known.sweep}: choose another --out"
            )
        rule = (file.sweep.metric, file.sweep.mode)
        if (before := (known.metric, known.mode)) != rule:
            raise RunError(
                f"{run} ranks by {before[0]} ({before[1]}), and its weights are the best by that: choose another --out"
            )
    folders = data_folders(selection.data_dir)

    def load(dataset: Dataset) -> Images:
        try:
            return dataset.load(folders)
        except ValueError as error:
            raise ConfigError([str(error)]) from None

    size = _size(run)
    records = run.records()
    plan: Plan
    (_, plan) = gather(
        lambda: _refuse(file.mistakes),
        lambda: make_plan(
            file.sweep,
            load,
            budget=selection.budget,
            settings=selection.settings,
            max_trials=selection.max_trials,
            records=records,
            retry=selection.retry,
        ),
    )
    return Prepared(file, plan, run, selection, records, size)


def _ignore(event: Event | None) -> None:
    """Watches a sweep without showing anything."""


def _refuse(mistakes: list[str]) -> None:
    if mistakes:
        raise ConfigError(mistakes)


def execute(
    prepared: Prepared,
    resources: Resources,
    *,
    command: str,
    display: Display | None = None,
    limits: Limits = DEFAULTS,
) -> str:
    """Runs a prepared sweep in the cluster that this process is connected to, or else on this machine. Returns why it ended
    (`complete`, or what interrupted it)."""
    from cae.sweep.engine.runner import (
        run_plan,
    )  # ray.tune is not needed for a plan's mistakes to be told

    run, plan = prepared.run, prepared.plan
    with run.lock():
        room(prepared, resources)
        run.clear_requests()  # what was asked of the process before us; what is asked from now on is meant for this one
        if _size(run) != prepared.journal_bytes:
            raise RunError(
                f"{run} was written to by another process meanwhile: give the same command again"
            )
        records = prepared.records
        asked = {planned.number for planned in plan.trials}
        sweep_file, demands = prepared.file.path.resolve(), None
        if resources.nodes and plan.remaining:
            sweep_file = Path(
                sweep_file.name
            )  # in the folder that came along, where each worker begins
            demands = Demands(
                run.location(), new_token(), versions(), plan.remaining[0].trial.flat(), sweep_file
            )
            resources = replace(resources, device=described(check_hosts(demands, resources)))
        said = _describe(prepared, resources, command)
        if complete := not plan.remaining and asked == {
            record.number for record in records.values() if record.is_requested
        }:
            if run.sweep_json.exists():
                known = run.read_sweep()
                said = replace(said, **{name: getattr(known, name) for name in TRAINED_BY})
        text = said.to_json()
        if complete:
            write_whole(run.sweep_json, text)
            run.publish(run.sweep_json)
            return "complete"
        shown = display(records) if display else contextlib.nullcontext(_ignore)
        with local_ray(resources) if plan.remaining else contextlib.nullcontext(), shown as watch:
            write_whole(run.sweep_json, text)
            run.publish(run.sweep_json)
            try:
                return run_plan(
                    plan,
                    run,
                    records,
                    sweep_file,
                    resources,
                    command=command,
                    watch=watch,
                    limits=limits,
                    demands=demands,
                )
            finally:
                if demands:
                    open_store(demands.place).delete(TOKEN)


def room(prepared: Prepared, resources: Resources) -> None:
    """Raises RunError where the disk has no room for the trials to come; warns where it may come to that."""
    run, remaining = prepared.run, prepared.plan.remaining
    if is_url(run.location()) or not remaining:
        return
    free, largest = shutil.disk_usage(run.path).free, max(disk_of(planned) for planned in remaining)
    if free < LEAST_FREE + largest * resources.slots:
        raise RunError(
            f"{run}: only {free / 1e6:,.0f} MB are free on its disk, and the first trials take {largest * resources.slots / 1e6:,.0f}"
        )
    if free < (whole := disk(prepared.plan, resources.slots)):
        print(
            f"{run}: up to {whole / 1e6:,.0f} MB are needed, and {free / 1e6:,.0f} MB are free on its disk",
            file=sys.stderr,
        )


def outcome(prepared: Prepared, resources: Resources) -> Progress:
    """How the trials that were asked for stand."""
    sweep = prepared.file.sweep
    records = [record for record in prepared.run.records().values() if record.is_requested]
    return progress(records, sweep.metric, sweep.mode, resources.slots)


def _describe(prepared: Prepared, resources: Resources, command: str) -> SweepDescription:
    """sweep.json: what the report, `status` and `best` have to know of the sweep."""
    file, plan, sweep = prepared.file, prepared.plan, prepared.file.sweep
    epochs = max(planned.trial.epochs for planned in plan.trials)
    scheduler = (
        {"name": "asha", **sweep.scheduler.model_dump(), "rungs": plan.rungs}
        if sweep.scheduler
        else None
    )
    return SweepDescription(
        name=prepared.run.name,
        sweep=file.name,
        title=file.title,
        description=file.description,
        file=str(file.path),
        path=str(file.path.resolve()),
        source=file.source,
        metric=sweep.metric,
        mode=sweep.mode,
        budget=prepared.selection.budget,
        overrides=plan.overrides,
        axes=plan.axes,
        base=sweep.base.flat(),
        seeds=plan.sweep.seeds,
        epochs=epochs,
        scheduler=scheduler,
        trials=len(plan.trials),
        space=plan.space_size,
        published=file.published,
        claims=[claim.described() for claim in sweep.claims],
        versions=versions(),
        git_commit=git_commit(file.path.parent) or "",
        device=device_name(resources),
        slots=resources.slots,
        command=command,
    )


def _size(run: RunDir) -> int:
    return run.journal.stat().st_size if run.journal.exists() else 0


__all__ = ["Limits", "Prepared", "Selection", "execute", "outcome", "prepare", "select"]
