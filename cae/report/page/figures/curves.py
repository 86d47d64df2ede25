"""Learning curves of the sweep's metric, and of the same quantity on the training images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data.tables import KEY, Results
from cae.report.page.figures import style

MOST_LINES = 100
"""Up to so many trials each has its own line; beyond, the best `TOP` stand before a band of quantiles over all."""
TOP = 20


class Curves(NamedTuple):
    metrics: list[str]
    """The sweep's metric, then its twin on the training images where there is one."""
    lines: pd.DataFrame
    """label, rank (0 the best; NaN unranked), state, reason, epoch, and the metrics: the trials that get a line of their own."""
    band: pd.DataFrame
    """epoch, and per metric `low`, `middle`, `high`: the 10 %, 50 % and 90 % quantiles over all trials; empty for few trials."""
    trials: int


def curves_data(results: Results) -> Curves:
    epochs = results.epochs
    apart = [
        (run.name, number)
        for run in results.runs
        for number, record in run.records.items()
        if record.is_dependency
    ]
    epochs = epochs[
        ~pd.MultiIndex.from_frame(epochs[KEY]).isin(apart)
    ]  # what only others need has a loss of another kind
    metrics = [name for name in (results.metric, twin(results.metric)) if name in epochs]
    ranks = pd.Series(
        np.arange(len(results.ranked), dtype=float), index=results.ranked.index
    ).reindex(results.trials.index)
    trials = results.trials[[*KEY, "state", "reason"]].assign(
        label=results.labels, rank=ranks, index=results.trials.index
    )
    shown = int(epochs[KEY].drop_duplicates().shape[0])
    if shown <= MOST_LINES:
        return Curves(metrics, _lines(epochs, trials, metrics), pd.DataFrame(), shown)
    finite = epochs.replace([np.inf, -np.inf], np.nan).groupby("epoch")[metrics]
    parts = [
        finite.quantile(level).add_suffix(name)
        for level, name in ((0.1, " low"), (0.5, " middle"), (0.9, " high"))
    ]
    best = trials[trials["rank"] < TOP]
    return Curves(
        metrics, _lines(epochs, best, metrics), pd.concat(parts, axis=1).reset_index(), shown
    )


def twin(metric: str) -> str:
    """val_loss -> train_loss."""
    return "train_" + metric.split("_", 1)[-1]


def _lines(epochs: pd.DataFrame, trials: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    lines = epochs[[*KEY, "epoch", *metrics]].merge(trials, on=KEY)
    return lines.sort_values(
        ["rank", *KEY, "epoch"],
        ascending=[False, True, True, True],
        na_position="first",
        kind="stable",
    )


def curves_figure(data: Curves) -> go.Figure:
    figure = go.Figure()
    panels = max(1, len(data.metrics))
    values = data.lines[data.metrics].to_numpy(dtype=float).ravel()
    for panel, metric in enumerate(data.metrics):
        suffix = str(panel + 1) if panel else ""
        axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        _band(figure, data.band, metric, axes, legend=panel == 0)
        for _, line in data.lines.groupby([*KEY], sort=False):
            _line(figure, line, metric, axes, len(data.lines[KEY].drop_duplicates()))
        _ends(figure, data.lines, metric, axes, legend=panel == 0)
        figure.update_layout(
            {
                f"yaxis{suffix}": {
                    **style.value_axis(metric, values),
                    **({"matches": "y"} if panel else {}),
                }
            }
        )
        figure.update_layout(
            {
                f"xaxis{suffix}": {
                    "title": {"text": "epoch"},
                    "dtick": 1 if _last(data) <= 12 else None,
                    "range": _epochs(data),
                }
            }
        )
    return style.layout(figure, height=420, panels=panels, columns=2)


def _last(data: Curves) -> int:
    return int(data.lines["epoch"].max()) if len(data.lines) else 0


def _epochs(data: Curves) -> list[float]:
    """The range of the x axis, with room for the marks at both ends."""
    room = 0.03 * max(1, _last(data))
    return [1 - room if _last(data) > 1 else 0.5, _last(data) + (room if _last(data) > 1 else 0.5)]


def _line(
    figure: go.Figure, line: pd.DataFrame, metric: str, axes: dict[str, str], lines: int
) -> None:
    """The better the trial, the stronger its line."""
    rank = line["rank"].iloc[0]
    colour = (
        style.colours(np.array([min(1.0, rank / max(1, lines - 1))]))[0]
        if np.isfinite(rank)
        else style.MUTED
    )
    figure.add_scatter(
        x=style.small(line["epoch"]),
        y=style.small(line[metric]),
        mode="lines" if len(line) > 1 else "markers",
        showlegend=False,
        line={"width": 2.5 if rank == 0 else 1.2, "color": style.ACCENT if rank == 0 else colour},
        marker={"size": 5, "color": colour},
        opacity=1.0 if rank == 0 else 0.75,
        hovertemplate="%{text}, epoch %{x}: %{y:.4g}<extra></extra>",
        text=[_name(line)] * len(line),
        customdata=[int(index) for index in line["index"]],
        **axes,
    )


def _name(line: pd.DataFrame) -> str:
    rank = line["rank"].iloc[0]
    return style.escaped(
        line["label"].iloc[0]
        + (f", number {int(rank) + 1} of the ranking" if np.isfinite(rank) else ""),
        60,
    )


def _ends(
    figure: go.Figure, lines: pd.DataFrame, metric: str, axes: dict[str, str], *, legend: bool
) -> None:
    """A mark where a trial was ended before its last epoch, with the reason on hover; at its last finite value."""
    ended = lines[
        lines["state"].isin(("stopped", "diverged", "failed", "oom", "killed"))
        & np.isfinite(lines[metric].astype(float))
    ]
    last = ended.sort_values("epoch", kind="stable").groupby(KEY, sort=False).tail(1)
    for state in last["state"].unique():
        some = last[last["state"] == state]
        figure.add_scatter(
            x=style.small(some["epoch"]),
            y=style.small(some[metric]),
            mode="markers",
            name=state,
            legendgroup=state,
            showlegend=legend,
            marker=style.state_marker(state),
            hoverinfo="text",
            customdata=[int(index) for index in some["index"]],
            text=[
                style.escaped(
                    f"{row.label} {row.state}: {formatting.short(str(row.reason), 110)}", 160
                )
                for row in some.itertuples()
            ],
            **axes,
        )


def _band(
    figure: go.Figure, band: pd.DataFrame, metric: str, axes: dict[str, str], *, legend: bool
) -> None:
    if not len(band):
        return
    x, edge = style.small(band["epoch"]), {"width": 0, "color": style.MUTED}
    common = {"x": x, "mode": "lines", "hoverinfo": "skip", **axes}
    figure.add_scatter(y=style.small(band[f"{metric} high"]), line=edge, showlegend=False, **common)
    figure.add_scatter(
        y=style.small(band[f"{metric} low"]),
        line=edge,
        fill="tonexty",
        fillcolor="rgba(138,148,160,0.25)",
        name="80 % of all trials",
        showlegend=legend,
        **common,
    )
    middle = {"width": 1.5, "dash": "dot", "color": style.MUTED}
    figure.add_scatter(
        y=style.small(band[f"{metric} middle"]),
        line=middle,
        name="median of all trials",
        showlegend=legend,
        **common,
    )
