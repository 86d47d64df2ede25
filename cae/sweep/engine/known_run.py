"""What is known about the run that a sweep continues, also after some of its files were lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from cae.errors import RunError
from cae.run.json_values import JsonObject
from cae.run.metric_direction import Mode
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.sweep_json import LostSweepJson, SweepDescription
from cae.run.trial_state import TrialState
from cae.sweep.spec.plan import Plan
from cae.sweep.spec.planned_trial import PlannedTrial
from cae.trial.checkpoint import BEST, LAST, PREVIOUS

LOST_WEIGHTS = "lost-weights"
"""For --retry: finished trials whose best weights are missing."""
UNMEASURED_LATENT = "latent"
"""For --retry: finished trials whose latent code was not measured."""
ALWAYS_MEASURED = "test_effective_rank"
"""A measure that every latent code has; no task reports it."""


def known_sweep(run: RunDir) -> SweepDescription | None:
    """The sweep.json of a run; None if there is no run yet.

    If it is missing or damaged: what the journal says about the sweep. Other fields are empty, and
    so are the name, metric and mode in journals of older versions.
    """
    if not run.exists():
        return None
    try:
        return run.read_sweep()
    except LostSweepJson:
        return _sweep_of_journal(run)


def lost_sweep_json(run: RunDir) -> str:
    """What is wrong with the sweep.json of a run, in words; empty if it is there or not needed."""
    if not run.exists():
        return ""
    try:
        run.read_sweep()
    except LostSweepJson as error:
        return str(error)
    return ""


def _sweep_of_journal(run: RunDir) -> SweepDescription | None:
    session = run.last_session()
    if session is None:
        return None
    records = run.records()
    device = ""
    for record in records.values():
        if record.starts:
            device = record.starts[-1].device
    mode: Mode = "min"
    if session.mode == "max":
        mode = "max"
    return SweepDescription(
        sweep=session.sweep,
        metric=session.metric,
        mode=mode,
        command=session.command,
        versions=session.versions,
        slots=session.slots or 1,
        device=device,
        host=session.host,
        axes=_axes_of(records),
    )


def _axes_of(records: Mapping[int, Record]) -> dict[str, JsonObject]:
    """The axes along which the trials of a run vary, with the values that trials have."""
    axes: dict[str, JsonObject] = {}
    for record in records.values():
        for name, value in record.axes.items():
            values = axes.setdefault(name, {"values": []})["values"]
            if value not in values:
                values.append(value)
    return axes


def all_axes(
    plan: Plan, records: Mapping[int, Record], known: SweepDescription | None
) -> dict[str, JsonObject]:
    """The axes of the search space, and those along which trials of earlier sweeps vary.

    `known`: the sweep.json of the run.
    """
    axes = dict(plan.axes)
    if known is None:
        return axes
    used = {name for record in records.values() for name in record.axes}
    for name, earlier in known.axes.items():
        if name not in axes and name in used:
            axes[name] = earlier
        elif name in axes:
            axes[name] = _union(axes[name], earlier)
    return axes


def _union(axis: JsonObject, earlier: JsonObject) -> JsonObject:
    """An axis with the values, or the interval, of an earlier sweep too."""
    united = dict(axis)
    values = axis.get("values")
    earlier_values = earlier.get("values")
    if values and earlier_values:
        united["values"] = values + [value for value in earlier_values if value not in values]
    for bound, choose in (("low", min), ("high", max)):
        if axis.get(bound) is not None and earlier.get(bound) is not None:
            united[bound] = choose(axis[bound], earlier[bound])
    return united


def check_journal(run: RunDir, records: Mapping[int, Record]) -> None:
    """Raise RunError if the journal has lost the lines that define trials which were trained."""
    messages: list[str] = []
    for number in run.undefined_trials(records):
        messages.append(
            f"{run.journal} is damaged: the line that defines trial {number} cannot be read; "
            f"restore the journal from a copy, or move {run.trial(number)} away: the configuration "
            "is then trained again, as a new trial"
        )
    if messages:
        raise RunError(messages)


def find_lost_weights(run: RunDir, plan: Plan, *, retry: bool) -> Plan:
    """The plan with the finished trials whose best weights are missing.

    `retry`: whether they are trained again.
    """
    finished: list[int] = []
    for planned in plan.trials:
        record = planned.record
        if record is None or record.state != TrialState.FINISHED:
            continue
        if record.end is not None and record.end.best_epoch:
            finished.append(planned.number)
    if not finished:
        return plan
    present = run.trials_with(BEST)
    lost = [number for number in finished if number not in present]
    if retry:
        plan = _with_retried(plan, lost)
    return replace(plan, lost_weights=lost)


def find_unmeasured_latent(run: RunDir, plan: Plan, *, retry: bool) -> Plan:
    """The plan with the finished trials whose latent code can still be measured.

    They were trained with latent=False, or by an older version, and have their checkpoints.

    `retry`: whether they are measured: their epochs are restored, and their final evaluation is
    repeated.
    """
    if not plan.sweep.latent:
        return plan
    unmeasured: list[int] = []
    for planned in plan.trials:
        record = planned.record
        if record is None or record.state != TrialState.FINISHED or not planned.finished:
            continue
        if "latent_values" not in planned.sizes or not planned.trial.latent_metrics():
            continue
        if record.final_metrics and ALWAYS_MEASURED not in record.final_metrics:
            unmeasured.append(planned.number)
    if not unmeasured:
        return plan
    present = run.trials_with(BEST) & (run.trials_with(LAST) | run.trials_with(PREVIOUS))
    unmeasured = [number for number in unmeasured if number in present]
    if retry:
        plan = _with_retried(plan, unmeasured)
    return replace(plan, unmeasured_latent=unmeasured)


def _with_retried(plan: Plan, numbers: Collection[int]) -> Plan:
    """The plan in which these trials are requested again, if its conditions choose them."""
    trials: list[PlannedTrial] = []
    for planned in plan.trials:
        is_retried = planned.number in numbers and not planned.is_kept
        trials.append(replace(planned, retry=planned.retry or is_retried))
    return replace(plan, trials=trials)


def find_lost_checkpoints(run: RunDir, plan: Plan) -> Plan:
    """The plan with the trials that start again, because their last checkpoints are missing."""
    resumed = [trial.number for trial in plan.remaining if trial.done_epochs]
    if not resumed:
        return plan
    present = run.trials_with(LAST) | run.trials_with(PREVIOUS)
    lost = {number for number in resumed if number not in present}
    trials = [replace(planned, starts_again=planned.number in lost) for planned in plan.trials]
    return replace(plan, trials=trials)
