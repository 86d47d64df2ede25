"""Anomaly scores: how well they separate normal from anomalous images, and their threshold.

A score is a number per image; larger means more anomalous. N: images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Scores = NDArray[np.float64]
Flags = NDArray[np.bool_]

LARGEST_SCORE = float(np.finfo(np.float32).max)
"""A score that is not finite is replaced by this: the network failed on the image."""
HISTOGRAM_BINS = 40


def to_scores(values: Tensor) -> Scores:
    """Return scores, N, as doubles on the CPU; those that are not finite are the largest."""
    scores = values.detach().double().cpu().numpy()
    finite: Scores = np.nan_to_num(scores, nan=LARGEST_SCORE, posinf=LARGEST_SCORE)
    return finite


def auroc(is_anomalous: Flags, scores: Scores) -> float:
    """Return the area under the ROC curve: the probability that an anomalous image has a larger
    score than a normal one, ties counted half.

    Both kinds of images have to be present.
    """
    from sklearn.metrics import roc_auc_score  # takes a second to import

    return float(roc_auc_score(is_anomalous, scores))


def average_precision(is_anomalous: Flags, scores: Scores) -> float:
    """Return the average precision, with anomalous images as the positive class: the sum over all
    thresholds of the precision times the increase of the recall.

    There has to be an anomalous image.
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(is_anomalous, scores))


def threshold_of(normal_scores: Scores, quantile: float) -> float:
    """Return the smallest score that at least this share of the normal images does not exceed.

    An image counts as anomalous if its score is larger. `quantile`: in (0, 1).
    """
    # Not numpy.quantile: in floating point, 0.55 times 100 images are more than 55.
    rank = max(1, math.ceil(_exactly(quantile) * len(normal_scores)))
    return float(np.partition(normal_scores, rank - 1)[rank - 1])


def images_needed(quantile: float) -> int:
    """Return how many normal images a threshold needs so that one of them can exceed it."""
    return math.ceil(1 / (1 - _exactly(quantile)))


def _exactly(quantile: float) -> Fraction:
    """The number as it is written: 0.55 is 11/20."""
    return Fraction(str(quantile))


@dataclass(frozen=True)
class Verdicts:
    """What a threshold makes of images whose kind is known."""

    false_positive_rate: float
    """Share of the normal images with a score above the threshold."""
    recall: float
    """Share of the anomalous images with a score above the threshold."""


def judge(is_anomalous: Flags, scores: Scores, threshold: float) -> Verdicts:
    """Return the shares of normal and of anomalous images above a threshold.

    Both kinds of images have to be present.
    """
    is_flagged = scores > threshold
    return Verdicts(
        float(is_flagged[~is_anomalous].mean()),
        float(is_flagged[is_anomalous].mean()),
    )


def histogram(is_anomalous: Flags, scores: Scores) -> list[dict[str, Any]]:
    """Return the numbers of normal and anomalous images in bins of the score, a row per bin.

    The bins have the same width on a logarithmic scale, from the smallest positive score to the
    largest; scores of 0 are in the first one.
    """
    positive = scores[scores > 0]
    if not len(positive) or positive.min() == scores.max():
        edges = np.array([scores.min(), scores.max()])
    else:
        edges = np.geomspace(positive.min(), positive.max(), HISTOGRAM_BINS + 1)
    numbers = np.searchsorted(edges[1:-1], scores, side="right")
    bins = len(edges) - 1
    normal = np.bincount(numbers[~is_anomalous], minlength=bins)
    anomalous = np.bincount(numbers[is_anomalous], minlength=bins)
    rows: list[dict[str, Any]] = []
    for index in range(bins):
        rows.append(
            {
                "from": float(edges[index]),
                "to": float(edges[index + 1]),
                "normal": int(normal[index]),
                "anomalous": int(anomalous[index]),
            }
        )
    return rows
