"""Whether the codes form clusters, and whether these are the classes."""

from __future__ import annotations

import warnings

import numpy as np

from cae.trial.latent.declaration import latent_measure
from cae.trial.latent.sample import TEST_IMAGES, LatentSample
from cae.trial.metrics import Direction, Metric, share_metric

STARTS = 1
MAX_ITERATIONS = 100
SEED = 0

CLUSTERS = (
    f"between the classes and the clusters of scikit-learn's KMeans (as many as classes, n_init="
    f"{STARTS}, max_iter={MAX_ITERATIONS}, random_state={SEED}) of the latent codes of "
    f"{TEST_IMAGES:,} test images (fewer if there are fewer)"
)


@latent_measure(
    share_metric(
        "kmeans_nmi",
        Direction.MAXIMIZE,
        f"Normalized mutual information (arithmetic mean) {CLUSTERS}.",
    ),
    Metric(
        "kmeans_ari",
        Direction.MAXIMIZE,
        "",
        -0.5,
        1.0,
        f"Adjusted Rand index {CLUSTERS}; 0: chance.",
    ),
    needs_classes=True,
)
def kmeans_agreement(sample: LatentSample) -> dict[str, float]:
    """Constant codes are one cluster, which agrees with the classes as well as chance: 0."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    labels = sample.test_labels
    classes = len(np.unique(labels))
    if classes < 2:
        return {}
    if sample.is_constant:
        return {"kmeans_nmi": 0.0, "kmeans_ari": 0.0}
    kmeans = KMeans(classes, n_init=STARTS, max_iter=MAX_ITERATIONS, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer different codes than clusters
        clusters = kmeans.fit_predict(sample.test_codes)
    return {
        "kmeans_nmi": float(normalized_mutual_info_score(labels, clusters)),
        "kmeans_ari": float(adjusted_rand_score(labels, clusters)),
    }


@latent_measure(
    Metric(
        "silhouette",
        Direction.MAXIMIZE,
        "",
        -1.0,
        1.0,
        "Mean silhouette coefficient of the classes (Euclidean distance; 1: apart from one "
        f"another, 0: overlapping) in the latent codes of {TEST_IMAGES:,} test images (fewer "
        "if there are fewer).",
    ),
    needs_classes=True,
)
def silhouette(sample: LatentSample) -> dict[str, float]:
    """Not defined for constant codes, and if each image is of another class."""
    from sklearn.metrics import silhouette_score

    classes = len(np.unique(sample.test_labels))
    if sample.is_constant or not 2 <= classes < len(sample.test_labels):
        return {}
    value = silhouette_score(sample.test_distances, sample.test_labels, metric="precomputed")
    return {"silhouette": float(value)}
