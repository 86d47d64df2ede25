"""One `cae-sweep run` or `plan` command: from its arguments to a run, step by step."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cae.errors import RunError, UserError, gather
from cae.files import write_whole
from cae.run.events import Notice
from cae.run.json_values import JsonObject
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.selection import Condition, parse_conditions
from cae.run.status import Progress, progress
from cae.run.storage import is_url, run_at
from cae.run.sweep_json import SweepDescription
from cae.run.trial_state import TrialState
from cae.sweep.engine.known_run import (
    LOST_WEIGHTS,
    UNMEASURED_LATENT,
    all_axes,
    check_journal,
    find_lost_checkpoints,
    find_lost_weights,
    find_unmeasured_latent,
    known_sweep,
    lost_sweep_json,
)
from cae.sweep.engine.limits import DEFAULT_LIMITS, MIN_FREE_BYTES, Limits
from cae.sweep.engine.retention import plan_bytes, trial_bytes
from cae.sweep.engine.sweep_stops import NO_RULES, StopRules
from cae.sweep.places.base import Place, Resources
from cae.sweep.places.machine import git_commit, versions
from cae.sweep.ray_environment import is_inside_ray_job
from cae.sweep.spec.candidates import check_names
from cae.sweep.spec.code_snapshot import take_snapshot
from cae.sweep.spec.declared_sweep import declared_file
from cae.sweep.spec.plan import Plan, make_plan
from cae.sweep.spec.settings import adapt_settings, base_values, parse_value
from cae.sweep.spec.sweep import Sweep
from cae.sweep.spec.sweep_file import SweepFile, read_sweep_file
from cae.trial.datasets import Dataset, Images, data_folders, load_images
from cae.trial.messages import ConfigError

Display = Callable[[dict[int, Record], int], AbstractContextManager[Callable[[Notice], None]]]
"""Opens a view of a running sweep, such as the live table, from its records and number of slots.
The view is called with each event, when the sweep is stopped, and with None from time to time."""

COMPLETE = "complete"
"""Why a session ends if nothing is left to train."""
KEPT_IN_SWEEP_JSON = ("command", "git_commit", "versions", "device", "slots", "session_end")
"""What sweep.json keeps if a later command trains nothing: it describes how the numbers were
made."""
RETRYABLE_STATES = [state for state in TrialState if state.is_retryable]


@dataclass(frozen=True)
class Selection:
    """Which trials of a sweep, on which images, in which folder."""

    sweep: Path
    out: str | Path | None
    budget: str
    settings: Mapping[str, Any]
    """Overrides of the sweep file by dotted name (`--set`)."""
    max_trials: int | None
    data_dir: Path | None
    retry: tuple[TrialState, ...] = ()
    retries_lost_weights: bool = False
    """Whether finished trials are trained again if their best weights are missing."""
    measures_latent: bool = False
    """Whether finished trials without measures of the latent code are measured."""
    where: tuple[Condition, ...] = ()
    """Only trials that meet all these conditions are trained."""
    strict: bool = False
    """Whether impossible combinations are errors."""


def select(
    sweep: Path,
    out: str | Path | None,
    budget: str,
    pairs: list[str] | None,
    max_trials: int | None,
    data_dir: Path | None,
    retry: str,
    *,
    where: Sequence[str] | None = None,
    strict: bool = False,
) -> Selection:
    """A selection from command-line arguments. Raises ConfigError with every error.

    Args:
        pairs: KEY=VALUE; see `parse_value` for the forms of a value.
        retry: States separated by commas.
        where: KEY=VALUE, a value that a trial needs.
        strict: Impossible combinations are errors instead of being left out.
    """
    errors: list[str] = []
    names = [name for name in retry.split(",") if name]
    others = (LOST_WEIGHTS, UNMEASURED_LATENT)
    allowed = [*RETRYABLE_STATES, *others]
    unknown = [name for name in names if name not in allowed]
    if unknown:
        errors.append(f"--retry {','.join(unknown)}: should be {', '.join(allowed)}")
    settings: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            errors.append(f"--set {pair}: should be KEY=VALUE")
        settings[key] = parse_value(value)
    conditions: list[Condition] = []
    try:
        conditions = parse_conditions(where or ())
    except UserError as error:
        errors += error.messages
    if errors:
        raise ConfigError(errors)
    states = tuple(TrialState(name) for name in names if name not in others)
    return Selection(
        sweep=sweep,
        out=out,
        budget=budget,
        settings=settings,
        max_trials=max_trials,
        data_dir=data_dir,
        retry=states,
        retries_lost_weights=LOST_WEIGHTS in names,
        measures_latent=UNMEASURED_LATENT in names,
        where=tuple(conditions),
        strict=strict,
    )


@dataclass(frozen=True)
class Prepared:
    """A sweep file that was read and planned against the run that exists."""

    file: SweepFile
    plan: Plan
    run: RunDir
    selection: Selection
    records: dict[int, Record]
    journal_bytes: int
    """Size of the journal when the records were read."""


def prepare(
    selection: Selection, declared: Sweep | None = None, *, is_for_run: bool = False
) -> Prepared:
    """Read the sweep file and the run, and plan the trials.

    Writes nothing. Raises UserError with everything that is wrong.

    Args:
        selection: The trials.
        declared: A sweep that is declared in no file; `selection.sweep` is then only its name.
        is_for_run: Whether the sweep is to be run: if another process runs it, that is an error
            before the images are read.
    """
    if declared is None:
        file = read_sweep_file(selection.sweep)
    else:
        file = declared_file(declared, selection.sweep)
    run = _open_run(file, selection)
    if is_for_run:
        run.check_unused()
    folders = data_folders(selection.data_dir)

    def load(dataset: Dataset) -> Images:
        return load_images(dataset, folders, [file.path.resolve().parent])

    journal_bytes = _journal_bytes(run)
    records = run.records()
    check_journal(run, records)
    known = known_sweep(run)
    old_source = ""
    if known is not None:
        old_source = known.source
    problem = lost_sweep_json(run)
    if problem:
        print(problem, file=sys.stderr)

    def plan_trials() -> Plan:
        if not file.is_base_valid:
            check_names(file.sweep, selection.budget, selection.settings)
            raise ConfigError([])  # what else is wrong may follow from the errors of the file
        base = base_values(selection.settings, file.sweep.base)
        return make_plan(
            file.sweep,
            load,
            budget=selection.budget,
            settings=adapt_settings(selection.settings, base),
            max_trials=selection.max_trials,
            where=selection.where,
            records=records,
            retry=selection.retry,
            old_source=old_source,
            strict=selection.strict,
        )

    _, plan = gather(lambda: _raise_errors(file.errors), plan_trials)
    _check_metric(run, plan, known)
    plan = replace(plan, code=take_snapshot(file))
    plan = find_lost_weights(run, plan, retry=selection.retries_lost_weights)
    plan = find_unmeasured_latent(run, plan, retry=selection.measures_latent)
    plan = find_lost_checkpoints(run, plan)
    return Prepared(file, plan, run, selection, records, journal_bytes)


def _open_run(file: SweepFile, selection: Selection) -> RunDir:
    """The run's folder. Raises RunError if it belongs to another sweep."""
    name = file.name
    if selection.budget != "full":
        name = f"{file.name}-{selection.budget}"
    run = run_at(selection.out or Path("runs") / name)
    if run.path.exists() and not run.path.is_dir():
        raise RunError(f"--out {run} is not a folder")
    run.check_files()
    known = known_sweep(run)
    if known is not None and known.sweep:
        _check_owner(run, known, file)
    return run


