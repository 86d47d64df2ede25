"""Anomaly scores of rules that need no network: PCA and the nearest training image.

Both use at most MAX_TRAINING_IMAGES, drawn with a fixed seed, and images that are averaged down to
at most MAX_VALUES values. Rules that need scikit-learn import it when they are used.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cae.trial.anomaly_scores import Flags, Scores, auroc
from cae.trial.tasks.base import SplitPairs
from cae.trial.tasks.baselines import BATCH, small, some

MAX_TRAINING_IMAGES = 10_000
MAX_VALUES = 4096
"""32 x 32 color images have 3,072 values."""

Vectors = NDArray[np.float32]
"""N x values."""


_known_aurocs: dict[str, dict[str, float]] = {}
"""Of this process, by a digest of all images: the trials of a sweep share them."""


def baseline_aurocs(
    train: SplitPairs, images: Tensor, is_anomalous: Flags, latent_values: int | None
) -> dict[str, float]:
    """Return `nearest_auroc` and `pca_auroc` of test images, N x C x H x W.

    Without `latent_values`, or if PCA would reconstruct all training images, there is no
    `pca_auroc`.
    """
    training = training_vectors(train)
    tested = vectors_of(images)
    digest = hashlib.blake2b(repr((training.shape, tested.shape, latent_values)).encode())
    for array in (training, tested, is_anomalous):
        digest.update(np.ascontiguousarray(array).data)
    key = digest.hexdigest()
    if key not in _known_aurocs:
        aurocs = {"nearest_auroc": auroc(is_anomalous, nearest_distance(training, tested))}
        if latent_values is not None:
            errors = pca_error(training, tested, latent_values)
            if errors is not None:
                aurocs["pca_auroc"] = auroc(is_anomalous, errors)
        _known_aurocs[key] = aurocs
    return _known_aurocs[key]


def training_vectors(train: SplitPairs) -> Vectors:
    """Return the targets of training images as vectors."""
    chosen = some(train, MAX_TRAINING_IMAGES)
    batches: list[Tensor] = []
    for indices in chosen.split(BATCH):
        batches.append(_flat(train.at(indices)[1]))
    return torch.cat(batches).numpy()


def vectors_of(images: Tensor) -> Vectors:
    """Return images, N x C x H x W, as vectors."""
    batches = [_flat(batch) for batch in images.split(BATCH)]
    return torch.cat(batches).numpy()


def _flat(images: Tensor) -> Tensor:
    return small(images, MAX_VALUES).flatten(1).float().cpu()


def pca_error(train: Vectors, images: Vectors, components: int) -> Scores | None:
    """Return the mean squared error of each image after a projection onto principal components.

    They are those of the training images. None if there are so many that all images are
    reconstructed without an error.
    """
    if components >= min(train.shape):
        return None
    from sklearn.decomposition import PCA

    pca = PCA(components, random_state=0).fit(train)
    scores: list[NDArray[np.float64]] = []
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        reconstructed = pca.inverse_transform(pca.transform(batch))
        scores.append(np.square(batch - reconstructed, dtype=np.float64).mean(1))
    return np.concatenate(scores)


def nearest_distance(train: Vectors, images: Vectors) -> Scores:
    """Return the Euclidean distance of each image from the nearest training image."""
    from sklearn.metrics import pairwise_distances_argmin_min

    _, distances = pairwise_distances_argmin_min(images, train)
    return np.asarray(distances, np.float64)
