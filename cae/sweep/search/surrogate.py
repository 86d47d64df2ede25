"""A Gaussian process that predicts the cost of points from those that were tried.

scikit-learn's regressor with a Matern 5/2 kernel, a length scale per column and noise.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from threadpoolctl import threadpool_limits

from cae.sweep.search.features import Matrix

Vector = npt.NDArray[np.float64]
MAX_FITTED = 150
"""The parameters of the kernel are fitted to at most so many points: a fit takes cubic time."""
MAX_KNOWN = 600
"""Predictions use at most so many points, the best half of them and others in equal distances."""
VARIANCE_BOUNDS = (1e-2, 1e2)
LENGTH_SCALE = 0.5
LENGTH_SCALE_BOUNDS = (0.05, 20.0)
NOISE = 1e-3
NOISE_BOUNDS = (1e-6, 1e-1)


@dataclass(frozen=True)
class Prediction:
    """Costs of points as normal distributions, in standard deviations of the known costs."""

    mean: Vector
    deviation: Vector
    lowest_known: float
    center: float
    scale: float
    """A prediction p is the cost `center + scale * p`."""


def predict(known: Matrix, costs: Vector, pending: Matrix, points: Matrix) -> Prediction:
    """Predict the costs of points.

    On one thread: trials use the other ones, and the same results give the same prediction.

    Args:
        known: Points that were tried, n x columns.
        costs: Their costs, n; not all equal.
        pending: Points that are being tried; each is taken to get the cost that is predicted for
            it, so that the next suggestion is another one.
        points: Points to predict, m x columns.
    """
    largest = float(np.abs(costs).max())  # the square of a huge cost would overflow
    center = float((costs / largest).mean())
    scale = float((costs / largest).std())
    standardized = (costs / largest - center) / scale
    with threadpool_limits(1), warnings.catch_warnings():
        # A length scale at its bound means that a parameter has no effect: that is no problem.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = _subset(standardized, MAX_FITTED)
        process = GaussianProcessRegressor(_kernel(known.shape[1]))
        process.fit(known[fitted], standardized[fitted])
        chosen = _subset(standardized, MAX_KNOWN)
        inputs = known[chosen]
        outputs = standardized[chosen]
        if len(pending):
            expected = process.predict(pending)
            inputs = np.concatenate([inputs, pending])
            outputs = np.concatenate([outputs, expected])
        process = GaussianProcessRegressor(process.kernel_, optimizer=None)
        process.fit(inputs, outputs)
        mean, deviation = process.predict(points, return_std=True)
    return Prediction(mean, deviation, float(standardized.min()), largest * center, largest * scale)


def _kernel(columns: int) -> object:
    scales = np.full(columns, LENGTH_SCALE)
    return ConstantKernel(1.0, VARIANCE_BOUNDS) * Matern(
        scales, LENGTH_SCALE_BOUNDS, nu=2.5
    ) + WhiteKernel(NOISE, NOISE_BOUNDS)


def _subset(costs: Vector, limit: int) -> npt.NDArray[np.intp]:
    """Indices of at most `limit` points: the half with the lowest costs, and others in equal
    distances of their rank."""
    order = np.argsort(costs, kind="stable")
    if len(order) <= limit:
        return np.arange(len(order))
    best = order[: limit // 2]
    others = order[limit // 2 :]
    positions = np.linspace(0, len(others) - 1, limit - len(best)).round().astype(int)
    return np.sort(np.concatenate([best, others[positions]]))
