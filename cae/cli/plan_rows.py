"""The output of `cae-sweep plan` for programs: the trials as JSON or as rows of CSV."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING, Any

from cae.cli.plan_text import existing_parent, note_lines, planned_state
from cae.run.formatting import format_value

if TYPE_CHECKING:  # these import torch, and `status` has to be quick
    from cae.sweep.engine.session import Prepared
    from cae.sweep.places.base import Resources
    from cae.sweep.spec.cost import Cost
    from cae.sweep.spec.plan import Plan
    from cae.sweep.spec.planned_trial import PlannedTrial


def plan_json(prepared: Prepared, resources: Resources, cost: Cost) -> dict[str, Any]:
    """The plan and what it costs. Times are in seconds, sizes of files in bytes."""
    from cae.sweep.engine.retention import plan_bytes

    plan = prepared.plan
    trials: list[dict[str, Any]] = []
    for planned, seconds in zip(plan.listed, cost.seconds_per_epoch, strict=True):
        trials.append(_trial_json(planned, seconds))
    return {
        "run": prepared.run.location(),
        "title": prepared.file.title,
        "budget": prepared.selection.budget,
        "metric": plan.sweep.metric,
        "mode": plan.mode,
        "trials": trials,
        # Trials that a search chooses while the sweep runs, without those in the list.
        "to_come": len(plan.trials) + plan.to_come - len(trials),
        "slots": resources.slots,
        "seconds": cost.seconds,
        "seconds_without_early_stopping": cost.seconds_without_stopping,
        "timed_networks": cost.probed,
        "disk_bytes": plan_bytes(plan, resources.slots),
        "free_bytes": shutil.disk_usage(existing_parent(prepared.run.path)).free,
        "notes": [*plan.image_notes, *note_lines(plan)],
    }


def _trial_json(planned: PlannedTrial, seconds_per_epoch: float) -> dict[str, Any]:
    state = "new"
    if planned.record is not None:
        state = str(planned.record.state)
    remaining_epochs = 0
    if not planned.finished:
        remaining_epochs = planned.trial.epochs - planned.done_epochs
    return {
        "trial": planned.number,
        "hash": planned.hash,
        "state": state,
        "dependency": planned.is_dependency,
        "epochs": planned.trial.epochs,
        "remaining_epochs": remaining_epochs,
        "seconds_per_epoch": seconds_per_epoch,
        "axes": planned.axes,
        "sizes": planned.sizes,
        "config": planned.trial.flat(),
    }


def csv_rows(plan: Plan, cost: Cost) -> list[dict[str, Any]]:
    """A row per trial, with a column for each parameter and size; lists as in tables."""
    rows: list[dict[str, Any]] = []
    for planned, seconds in zip(plan.listed, cost.seconds_per_epoch, strict=True):
        row: dict[str, Any] = {
            "trial": planned.number,
            "hash": planned.hash,
            "state": planned_state(planned),
            "seconds_per_epoch": None,
        }
        if not math.isnan(seconds):
            row["seconds_per_epoch"] = round(seconds, 3)
        values = planned.trial.flat() | planned.axes | planned.sizes
        for name, value in values.items():
            row[name] = value
            if isinstance(value, list | tuple):
                row[name] = format_value(value)
        rows.append(row)
    return rows