def _check_owner(run: RunDir, known: SweepDescription, file: SweepFile) -> None:
    """Raise RunError if the run belongs to another sweep file.

    A sweep file that was moved or copied with its run is the same one, and so is a copy with the
    same content.
    """
    if known.sweep != file.name:
        raise RunError(
            f"{run} contains a run of another sweep, {known.sweep}: choose another --out"
        )
    if not known.path or is_inside_ray_job() or known.source == file.source:
        return
    owner = Path(known.path)
    if not owner.exists() or owner.samefile(file.path):
        return
    if known.relative_path and known.relative_path == _relative_path(run, file.path):
        return
    raise RunError(
        f"{run} belongs to another sweep file, {owner}, and not to {file.path}: "
        "choose another --out, or rename the file"
    )


def _check_metric(run: RunDir, plan: Plan, known: SweepDescription | None) -> None:
    """Raise RunError if the run ranks its trials by another metric or direction."""
    if known is None or not known.metric:
        return
    if (known.metric, known.mode) != (plan.sweep.metric, plan.mode):
        raise RunError(
            f"{run} ranks by {known.metric} ({known.mode}), and its weights are the best by it; "
            f"this sweep ranks by {plan.sweep.metric} ({plan.mode}): choose another --out"
        )


def _raise_errors(errors: list[str]) -> None:
    if errors:
        raise ConfigError(errors)


