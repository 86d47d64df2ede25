"""Measures of codes whose values are known, or computed by scikit-learn from the definition."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from cae.trial.latent.declaration import Floor, floor_name, latent_measures, latent_metrics
from cae.trial.latent.floors import measure_sample
from cae.trial.latent.measures.explained_variance import code_explained_variance
from cae.trial.latent.principal_components import principal_axes
from cae.trial.latent.sample import LatentSample, NotMeasurable
from tests.trial.latent.planted_codes import clusters, sample_of, separated

WITH_CLASSES = ("probe_accuracy", "knn_accuracy", "kmeans_nmi", "kmeans_ari", "silhouette")


def random_codes(images: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((images, width)).astype(np.float32)


def test_separated_clusters_are_found_and_read() -> None:
    values = measure_sample(separated())
    for name in ("probe_accuracy", "knn_accuracy", "kmeans_nmi", "kmeans_ari"):
        assert values[name] == pytest.approx(1.0), name
    assert values["silhouette"] > 0.95


def test_codes_without_the_class_are_read_as_well_as_chance() -> None:
    labels = (np.arange(400) % 4, np.arange(800) % 4)
    sample = sample_of(random_codes(400, 5), random_codes(800, 5, seed=1), labels=labels)
    values = measure_sample(sample)
    assert values["probe_accuracy"] == pytest.approx(0.25, abs=0.06)
    assert values["knn_accuracy"] == pytest.approx(0.25, abs=0.06)
    assert values["kmeans_nmi"] < 0.03
    assert abs(values["kmeans_ari"]) < 0.03
    assert abs(values["silhouette"]) < 0.05


@pytest.mark.parametrize("width", [10, 300], ids=["fewer values", "more values than images"])
def test_the_effective_rank_of_codes_with_three_equal_directions_is_three(width: int) -> None:
    directions = np.linalg.qr(random_codes(width, 3))[0]
    factors = np.linalg.qr(random_codes(101, 3) - random_codes(101, 3).mean(0))[0]
    codes = 5 + factors @ directions.T
    values = measure_sample(sample_of(codes, codes))
    assert values["effective_rank"] == pytest.approx(3.0, rel=1e-3)


def test_the_effective_rank_follows_the_definition() -> None:
    codes = random_codes(60, 8) * np.arange(1, 9, dtype=np.float32)
    singular_values = np.linalg.svd(codes - codes.mean(0), compute_uv=False)
    shares = singular_values / singular_values.sum()
    expected = math.exp(-(shares * np.log(shares)).sum())
    values = measure_sample(sample_of(codes, codes))
    assert values["effective_rank"] == pytest.approx(expected, rel=1e-4)


def test_codes_with_the_neighbours_of_the_inputs_are_trustworthy() -> None:
    inputs = random_codes(100, 6)
    rotation = np.linalg.qr(random_codes(6, 6, seed=2))[0]
    sample = sample_of(3 * inputs @ rotation, 3 * inputs @ rotation, inputs=(inputs, inputs))
    assert measure_sample(sample)["trustworthiness"] == pytest.approx(1.0)


@pytest.mark.parametrize("kept", [1, 3, 6])
def test_trustworthiness_is_that_of_scikit_learn(kept: int) -> None:
    from sklearn.manifold import trustworthiness

    inputs = random_codes(120, 8)
    sample = sample_of(inputs[:, :kept], inputs[:, :kept], inputs=(inputs, inputs))
    expected = trustworthiness(inputs, inputs[:, :kept], n_neighbors=10)
    assert measure_sample(sample)["trustworthiness"] == pytest.approx(expected, abs=1e-6)


def test_principal_components_explain_their_share_of_the_variance() -> None:
    scales = np.array([5.0, 3.0, 2.0, 1.0, 0.5, 0.2])
    train = random_codes(900, 6) * scales
    test = random_codes(900, 6, seed=1) * scales
    axes = principal_axes(train.astype(np.float32))
    codes = (train @ axes[:, :2], test @ axes[:, :2])
    values = code_explained_variance(sample_of(*codes, inputs=(train, test)))
    expected = (scales[:2] ** 2).sum() / (scales**2).sum()
    assert values["code_explained_variance"] == pytest.approx(expected, abs=0.02)


def test_the_explained_variance_is_that_of_scikit_learn() -> None:
    """With more values than images, where the products of the images are used, too."""
    from sklearn.linear_model import Ridge
    from sklearn.metrics import r2_score

    for width in (20, 200):
        train_inputs = random_codes(90, 7)
        test_inputs = random_codes(70, 7, seed=1)
        mixing = random_codes(7, width, seed=2)
        noise = random_codes(160, width, seed=3)
        train = train_inputs @ mixing + 4 * noise[:90]
        test = test_inputs @ mixing + 4 * noise[90:]
        train, test = train / 9, test / 9
        sample = sample_of(train, test, inputs=(train_inputs, test_inputs))
        ridge = Ridge(alpha=3e-5 * 90).fit(sample.train_codes, train_inputs)
        predictions = ridge.predict(sample.test_codes)
        expected = r2_score(test_inputs, predictions, multioutput="variance_weighted")
        values = code_explained_variance(sample)
        assert values["code_explained_variance"] == pytest.approx(expected, abs=2e-3), width


def test_active_units_have_a_variance_above_a_hundredth() -> None:
    codes = random_codes(300, 4) * np.array([0.0, 1.0, 0.05, 3.0])
    assert measure_sample(sample_of(codes, codes))["active_units"] == 2


def test_the_probe_is_that_of_a_script_written_apart() -> None:
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    digits, labels = load_digits(return_X_y=True)
    mixing = np.random.default_rng(5).standard_normal((64, 200)) / 8
    codes = np.maximum(digits @ mixing, 0)
    train, test = codes[:1000], codes[1000:]
    sample = sample_of(train, test, labels=(labels[:1000], labels[1000:]))
    center = train.mean(axis=0)
    length = np.sqrt(((train - center) ** 2).sum(axis=1).mean())
    probe = LogisticRegression(max_iter=1000, tol=1e-6)  # converged
    probe.fit((train - center) / length, labels[:1000])
    expected = probe.score((test - center) / length, labels[1000:])
    assert 0.8 < expected < 1
    assert measure_sample(sample)["probe_accuracy"] == pytest.approx(expected, abs=0.005)


def test_neighbours_are_those_of_scikit_learn() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    train, train_labels = clusters(200, spread=5)
    test, test_labels = clusters(150, spread=5, seed=1)
    expected = KNeighborsClassifier(10).fit(train, train_labels).score(test, test_labels)
    sample = sample_of(train, test, labels=(train_labels, test_labels))
    assert 0.4 < expected < 0.95
    assert measure_sample(sample)["knn_accuracy"] == pytest.approx(expected)


def test_of_classes_with_equally_many_neighbours_the_first_one_is_predicted() -> None:
    """As in scikit-learn."""
    train = np.zeros((11, 1), np.float32)
    train[:, 0] = [1, 1, 1, 1, 1, -1, -1, -1, -1, -1, 90]
    train_labels = np.array([7] * 5 + [3] * 5 + [0])
    test = np.zeros((2, 1), np.float32)
    sample = sample_of(train, test, labels=(train_labels, np.array([3, 7])))
    assert measure_sample(sample)["knn_accuracy"] == 0.5


@pytest.mark.parametrize("factor", [1e-15, 1e15])
def test_the_scale_of_the_codes_does_not_matter(factor: float) -> None:
    train, train_labels = clusters(80, spread=4)
    test, test_labels = clusters(60, spread=4, seed=1)
    labels = (train_labels, test_labels)
    inputs = (train, test)
    sample = sample_of(train, test, inputs=inputs, labels=labels)
    scaled = sample_of(train * factor, test * factor, inputs=inputs, labels=labels)
    expected = measure_sample(sample)
    values = measure_sample(scaled)
    for name in set(expected) - {"active_units"}:
        assert values[name] == pytest.approx(expected[name], abs=1e-3), name


def test_a_dead_encoder_has_defined_values_or_none() -> None:
    """All codes equal, but for the rounding errors of float32."""
    labels = (np.arange(60) % 3, np.arange(60) % 3)
    inputs = (random_codes(60, 5), random_codes(60, 5, seed=1))
    codes = np.full((60, 4), 7.0, np.float32)
    codes[::2] = np.nextafter(np.float32(7), np.float32(8))
    values = measure_sample(sample_of(codes, codes, inputs=inputs, labels=labels))
    assert values["effective_rank"] == 0
    assert values["kmeans_nmi"] == 0
    assert values["kmeans_ari"] == 0
    assert values["active_units"] == 0
    assert values["code_explained_variance"] == pytest.approx(0, abs=0.05)
    assert values["probe_accuracy"] == pytest.approx(1 / 3, abs=0.01)
    assert not set(values) & {"knn_accuracy", "silhouette", "trustworthiness"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_codes_that_are_not_finite_are_not_measured(value: float) -> None:
    codes = random_codes(30, 4)
    codes[3, 2] = value
    inputs = (random_codes(30, 5), random_codes(30, 5, seed=1))
    with pytest.raises(NotMeasurable, match="not all finite"):
        sample_of(codes, random_codes(30, 4), inputs=inputs)
    with pytest.raises(NotMeasurable, match="not all finite"):
        sample_of(random_codes(30, 4), codes, inputs=inputs)


def test_images_of_one_class_have_no_accuracy() -> None:
    values = measure_sample(sample_of(random_codes(60, 4), random_codes(60, 4, seed=1)))
    assert not set(values) & set(WITH_CLASSES)
    assert {"effective_rank", "code_explained_variance", "trustworthiness"} <= set(values)


@pytest.mark.parametrize("images", [1, 2, 3, 9])
def test_few_images_give_finite_values_or_none(images: int) -> None:
    labels = (np.arange(images), np.arange(images))
    sample = sample_of(random_codes(images, 3), random_codes(images, 3, seed=1), labels=labels)
    values = measure_sample(sample)
    assert all(math.isfinite(value) for value in values.values())
    assert not set(values) & {"knn_accuracy", "trustworthiness"}


def test_inputs_that_are_too_large_are_not_compared_with_codes() -> None:
    sample: LatentSample = replace(separated(), inputs=None)
    values = measure_sample(sample)
    assert not set(values) & {"code_explained_variance", "trustworthiness"}
    assert values["knn_accuracy"] == 1


def test_values_are_in_the_declared_ranges() -> None:
    metrics = latent_metrics()
    for spread in (0.1, 5.0, 50.0):
        for name, value in measure_sample(separated(spread)).items():
            assert metrics[name].low <= value <= metrics[name].high, name


def test_the_principal_axes_are_orthonormal_and_of_the_largest_variance() -> None:
    for images, width in ((50, 8), (20, 40)):
        inputs = (random_codes(images, width) * np.linspace(3, 0.1, width)).astype(np.float32)
        axes = principal_axes(inputs)
        rank = min(images - 1, width)
        assert axes.shape == (width, rank)
        np.testing.assert_allclose(axes.T @ axes, np.eye(rank), atol=1e-4)
        variances = (inputs @ axes).var(0)
        assert np.all(np.diff(variances) <= 1e-4)


def test_the_page_knows_the_names_of_the_floors() -> None:
    from cae.run.latent_floors import LATENT_FLOORS

    assert {floor_name("", floor) for floor in Floor} == set(LATENT_FLOORS)


def test_every_metric_has_a_direction_and_a_definition() -> None:
    for measure in latent_measures():
        for metric in measure.declared_metrics():
            assert metric.meaning.endswith(".")
            assert metric.low < metric.high
