"""How much of the inputs a linear decoder restores from the latent code."""

from __future__ import annotations

import math

import numpy as np

from cae.trial.latent.declaration import CODE_FLOORS, latent_measure
from cae.trial.latent.sample import TEST_IMAGES, Floats, LatentSample
from cae.trial.metrics import Direction, Metric

FIT_IMAGES = 1_000
PENALTY = 3e-5
"""Of the squared weights, per training image, for codes with a mean squared length of 1: directions
with a smaller share of the code's variance are hardly used."""


@latent_measure(
    Metric(
        "code_explained_variance",
        Direction.MAXIMIZE,
        "share",
        -np.inf,
        1.0,
        "Share of the variance of the network's inputs that a linear map from the latent code "
        "explains: the coefficient of determination R^2 weighted by the variances of the values "
        "(r2_score of scikit-learn with multioutput='variance_weighted'; for principal components "
        "the explained variance ratio). The map is a ridge regression with an intercept and a "
        f"penalty of {PENALTY:g} per image for codes with a mean squared length of 1, fitted to "
        f"at most {FIT_IMAGES:,} training images, on {TEST_IMAGES:,} test images (fewer if there "
        "are fewer). Below 0: worse than the mean image.",
    ),
    floors=CODE_FLOORS,
)
def code_explained_variance(sample: LatentSample) -> dict[str, float]:
    """Constant codes explain nothing: about 0. Not defined for equal or too large inputs."""
    if sample.train_inputs is None or sample.test_inputs is None:
        return {}
    # Images may be in the order of their classes: every second one, not the first half.
    step = math.ceil(len(sample.train_codes) / FIT_IMAGES)
    codes = sample.train_codes[::step]
    code_mean = codes.mean(0, dtype=np.float64).astype(np.float32)
    codes = codes - code_mean
    test_codes = sample.test_codes - code_mean
    mean = sample.train_inputs[::step].mean(0, dtype=np.float64).astype(np.float32)
    inputs = sample.train_inputs[::step] - mean
    test_inputs = sample.test_inputs - mean
    centered = test_inputs - test_inputs.mean(0, dtype=np.float64)
    total = float(np.square(centered).sum())
    if total == 0:
        return {}
    penalty = PENALTY * len(codes)
    # The predictions are weighted sums of the training inputs; these are the weights, M x N.
    if codes.shape[1] <= len(codes):
        weights = test_codes @ _solve(codes.T @ codes, penalty, codes.T)
    else:  # the same weights, from products of the images
        weights = _solve(codes @ codes.T, penalty, codes @ test_codes.T).T
    residual = test_inputs - weights @ inputs
    error = float(np.square(residual, dtype=np.float64).sum())
    return {"code_explained_variance": 1 - error / total}


def _solve(products: Floats, penalty: float, right: Floats) -> Floats:
    """The solution of (products + penalty x identity) x = right, computed in double precision."""
    matrix = products.astype(np.float64)
    matrix[np.diag_indices_from(matrix)] += penalty
    return np.linalg.solve(matrix, right.astype(np.float64)).astype(np.float32)
