"""A Gaussian process that predicts the costs of points from the costs of others.

It is scikit-learn's regressor with a Matern 5/2 kernel, a length scale per column, and noise.
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
"""The parameters of the kernel are fitted to at most this many points: a fit takes cubic time."""
MAX_KNOWN = 600
"""Predictions use at most this many points (see `_subset`)."""
# The kernel's parameters at the start of the fit and their bounds, for standardized costs and
# features between 0 and 1.
VARIANCE_BOUNDS = (1e-2, 1e2)
LENGTH_SCALE = 0.5
LENGTH_SCALE_BOUNDS = (0.05, 20.0)
NOISE = 1e-3
NOISE_BOUNDS = (1e-6, 1e-1)


@dataclass(frozen=True)
class Prediction:
    """Normal distributions of the costs of m points, as standardized costs.

    The standardized cost p stands for the cost `center + scale * p`.
    """

    mean: Vector
    """Of each point, m."""
    deviation: Vector
    """Standard deviation of each point, m."""
    lowest_known: float
    """The lowest standardized cost of the points that were tried."""
    center: float
    """Mean of the known costs."""
    scale: float
    """Standard deviation of the known costs."""


def predict(known: Matrix, costs: Vector, pending: Matrix, points: Matrix) -> Prediction:
    """Predict the costs of points.

    It uses one thread: trials use the others, and the same input gives the same bits.

    Args:
        known: Points that were tried, n x columns.
        costs: Their costs, n; not all equal.
        pending: Points whose cost is not known yet, k x columns. They count as known with their
            predicted cost, so that a point near them is not suggested, too.
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
    """Indices of at most `limit` points, ascending.

    Half of them have the lowest costs; the others are equally spaced in the order of the costs.
    """
    order = np.argsort(costs, kind="stable")
    if len(order) <= limit:
        return np.arange(len(order))
    best = order[: limit // 2]
    others = order[limit // 2 :]
    positions = np.linspace(0, len(others) - 1, limit - len(best)).round().astype(int)
    return np.sort(np.concatenate([best, others[positions]]))
