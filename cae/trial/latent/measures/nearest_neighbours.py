"""Whether the nearest codes are of images of the same class."""

from __future__ import annotations

import numpy as np

from cae.trial.latent.declaration import latent_measure
from cae.trial.latent.distances import nearest, row_squares
from cae.trial.latent.sample import TEST_IMAGES, TRAIN_IMAGES, LatentSample
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
    if sample.is_constant or len(sample.train_codes) < NEIGHBOURS:
        return {}
    # Squared distances, but for the square of the test image, which does not change the order.
    distances = row_squares(sample.train_codes) - 2.0 * sample.cross_products.astype(np.float64)
    classes, class_numbers = np.unique(sample.train_labels, return_inverse=True)
    votes = class_numbers[nearest(distances, NEIGHBOURS)]
    counts = np.zeros((len(votes), len(classes)), np.int64)
    for neighbour in votes.T:
        counts[np.arange(len(votes)), neighbour] += 1
    predictions = classes[counts.argmax(1)]  # of equal counts the smallest class number
    return {"knn_accuracy": float(np.mean(predictions == sample.test_labels))}
