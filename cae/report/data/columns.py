"""The columns of trials.csv and epochs.csv.

Columns come from the configurations and metrics in the journal; no parameter and no metric is
listed by name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cae.report.data.cells import to_cell
from cae.report.data.results import Run
from cae.run.groups import assign_groups, group_labels
from cae.run.metric_direction import Mode
from cae.run.records import Record

IN_CURRENT_SWEEP = "in_current_sweep"
"""The column that says whether the newest `run` requests a trial."""

PREDICTIONS = {
    "mean": "predicted",
    "low": "predicted_low",
    "high": "predicted_high",
    "expected_improvement": "expected_improvement",
}
"""Columns of what a model expected, by the name in the journal."""

USAGE = ("peak_host_bytes", "peak_gpu_bytes", "gpu_busy")
"""Columns of what a trial used of its host, by the names of TrialEnded, which explain them."""

Cells = dict[str, Any]
"""Cells of one row by the name of their column."""


@dataclass
class TrialRow:
    """The cells of one trial, by groups of columns, in the order of the table.

    If two groups have a column of the same name, the cell of the earlier group counts.
    """

    identity: Cells
    dependents: Cells
    group: Cells
    """The label of the comparability group, if there are several."""
    axes: Cells
    best_epoch: Cells
    """Metrics at the best epoch; empty without one."""
    progress: Cells
    final_evaluation: Cells
    last_epoch: Cells
    sizes: Cells
    config: Cells
    hardware: Cells
    usage: Cells
    """What the trial used of its host; empty if it was not measured."""
    suggestion: Cells
    """Why a search suggested the trial; empty without a search."""
    ending: Cells

    @property
    def groups(self) -> list[Cells]:
        return list(vars(self).values())

    def cells(self) -> Cells:
        """The cells of all groups."""
        cells: Cells = {}
        for group in reversed(self.groups):
            cells.update(group)
        return cells


def trials_table(runs: list[Run], metric: str, mode: Mode) -> pd.DataFrame:
    """Return one row per trial of every run, whatever its state."""
    rows: list[TrialRow] = []
    labels = _group_labels(runs)
    for run in runs:
        dependents = _dependents(run)
        defaults = _varied_defaults(run)
        for record in run.records.values():
            row = trial_row(run.name, record, metric, mode)
            for name, value in defaults.items():
                if name not in record.config and _has_base_component(run, record, name):
                    row.config[name] = to_cell(value)
            if dependents:
                row.dependents["needed_by"] = dependents.get(record.number)
            if labels:
                row.group["group"] = labels[len(rows)]
            rows.append(row)
    if not rows:
        return pd.DataFrame({name: to_column([]) for name in ("run", "trial", "state", "reason")})
    all_cells = [row.cells() for row in rows]
    columns = {}
    for name in _column_names(rows):
        columns[name] = to_column([cells.get(name) for cells in all_cells])
    return pd.DataFrame(columns)


def _varied_defaults(run: Run) -> dict[str, Any]:
    """Return the defaults that configurations leave out, of parameters that some trials set."""
    names: set[str] = set()
    for record in run.records.values():
        names |= {*record.config, *record.axes}
    return {name: value for name, value in run.sweep.defaults.items() if name in names}


def _has_base_component(run: Run, record: Record, name: str) -> bool:
    """Whether a trial has the component of the base trial to which a parameter belongs."""
    kind, _, parameter = name.partition(".")
    return not parameter or record.config.get(kind) == run.sweep.base.get(kind)


def _group_labels(runs: list[Run]) -> list[str | None]:
    """Return the label of each trial's comparability group; empty if there is only one group."""
    records = [record for run in runs for record in run.records.values()]
    groups = assign_groups(records)
    distinct = dict.fromkeys(filter(None, groups))
    if len(distinct) < 2:
        return []
    labels = group_labels(distinct)
    return [None if group is None else labels[group] for group in groups]


def _column_names(rows: list[TrialRow]) -> list[str]:
    """Return the columns of all rows: those of the first group, then those of the next one."""
    names: Cells = {}
    for groups in zip(*[row.groups for row in rows], strict=True):
        for group in groups:
            names.update(group)
    return list(names)


def trial_row(run: str, record: Record, metric: str, mode: Mode) -> TrialRow:
    best = best_epoch(record, metric, mode)
    best_metrics: Cells = {}
    if best is not None:
        best_metrics = dict(record.epochs.get(best, {}))
        best_metrics.pop("seconds", None)  # a column of its own: the sum over all epochs
    last_metrics = record.epochs.get(record.last_epoch, {})
    axes = {}
    for name, value in record.axes.items():
        axes[name] = to_cell(record.config.get(name, value))
    return TrialRow(
        identity={
            "run": run,
            "trial": record.number,
            "state": record.state,
            IN_CURRENT_SWEEP: record.is_requested,
        },
        dependents={},
        group={},
        axes=axes,
        best_epoch=best_metrics,
        progress={
            "best_epoch": best,
            "epochs_done": len(record.epochs),
            "seconds": _training_seconds(record),
        },
        final_evaluation=dict(record.final_metrics_of(best or 0)),
        last_epoch={f"last_{name}": value for name, value in last_metrics.items()},
        sizes={name: to_cell(value) for name, value in record.sizes.items()},
        config={name: to_cell(value) for name, value in record.config.items()},
        hardware=_hardware(record),
        usage=_usage(record),
        suggestion=_suggestion(record),
        ending=_ending(record),
    )


