"""Learning curves of the sweep's metric, and of the same metric on the training images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data.results import TRIAL_KEY, Results
from cae.report.page.figures import style
from cae.run.trial_state import TrialState

MAX_LINES = 100
"""Up to this many trials each have a line. Of more, the best `TOP` are drawn over a band."""
TOP = 20
QUANTILES = {"low": 0.1, "middle": 0.5, "high": 0.9}
"""Edges and middle of the band over all trials."""
ENDED_EARLY = [
    TrialState.STOPPED,
    TrialState.DIVERGED,
    TrialState.FAILED,
    TrialState.OUT_OF_MEMORY,
    TrialState.KILLED,
]


@dataclass(frozen=True)
class CurvesData:
    metrics: list[str]
    """The sweep's metric, then the same metric on the training images if it was measured."""
    lines: pd.DataFrame
    """The trials that have a line, one row per epoch: label, rank (0 is the best, NaN is
    unranked), state, reason, index (in the table of trials), epoch, and the metrics."""
    band: pd.DataFrame
    """epoch, and for each metric and each of `QUANTILES` a column "METRIC QUANTILE" over all
    trials; empty if every trial has a line."""
    trials: int

    @property
    def last_epoch(self) -> int:
        if not len(self.lines):
            return 0
        return int(self.lines["epoch"].max())


def curves_data(results: Results) -> CurvesData:
    epochs = _epochs_without_dependencies(results)
    candidates = dict.fromkeys([results.metric, training_metric(results.metric)])
    metrics = [name for name in candidates if name in epochs]
    ranks = pd.Series(np.arange(len(results.ranked), dtype=float), index=results.ranked.index)
    trials = results.trials[[*TRIAL_KEY, "state", "reason"]].assign(
        label=results.labels,
        rank=ranks.reindex(results.trials.index),
        index=results.trials.index,
    )
    count = len(epochs[TRIAL_KEY].drop_duplicates())
    if count <= MAX_LINES:
        return CurvesData(metrics, _lines(epochs, trials, metrics), pd.DataFrame(), count)
    best = trials[trials["rank"] < TOP]
    return CurvesData(metrics, _lines(epochs, best, metrics), _band(epochs, metrics), count)


def training_metric(metric: str) -> str:
    """Return the name of a metric on the training images: train_loss for val_loss."""
    return "train_" + metric.split("_", 1)[-1]


def _epochs_without_dependencies(results: Results) -> pd.DataFrame:
    """Leave out trials that only other trials depend on: their loss is another one."""
    dependencies = []
    for run in results.runs:
        for number, record in run.records.items():
            if record.is_dependency:
                dependencies.append((run.name, number))
    keys = pd.MultiIndex.from_frame(results.epochs[TRIAL_KEY])
    return results.epochs[~keys.isin(dependencies)]