def _ignore(message: object = None) -> None:
    """Does nothing with an event, or a reason."""


def execute(
    prepared: Prepared,
    place: Place,
    *,
    command: str,
    display: Display | None = None,
    before_start: Callable[[], None] = _ignore,
    before_exit: Callable[[str], None] = _ignore,
    limits: Limits = DEFAULT_LIMITS,
    rules: StopRules = NO_RULES,
) -> str:
    """Run a prepared sweep. Returns why it ended: COMPLETE, or what interrupted it.

    Args:
        prepared: The sweep and its plan.
        place: Where trials run.
        command: The command, for sweep.json.
        display: Shows the running sweep.
        before_start: Called before Ray is started for trials, when this process holds the run.
        before_exit: Called with the reason if this process has to end itself, because Ray is dead.
        limits: When a trial counts as hung, and when the sweep is aborted.
        rules: What ends the sweep although trials remain, besides the rules of the sweep file.
    """
    sweep = prepared.plan.sweep
    rules = replace(rules, target=sweep.target, plateau=sweep.plateau)
    run = prepared.run
    with run.lock():
        # Requests to an earlier process are void; those from now on are for this one.
        run.clear_requests()
        if _journal_bytes(run) != prepared.journal_bytes:
            raise RunError(
                f"{run} was written to by another process meanwhile: run the same command again"
            )
        sweep_file = prepared.file.path
        has_work = prepared.plan.has_work
        if has_work:
            before_start()
        with place.connect(sweep_file, start=has_work) as resources:
            check_disk_space(prepared, resources)
            hint = resources.idle_gpus_hint()
            if hint and has_work:
                print(hint, file=sys.stderr)
            if _is_complete(prepared):
                _update_sweep_json(prepared, resources, command)
                return COMPLETE
            return _run_trials(
                prepared, place, resources, command, display, before_exit, limits, rules
            )


def _is_complete(prepared: Prepared) -> bool:
    """Whether nothing is left to train and the run requests the same trials as before."""
    requested_now = {planned.number for planned in prepared.plan.trials}
    records = prepared.records.values()
    requested_before = {record.number for record in records if record.is_requested}
    return not prepared.plan.has_work and requested_now == requested_before


def _update_sweep_json(prepared: Prepared, resources: Resources, command: str) -> None:
    description = _describe(prepared, resources, command)
    known = known_sweep(prepared.run)
    if known is not None:
        kept = {name: getattr(known, name) for name in KEPT_IN_SWEEP_JSON}
        description = replace(description, **kept)
    _write_sweep_json(prepared.run, description)


def _run_trials(
    prepared: Prepared,
    place: Place,
    resources: Resources,
    command: str,
    display: Display | None,
    before_exit: Callable[[str], None],
    limits: Limits,
    rules: StopRules,
) -> str:
    from cae.sweep.engine.runner import run_plan  # imports ray.tune, which no error above needs

    run = prepared.run
    checked = place.check_hosts(run, prepared.plan, prepared.file.path, resources)
    try:
        run.publish(*prepared.plan.code.write(run.code / prepared.plan.code.name))
        _write_sweep_json(run, _describe(prepared, checked.resources, command))
        view: AbstractContextManager[Callable[[Notice], None]]
        view = contextlib.nullcontext(_ignore)
        if display is not None:
            view = display(prepared.records, checked.resources.slots)
        with view as watch:
            reason = run_plan(
                prepared.plan,
                run,
                prepared.records,
                place,
                checked,
                command=command,
                watch=watch,
                before_exit=before_exit,
                limits=limits,
                rules=rules,
            )
        _write_sweep_json(run, _describe(prepared, checked.resources, command, session_end=reason))
        return reason
    finally:
        place.release_hosts(checked)


