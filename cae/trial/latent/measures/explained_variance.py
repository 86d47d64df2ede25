"""How much of the inputs a linear decoder restores from the latent code."""

from __future__ import annotations

import numpy as np

from cae.trial.latent.declaration import CODE_FLOORS, latent_measure
from cae.trial.latent.sample import PAIRWISE_IMAGES, LatentSample
from cae.trial.metrics import Direction, Metric

PENALTY = 1e-3
"""Of the squared weights, per training image, for codes whose values have a mean variance of 1."""


@latent_measure(
    Metric(
        "code_explained_variance",
        Direction.MAXIMIZE,
        "share",
        -np.inf,
        1.0,
        "Share of the variance of the network's inputs that a linear map from the latent code "
        "explains, the coefficient of determination R^2 weighted by the variances of the values "
        "(r2_score of scikit-learn with multioutput='variance_weighted'; for principal components "
        "the explained variance ratio): ridge regression with an intercept and a penalty of "
        f"{PENALTY:g} per image on {PAIRWISE_IMAGES:,} training images, on {PAIRWISE_IMAGES:,} "
        "test images (fewer if there are fewer). Below 0: worse than the mean image.",
    ),
    floors=CODE_FLOORS,
)
def code_explained_variance(sample: LatentSample) -> dict[str, float]:
    """Constant codes explain nothing: about 0. Not defined if all inputs are equal."""
    codes = sample.train_codes[:PAIRWISE_IMAGES].astype(np.float64)
    inputs = sample.train_inputs[:PAIRWISE_IMAGES].astype(np.float64)
    test_codes = sample.pairwise_codes - codes.mean(0)
    test_inputs = sample.pairwise_inputs
    mean = inputs.mean(0)
    codes -= codes.mean(0)
    inputs -= mean
    test_mean = test_inputs.mean(0, dtype=np.float64)
    total = float(np.square(test_inputs - test_mean).sum())
    if total == 0:
        return {}
    penalty = PENALTY * len(codes)
    if codes.shape[1] <= len(codes):
        square = codes.T @ codes
        square[np.diag_indices_from(square)] += penalty
        predictions = test_codes @ np.linalg.solve(square, codes.T @ inputs)
    else:  # the same solution from products of the images
        square = codes @ codes.T
        square[np.diag_indices_from(square)] += penalty
        predictions = (test_codes @ codes.T) @ np.linalg.solve(square, inputs)
    residual = float(np.square(test_inputs - mean - predictions).sum())
    return {"code_explained_variance": 1 - residual / total}