def _lines(epochs: pd.DataFrame, trials: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """Return the epochs of some trials, unranked trials first and the best trial last."""
    lines = epochs[[*TRIAL_KEY, "epoch", *metrics]].merge(trials, on=TRIAL_KEY)
    return lines.sort_values(
        ["rank", *TRIAL_KEY, "epoch"],
        ascending=[False, True, True, True],
        na_position="first",
        kind="stable",
    )


def _band(epochs: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    groups = epochs.replace([np.inf, -np.inf], np.nan).groupby("epoch")[metrics]
    quantiles = [groups.quantile(level).add_suffix(f" {name}") for name, level in QUANTILES.items()]
    return pd.concat(quantiles, axis=1).reset_index()


def draw_curves(data: CurvesData) -> go.Figure:
    figure = go.Figure()
    values = data.lines[data.metrics].to_numpy(dtype=float).ravel()
    for panel, metric in enumerate(data.metrics):
        if len(data.band):
            _draw_band(figure, data.band, metric, panel)
        _draw_lines(figure, data.lines, metric, panel)
        _draw_early_ends(figure, data.lines, metric, panel)
        value_axis = style.value_axis(metric, values)
        style.set_panel_layout(figure, panel, _epoch_axis(data.last_epoch), value_axis)
    panels = max(1, len(data.metrics))
    return style.set_layout(figure, height=420, panels=panels, columns=2)


def _epoch_axis(last_epoch: int) -> dict[str, object]:
    """Return the x axis, with a margin for the markers at both ends."""
    margin = 0.5
    if last_epoch > 1:
        margin = 0.03 * last_epoch
    tick_distance = None
    if last_epoch <= 12:
        tick_distance = 1
    return {
        "title": {"text": "epoch"},
        "dtick": tick_distance,
        "range": [1 - margin, last_epoch + margin],
    }


def _draw_lines(figure: go.Figure, lines: pd.DataFrame, metric: str, panel: int) -> None:
    """Draw one line per trial: the best in the accent color, the others paler by rank."""
    count = len(lines[TRIAL_KEY].drop_duplicates())
    for _, line in lines.groupby(TRIAL_KEY, sort=False):
        rank = float(line["rank"].iloc[0])
        width = 1.2
        opacity = 0.75
        color = style.MUTED
        if math.isfinite(rank):
            position = min(1.0, rank / max(1, count - 1))
            color = style.gradient(np.array([position]))[0]
        line_color = color
        if rank == 0:
            width = 2.5
            opacity = 1.0
            line_color = style.ACCENT
        mode = "lines"
        if len(line) == 1:
            mode = "markers"
        figure.add_scatter(
            x=style.compact(line["epoch"]),
            y=style.compact(line[metric]),
            mode=mode,
            showlegend=False,
            line={"width": width, "color": line_color},
            marker={"size": 5, "color": color},
            opacity=opacity,
            hovertemplate="%{text}, epoch %{x}: %{y:.4g}<extra></extra>",
            text=[_line_name(line["label"].iloc[0], rank)] * len(line),
            customdata=[int(index) for index in line["index"]],
            **style.panel_axes(panel),
        )


def _line_name(label: str, rank: float) -> str:
    if math.isfinite(rank):
        label = f"{label}, rank {int(rank) + 1}"
    return style.escaped(label, 60)


def _draw_early_ends(figure: go.Figure, lines: pd.DataFrame, metric: str, panel: int) -> None:
    """Mark the last finite value of trials that ended before their last epoch, with the reason."""
    is_finite = np.isfinite(lines[metric].astype(float))
    ended = lines[lines["state"].isin(ENDED_EARLY) & is_finite]
    last = ended.sort_values("epoch", kind="stable").groupby(TRIAL_KEY, sort=False).tail(1)
    for state, group in style.groups_by_state(last):
        texts = []
        for row in formatting.rows(group):
            reason = formatting.short(str(row.reason), 110)
            texts.append(style.escaped(f"{row.label} {row.state}: {reason}", 160))
        figure.add_scatter(
            x=style.compact(group["epoch"]),
            y=style.compact(group[metric]),
            mode="markers",
            name=state,
            legendgroup=state,
            showlegend=panel == 0,
            marker=style.state_marker(state),
            hoverinfo="text",
            customdata=[int(index) for index in group["index"]],
            text=texts,
            **style.panel_axes(panel),
        )


def _draw_band(figure: go.Figure, band: pd.DataFrame, metric: str, panel: int) -> None:
    """Draw the quantiles over all trials: the edges, filled between, and the median."""
    edge = {"width": 0, "color": style.MUTED}
    shared = {
        "x": style.compact(band["epoch"]),
        "mode": "lines",
        "hoverinfo": "skip",
        **style.panel_axes(panel),
    }
    figure.add_scatter(
        y=style.compact(band[f"{metric} high"]), line=edge, showlegend=False, **shared
    )
    figure.add_scatter(
        y=style.compact(band[f"{metric} low"]),
        line=edge,
        fill="tonexty",
        fillcolor="rgba(138,148,160,0.25)",
        name="80 % of all trials",
        showlegend=panel == 0,
        **shared,
    )
    figure.add_scatter(
        y=style.compact(band[f"{metric} middle"]),
        line={"width": 1.5, "dash": "dot", "color": style.MUTED},
        name="median of all trials",
        showlegend=panel == 0,
        **shared,
    )