def check_disk_space(prepared: Prepared, resources: Resources) -> None:
    """Raise RunError if the disk is too small for the next trials; warn if it may become full."""
    run = prepared.run
    remaining = prepared.plan.remaining
    if is_url(run.location()) or not remaining:
        return
    free = shutil.disk_usage(run.path).free
    first_trials = max(map(trial_bytes, remaining)) * resources.slots
    if free < MIN_FREE_BYTES + first_trials:
        raise RunError(
            f"{run}: only {free / 1e6:,.0f} MB are free on its disk; "
            f"the first trials need {first_trials / 1e6:,.0f} MB"
        )
    needed = plan_bytes(prepared.plan, resources.slots)
    if free < needed:
        print(
            f"{run}: up to {needed / 1e6:,.0f} MB are needed, "
            f"and {free / 1e6:,.0f} MB are free on its disk",
            file=sys.stderr,
        )


def outcome(run: RunDir) -> Progress:
    """The progress of the current sweep, and the best trial of the run."""
    sweep = run.read_sweep()
    return progress(
        run.records().values(),
        sweep.metric,
        sweep.mode,
        sweep.slots,
        sweep.trials_with_suggestions,
    )


def _describe(
    prepared: Prepared, resources: Resources, command: str, *, session_end: str = ""
) -> SweepDescription:
    """What the report and other commands need to know about the sweep."""
    file = prepared.file
    plan = prepared.plan
    sweep = file.sweep
    scheduler = None
    if sweep.scheduler is not None:
        scheduler = sweep.scheduler.describe(plan.epochs)
    path = str(file.path.resolve())
    if is_inside_ray_job():
        path = ""
    return SweepDescription(
        name=prepared.run.name,
        sweep=file.name,
        title=file.title,
        description=file.description,
        file=file.argument or str(file.path),
        path=path,
        relative_path=_relative_path(prepared.run, file.path),
        source=file.source,
        metric=sweep.metric,
        mode=plan.mode,
        directions=plan.directions,
        untrained_metrics=plan.untrained_metrics,
        budget=prepared.selection.budget,
        overrides=plan.overrides,
        axes=all_axes(plan, prepared.records, known_sweep(prepared.run)),
        base=sweep.base.flat(),
        defaults=sweep.base.later_defaults(),
        seeds=plan.sweep.seeds,
        epochs=plan.epochs,
        scheduler=scheduler,
        patience=sweep.patience,
        worst_value=sweep.worst_value,
        trials=len(plan.trials) + plan.to_come,
        search=_describe_search(plan.sweep),
        space=plan.space_size,
        left_out=plan.left_out,
        examined=plan.examined,
        published=file.published,
        claims=[claim.described() for claim in sweep.claims],
        image_notes=plan.image_notes,
        versions=versions(),
        git_commit=git_commit(file.path.parent),
        device=resources.device,
        slots=resources.slots,
        command=command,
        session_end=session_end,
    )


def _describe_search(sweep: Sweep) -> JsonObject | None:
    if sweep.search is None:
        return None
    return sweep.search.describe()


def _relative_path(run: RunDir, file: Path) -> str:
    """The path of a sweep file from the folder of its run; empty for a run in a bucket."""
    if is_url(run.location()):
        return ""
    return os.path.relpath(file.resolve(), run.path.resolve())


def _write_sweep_json(run: RunDir, description: SweepDescription) -> None:
    """Write sweep.json; fields of a newer version stay in it."""
    known = known_sweep(run)
    if known is not None:
        description = replace(description, unknown_fields=known.unknown_fields)
    write_whole(run.sweep_json, description.to_json())
    run.publish(run.sweep_json)


def _journal_bytes(run: RunDir) -> int:
    if not run.journal.exists():
        return 0
    return run.journal.stat().st_size
