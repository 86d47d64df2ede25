"""Histogram of the anomaly scores of normal and anomalous test images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cae.report.data.results import Results
from cae.report.page.figures import style
from cae.run.trial_state import TrialState

AUROC = "test_auroc"
THRESHOLD = "test_threshold"
TABLE = "score_histogram"
COLUMNS = {"from", "to", "normal", "anomalous"}


@dataclass(frozen=True)
class AnomalyScoresData:
    bins: pd.DataFrame
    """Columns of COLUMNS: the edges of each bin, and the numbers of images; empty if unknown."""
    threshold: float
    """NaN if unknown."""


def scored_trials(results: Results) -> pd.DataFrame:
    """The finished trials with an AUROC, the best one by the metric of the sweep first."""
    if AUROC not in results.ranked:
        return results.ranked.iloc[:0]
    finished = results.ranked[results.ranked["state"] == TrialState.FINISHED]
    return finished[finished[AUROC].notna()]


def anomaly_scores_data(results: Results) -> AnomalyScoresData:
    """The scores of the best trial whose histogram is known."""
    for _, trial in scored_trials(results).iterrows():
        record = results.record(trial["run"], trial["trial"])
        rows: list[dict[str, Any]] = record.final_tables.get(TABLE, [])
        bins = pd.DataFrame(rows)
        if len(bins) and set(bins) >= COLUMNS:
            threshold = float(trial.get(THRESHOLD, math.nan))
            return AnomalyScoresData(bins, threshold)
    return AnomalyScoresData(pd.DataFrame(columns=sorted(COLUMNS)), math.nan)


def draw_anomaly_scores(data: AnomalyScoresData) -> go.Figure:
    """Draw the share of each kind of image in each bin of the score, with the threshold."""
    figure = go.Figure()
    edges = np.append(data.bins["from"].to_numpy(float), data.bins["to"].to_numpy(float)[-1:])
    for kind, color in (("normal", style.ACCENT), ("anomalous", style.SECOND_ACCENT)):
        counts = data.bins[kind].to_numpy(float)
        shares = 100 * counts / max(1.0, counts.sum())
        figure.add_scatter(
            x=style.compact(edges),
            y=style.compact(np.append(shares, shares[-1:])),
            name=f"{kind} ({int(counts.sum()):,} test images)",
            mode="lines",
            line={"shape": "hv", "width": 2, "color": color},
            fill="tozeroy",
            hovertemplate="%{y:.1f} % from a score of %{x:.3g}<extra></extra>",
        )
    if math.isfinite(data.threshold):
        figure.add_vline(
            x=data.threshold,
            line={"width": 1.5, "dash": "dash", "color": style.MUTED},
            annotation_text="threshold",
        )
    axis = style.value_axis("anomaly score", edges)
    figure.update_xaxes(**axis)
    figure.update_yaxes(title="share of the images, %", rangemode="tozero")
    return style.set_layout(figure, height=320)
