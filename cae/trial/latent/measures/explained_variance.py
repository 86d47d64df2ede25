"""How much of the inputs a linear decoder restores from the latent code."""

from __future__ import annotations

import numpy as np

from cae.trial.latent.declaration import CODE_FLOORS, latent_measure
from cae.trial.latent.distances import Doubles, Floats, centered_products
from cae.trial.latent.input_summary import FIT_IMAGES, fit_step
from cae.trial.latent.sample import TEST_IMAGES, LatentSample
from cae.trial.metrics import Direction, Metric

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
    inputs = sample.inputs
    if inputs is None or inputs.variation == 0:
        return {}
    # The predictions are weighted sums of the training inputs; these are the weights, M x F.
    if sample.train_codes.shape[1] <= len(inputs.products):
        weights = _weights_from_values(sample)
    else:
        weights = _weights_from_images(sample)
    # |Y - W X|^2 = |Y|^2 - 2 <W, Y X'> + <W X X', W>, with the products of the inputs.
    predicted = weights @ inputs.products
    error = inputs.squares + _inner(predicted, weights) - 2 * _inner(weights, inputs.cross_products)
    return {"code_explained_variance": 1 - max(error, 0.0) / inputs.variation}


def _weights_from_values(sample: LatentSample) -> Floats:
    """The weights, from the products of the values of the code."""
    codes = sample.train_codes[:: fit_step(len(sample.train_codes))]
    mean = codes.mean(0, dtype=np.float64).astype(np.float32)
    codes = codes - mean
    products = (codes.T @ codes).astype(np.float64)
    weights: Floats = (sample.test_codes - mean) @ _solve(products, len(codes), codes.T)
    return weights


def _weights_from_images(sample: LatentSample) -> Floats:
    """The same weights, from the products of the images."""
    step = fit_step(len(sample.train_codes))
    codes = sample.train_codes[::step]
    products = codes @ codes.T
    cross_products = sample.cross_products[:, ::step].astype(np.float64)
    # Both centered at the mean of these codes.
    means = products.mean(0, dtype=np.float64)
    cross_products += means.mean() - means - cross_products.mean(1, keepdims=True)
    return _solve(centered_products(products), len(codes), cross_products.T).T


def _solve(products: Doubles, images: int, right: Floats | Doubles) -> Floats:
    """The solution of (products + penalty x identity) x = right, in double precision."""
    from scipy.linalg import cho_factor, cho_solve

    products[np.diag_indices_from(products)] += PENALTY * images
    factor = cho_factor(products, lower=True, overwrite_a=True, check_finite=False)
    solution: Floats = cho_solve(factor, right, check_finite=False).astype(np.float32)
    return solution


def _inner(first: Floats, second: Floats) -> float:
    """The sum of the products of all values."""
    return float(np.einsum("ij,ij->i", first, second).sum(dtype=np.float64))
