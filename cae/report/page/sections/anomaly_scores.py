"""How well the reconstruction error separates normal from anomalous test images."""

from __future__ import annotations

import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.anomaly_scores import (
    AUROC,
    anomaly_scores_data,
    draw_anomaly_scores,
    scored_trials,
)
from cae.report.page.section import SectionContent, section
from cae.report.page.table import Table, make_table

BASELINES = {
    "test_nearest_auroc": "distance from the nearest training image",
    "test_pca_auroc": "reconstruction error of PCA",
}
"""AUROC of rules that need no network, by metric."""
COLUMNS = {
    AUROC: "AUROC",
    "test_average_precision": "average precision",
    "test_false_positive_rate": "false-positive rate",
    "test_recall": "recall",
    "test_pca_auroc": "AUROC of PCA",
    "test_nearest_auroc": "AUROC of the nearest image",
}


@section(
    "anomaly_scores",
    title="Anomaly scores",
    order=145,
    figures=[Figure("anomaly_scores", anomaly_scores_data, draw_anomaly_scores)],
)
def anomaly_scores_section(results: Results) -> SectionContent:
    trials = scored_trials(results)
    if not len(trials):
        return SectionContent(
            verdict="No finished trial detects anomalies.", is_empty=True, is_left_out=True
        )
    captions: dict[str, str] = {}
    if len(anomaly_scores_data(results).bins):
        label = results.labels[trials.index[0]]
        captions["anomaly_scores"] = (
            f"Scores of normal and anomalous test images of the best finished trial ({label})"
        )
    return SectionContent(
        verdict=_verdict(results, trials),
        method=(
            "The score of an image is its reconstruction error. AUROC is the probability that an "
            "anomalous test image has a larger score than a normal one: 0.5 is chance. The "
            "threshold is a quantile of the scores of the validation images, which are all "
            "normal; the false-positive rate and the recall are those of the test images with a "
            "score above it. PCA has as many components as the latent code has values."
        ),
        captions=captions,
        tables=[_table(results, trials)],
    )


def _verdict(results: Results, trials: pd.DataFrame) -> str:
    best = trials.iloc[0]
    sentences = [
        f"The AUROC of the best finished trial ({results.labels[trials.index[0]]}) is "
        f"{formatting.number(best[AUROC])}."
    ]
    known = [name for name in BASELINES if name in trials and pd.notna(best[name])]
    if not known:
        return sentences[0]
    rules = [f"{BASELINES[name]}: {formatting.number(best[name])}" for name in known]
    sentences.append(f"Without a network: {'; '.join(rules)}.")
    is_better = trials[AUROC].astype(float) > trials[known].astype(float).max(axis=1)
    if is_better.all():
        sentences.append("Every finished trial is better than these rules.")
    elif is_better.any():
        count = int(is_better.sum())
        sentences.append(f"{count} of {len(trials)} finished trials are better than these rules.")
    else:
        sentences.append("No finished trial is better than the best of these rules.")
    return formatting.sentences(sentences)


def _table(results: Results, trials: pd.DataFrame) -> Table:
    frame = pd.DataFrame({"trial": results.labels[trials.index]})
    for name, title in COLUMNS.items():
        if name in trials:
            frame[title] = trials[name].astype(float)
    return make_table("Anomaly detection on the test images", frame)
