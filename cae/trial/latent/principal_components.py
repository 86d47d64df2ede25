"""Principal components of the inputs: the code that needs no training and has the smallest squared
error of a linear one.

N: training images of the sample, M: its test images, P: values of an input, R: their rank.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cae.trial.latent.distances import Floats

SMALLEST_EIGENVALUE = 1e-9
"""Directions whose variance is a smaller share of the largest one are not used."""


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """The components of training inputs, that with the largest variance first."""

    mean: Floats
    """P."""
    axes: Floats
    """P x R."""
    train_codes: Floats
    """N x R."""
    test_codes: Floats
    """M x R."""

    @classmethod
    def fit(cls, train: Floats, test: Floats) -> PrincipalComponents:
        """Fit them to training inputs, N x P, and apply them to test inputs, M x P, too."""
        axes = principal_axes(train)
        mean = train.mean(0, dtype=np.float64).astype(np.float32)
        return cls(mean, axes, (train - mean) @ axes, (test - mean) @ axes)

    @property
    def rank(self) -> int:
        return int(self.axes.shape[1])

    def codes(self, count: int) -> tuple[Floats, Floats]:
        """Copies of the first `count` components of training and test inputs."""
        return self.train_codes[:, :count].copy(), self.test_codes[:, :count].copy()

    def decode(self, test_images: slice, count: int) -> Floats:
        """The test inputs restored from their first `count` components."""
        return self.mean + self.test_codes[test_images, :count] @ self.axes[:, :count].T


def principal_axes(inputs: Floats) -> Floats:
    """Return the orthonormal axes of N inputs with P values, P x R; R is their rank.

    From the smaller one of the covariance matrix and the matrix of products of the images, in
    double precision.
    """
    centered = inputs - inputs.mean(0, dtype=np.float64)
    images, values = centered.shape
    product = centered @ centered.T
    if values <= images:
        product = centered.T @ centered
    eigenvalues, vectors = np.linalg.eigh(product)
    order = np.argsort(eigenvalues)[::-1]
    used = order[eigenvalues[order] > SMALLEST_EIGENVALUE * max(eigenvalues.max(), 0.0)]
    axes = vectors[:, used]
    if values > images:
        axes = (centered.T @ axes) / np.sqrt(eigenvalues[used])
    return axes.astype(np.float32)
