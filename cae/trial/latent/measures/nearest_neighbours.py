"""Whether the nearest codes are of images of the same class."""

from __future__ import annotations

import numpy as np

from cae.trial.latent.declaration import latent_measure
from cae.trial.latent.sample import TEST_IMAGES, TRAIN_IMAGES, LatentSample, euclidean
from cae.trial.metrics import Direction, share_metric

NEIGHBOURS = 10


@latent_measure(
    share_metric(
        "knn_accuracy",
        Direction.MAXIMIZE,
        f"Accuracy of the majority of the {NEIGHBOURS} nearest neighbours by Euclidean distance: "
        "scikit-learn's KNeighborsClassifier with the latent codes of "
        f"{TRAIN_IMAGES:,} training images (fewer if there are fewer), on those of "
        f"{TEST_IMAGES:,} test images.",
    ),
    needs_classes=True,
)
def knn_accuracy(sample: LatentSample) -> dict[str, float]:
    """Not defined for constant codes, all equally near, and for fewer than NEIGHBOURS images."""
    from sklearn.neighbors import KNeighborsClassifier

    if sample.is_constant or len(sample.train_codes) < NEIGHBOURS:
        return {}
    known = len(sample.train_codes)
    classifier = KNeighborsClassifier(NEIGHBOURS, metric="precomputed", n_jobs=1)
    classifier.fit(np.zeros((known, known)), sample.train_labels)  # only distances are used later
    predictions = classifier.predict(euclidean(sample.test_codes, sample.train_codes))
    return {"knn_accuracy": float(np.mean(predictions == sample.test_labels))}
