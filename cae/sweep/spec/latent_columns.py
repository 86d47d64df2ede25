"""Which trials measure a metric of the latent code, and why others do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cae.sweep.spec.claims import Claim
from cae.sweep.spec.sweep import Sweep
from cae.trial.config import Trial
from cae.trial.datasets import Images
from cae.trial.latent.declaration import UNITS_TABLE, latent_metrics, names_with_classes
from cae.trial.latent.declaration import measured_names as names_of_epochs

TURNED_OFF = "latent = False turns off the measures of the latent code"


def reasons_unmeasured(
    name: str, trial: Trial, sizes: Mapping[str, Any], images: Images, sweep: Sweep, *, split: str
) -> list[str]:
    """Why a trial does not measure a metric of the latent code; empty if it does.

    Args:
        name: The metric without the split, or UNITS_TABLE.
        trial: The trial.
        sizes: The sizes of its network.
        images: Those of its data set.
        sweep: The sweep.
        split: `val` or `test`: the images whose codes are compared with those of training images.
    """
    reasons: list[str] = []
    if not sweep.latent:
        reasons.append(TURNED_OFF)
    if not trial.task.measures_latent_code:
        reasons.append(f"task = {trial.task.name!r} has no measures of the latent code")
    if "latent_values" not in sizes:
        reasons.append(f"the networks of {type(trial.arch).__name__} have no encoder")
    if name in names_with_classes():
        compared = (images.train, getattr(images, split))
        classes = {len(np.unique(part.labels)) for part in compared}
        if min(classes) < 2:
            reasons.append(f"the images of {trial.dataset.name} have one class")
    return reasons


def reasons_without_columns(
    claim: Claim, trial: Trial, sizes: Mapping[str, Any], images: Images, sweep: Sweep
) -> list[str]:
    """Why a trial lacks metrics of the latent code that a claim is about; empty if it has all."""
    reasons: dict[str, None] = {}  # an ordered set
    for column in _columns(claim):
        split, name = _latent_metric(column, trial)
        if not name:
            continue
        found = reasons_unmeasured(name, trial, sizes, images, sweep, split=split)
        is_epochs_metric = name in names_of_epochs() and sweep.metric == f"val_{name}"
        if split == "val" and not found and not is_epochs_metric:
            found = ["only the metric of the sweep is measured in epochs"]
        for reason in found:
            reasons[f"{column} is not measured: {reason}"] = None
    return list(reasons)


def is_about_latent_code(claim: Claim, trial: Trial) -> bool:
    """Whether a claim is about a metric of the latent code that such trials measure at their
    end."""
    for column in _columns(claim):
        split, name = _latent_metric(column, trial)
        if name and split == "test":
            return True
    return False


def _columns(claim: Claim) -> list[str]:
    """The columns of trials.csv that a claim is about, and its table."""
    columns: list[str] = []
    for field in ("metric", "other", "left", "right", "axis", "table"):
        value = getattr(claim, field, None)
        if isinstance(value, str):
            columns.append(value)
    return columns


def _latent_metric(column: str, trial: Trial) -> tuple[str, str]:
    """Split and name of a metric of the latent code; an empty name for other columns.

    A task may report metrics of the same names of its own.
    """
    if column == UNITS_TABLE:
        return "test", column
    split, _, name = column.removeprefix("last_").partition("_")
    is_latent = split in ("val", "test") and name in latent_metrics()
    if not is_latent or name in trial.task.declared_metrics():
        return split, ""
    return split, name