def _training_seconds(record: Record) -> float | None:
    """Return the time spent in epochs; None if it was not measured."""
    seconds = []
    for metrics in record.epochs.values():
        value = metrics.get("seconds", math.nan)
        if math.isfinite(value):
            seconds.append(value)
    if not seconds:
        return None
    return sum(seconds)


def _hardware(record: Record) -> Cells:
    """Return when and where the trial ran; host and device are those of the last start."""
    cells: Cells = {"started": None, "ended": None, "host": None, "device": None}
    if record.starts:
        cells["started"] = utc([record.starts[0].time])[0]
        cells["host"] = record.starts[-1].host or None
        cells["device"] = record.starts[-1].device or None
    if record.end is not None:
        cells["ended"] = utc([record.end.time])[0]
    cells["attempts"] = len(record.starts)
    return cells


def _usage(record: Record) -> Cells:
    """Return what the trial used of its host, in columns that only measured trials have."""
    cells: Cells = {}
    for name in USAGE:
        value = getattr(record.end, name, None)
        if value is not None:
            cells[name] = value
    return cells


def _suggestion(record: Record) -> Cells:
    """What the model of a search expected of the trial, in columns that only searches have."""
    if not record.suggestion:
        return {}
    cells: Cells = {"suggested_by": record.suggestion.get("method")}
    for name, column in PREDICTIONS.items():
        value = record.suggestion.get(name)
        if isinstance(value, int | float):
            cells[column] = value
    return cells


def _ending(record: Record) -> Cells:
    cells: Cells = {"rung": math.nan, "value": math.nan, "cutoff": math.nan, "reason": None}
    if record.end is not None:
        cells["reason"] = record.end.reason
        for name in ("rung", "value", "cutoff"):
            value = getattr(record.end, name)
            if value is not None:
                cells[name] = value
    cells["error"] = None
    error = record.error.strip()
    if error:
        cells["error"] = error.splitlines()[-1].strip()
    cells["hash"] = record.hash
    return cells


def _dependents(run: Run) -> dict[int, str]:
    """Return which trials depend on a trial, as text by its number; empty without dependencies."""
    dependents: dict[int, list[str]] = {}
    for record in run.records.values():
        for number in dict.fromkeys(record.dependencies.values()):
            dependents.setdefault(number, []).append(str(record.number))
    return {number: ", ".join(numbers) for number, numbers in dependents.items()}


def best_epoch(record: Record, metric: str, mode: Mode) -> int | None:
    """Return the best epoch by the metric of the sweep.

    For a trial that does not measure this metric (a dependency), the epoch that its end names.
    """
    best = record.best(metric, mode)
    if best is not None:
        return best.epoch
    if record.end is None or not record.state.is_ranked:
        return None
    return record.end.best_epoch


def epochs_table(runs: list[Run]) -> pd.DataFrame:
    """Return one row per trial and epoch; epochs are counted from 1."""
    run_names: list[str] = []
    trials: list[int] = []
    epochs: list[int] = []
    times: list[float] = []
    rows: list[dict[str, float]] = []
    for run in runs:
        for record in run.records.values():
            for epoch in sorted(record.epochs):
                run_names.append(run.name)
                trials.append(record.number)
                epochs.append(epoch)
                times.append(record.epoch_times[epoch])
                rows.append(record.epochs[epoch])
    metrics: dict[str, float] = {}
    for row in rows:
        metrics.update(row)  # only the names count; `update` is fast with 500,000 rows
    columns: dict[str, Any] = {
        "run": pd.Series(run_names, dtype=object),
        "trial": np.array(trials, dtype=np.int64),
        "epoch": np.array(epochs, dtype=np.int64),
    }
    for name in metrics:
        if name not in ("trial", "epoch"):
            columns[name] = np.array([row.get(name, math.nan) for row in rows], dtype=float)
    columns["ended"] = pd.Series(utc(times), dtype=object)
    return pd.DataFrame(columns)


def utc(times: list[float]) -> list[str]:
    """Convert seconds since the epoch to ISO 8601 in UTC, without fractions of a second."""
    seconds = np.floor(np.array(times, dtype=float)).astype("datetime64[s]")
    return [str(text) for text in np.datetime_as_string(seconds, timezone="UTC")]


def to_column(values: list[Any]) -> pd.Series[Any]:
    """Make a column that keeps every value as it is.

    pandas would turn integers into floats as soon as one is missing. Mixed values stay objects.
    """
    types = {type(value) for value in values if value is not None}
    if types == {int} and all(value is None or abs(value) < 2**63 for value in values):
        if None in values:
            return pd.Series(values, dtype="Int64")
        return pd.Series(values, dtype="int64")
    if types <= {int, float} and float in types:
        return pd.Series(values, dtype=float)
    return pd.Series(values, dtype=object)
