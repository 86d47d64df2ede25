"""Anomaly scores: areas under curves, thresholds and histograms with known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from cae.trial import anomaly_scores
from cae.trial.contrast import contrast, contrast_range, normalize_contrast, restore_contrast


def test_auroc_and_average_precision_are_those_of_their_definitions() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 30, 400) / 30  # with ties
    is_anomalous = random.random(400) < 0.3
    pairs = scores[is_anomalous][:, None] - scores[~is_anomalous][None]
    probability = (pairs > 0).mean() + 0.5 * (pairs == 0).mean()
    assert anomaly_scores.auroc(is_anomalous, scores) == pytest.approx(probability, abs=1e-12)
    area = 0.0
    recall_before = 0.0
    for threshold in sorted(set(scores), reverse=True):
        is_flagged = scores >= threshold
        recall = is_anomalous[is_flagged].sum() / is_anomalous.sum()
        area += (recall - recall_before) * is_anomalous[is_flagged].mean()
        recall_before = recall
    measured = anomaly_scores.average_precision(is_anomalous, scores)
    assert measured == pytest.approx(area, abs=1e-12)
    assert abs(measured - average_precision_score(is_anomalous, scores)) <= 1e-12
    measured = anomaly_scores.auroc(is_anomalous, scores)
    assert abs(measured - roc_auc_score(is_anomalous, scores)) <= 1e-12


def test_scores_that_are_not_finite_are_the_most_anomalous() -> None:
    scores = anomaly_scores.to_scores(torch.tensor([0.5, float("nan"), float("inf"), 1e30]))
    assert np.isfinite(scores).all()
    assert scores[1] == scores[2] == scores.max() > scores[3]


@pytest.mark.parametrize(("quantile", "expected"), [(0.95, 19.0), (0.5, 10.0), (0.951, 20.0)])
def test_the_threshold_is_the_smallest_score_that_the_share_does_not_exceed(
    quantile: float, expected: float
) -> None:
    scores = np.arange(20, 0, -1.0)
    threshold = anomaly_scores.threshold_of(scores, quantile)
    assert threshold == expected
    assert (scores <= threshold).mean() >= quantile


@pytest.mark.parametrize(("quantile", "images"), [(0.55, 100), (0.07, 100), (0.95, 10_000)])
def test_the_rank_of_the_threshold_is_exact(quantile: float, images: int) -> None:
    """Regression: 0.55 of 100 images were 56, because 0.55 * 100 is above 55 in floating point."""
    scores = np.arange(1.0, images + 1)
    np.random.default_rng(0).shuffle(scores)
    assert anomaly_scores.threshold_of(scores, quantile) == round(quantile * images)


@pytest.mark.parametrize(("quantile", "needed"), [(0.95, 20), (0.9, 10), (0.5, 2), (0.99, 100)])
def test_a_threshold_needs_so_many_images_that_one_can_exceed_it(
    quantile: float, needed: int
) -> None:
    assert anomaly_scores.images_needed(quantile) == needed
    scores = np.arange(needed, dtype=np.float64)
    assert (scores > anomaly_scores.threshold_of(scores, quantile)).sum() >= 1


def test_an_image_at_the_threshold_is_not_flagged() -> None:
    is_anomalous = np.array([False, False, True, True, True])
    scores = np.array([1.0, 3.0, 2.0, 2.5, 1.0])
    verdicts = anomaly_scores.judge(is_anomalous, scores, 2.0)
    assert verdicts == anomaly_scores.Verdicts(false_positive_rate=0.5, recall=1 / 3)


def test_the_histogram_counts_every_image_once() -> None:
    random = np.random.default_rng(1)
    scores = np.concatenate([random.lognormal(size=300), [0.0]])
    is_anomalous = random.random(301) < 0.5
    rows = anomaly_scores.histogram(is_anomalous, scores)
    assert len(rows) == anomaly_scores.HISTOGRAM_BINS
    assert sum(row["normal"] for row in rows) == (~is_anomalous).sum()
    assert sum(row["anomalous"] for row in rows) == is_anomalous.sum()
    inner = rows[20]
    is_inside = (scores >= inner["from"]) & (scores < inner["to"])
    assert inner["normal"] + inner["anomalous"] == is_inside.sum() > 0


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_equal_scores_are_one_bin(value: float) -> None:
    (row,) = anomaly_scores.histogram(np.array([True, False, False]), np.full(3, value))
    assert row == {"from": value, "to": value, "normal": 2, "anomalous": 1}


def test_contrast_has_mean_0_and_mean_absolute_value_1_whatever_the_scale_of_the_pixels() -> None:
    images = torch.rand(5, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    images[4] = 0.7
    normalized = contrast(images)
    assert normalized.mean((1, 2, 3)).abs().max() < 1e-6
    assert torch.allclose(normalized[:4].abs().mean((1, 2, 3)), torch.ones(4), atol=1e-6)
    assert normalized[4].abs().max() == 0
    assert torch.allclose(contrast(images[:4] * 40 + 7), normalized[:4], atol=1e-4)


def test_normalized_contrast_is_restored_with_the_mean_and_the_contrast_of_each_image() -> None:
    images = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    images[1] = images[1] * 0.1 + 0.6
    images[3] = 0.7
    limits = (-2.0, 5.0)
    restored = restore_contrast(normalize_contrast(images, limits), images, limits)
    torch.testing.assert_close(restored, images)
    halved = restore_contrast(normalize_contrast(images, limits) * 0.5, images, limits)
    torch.testing.assert_close(halved[3], images[3])  # of one color
    contrasts = contrast(images[:3]) * 0.5 + limits[0] * 0.5
    scales = (images[:3] - images[:3].mean((1, 2, 3), keepdim=True)).abs().mean((1, 2, 3))
    means = images[:3].mean((1, 2, 3))
    expected = contrasts * scales.view(3, 1, 1, 1) + means.view(3, 1, 1, 1)
    torch.testing.assert_close(halved[:3], expected)


def test_the_contrast_range_of_images_becomes_0_and_1() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 1, 5, 5)).astype(np.uint8)
    limits = contrast_range(pixels)
    images = torch.from_numpy(pixels).float() / 255
    normalized = normalize_contrast(images, limits)
    assert normalized.min().item() == pytest.approx(0, abs=1e-6)
    assert normalized.max().item() == pytest.approx(1, abs=1e-6)
