"""The codes of a sample of images: what a measure of the latent code receives.

The images are the same for all trials with the same data. N: training images of the sample, M: its
test images, D: values of the latent code, P: values of an input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Labels = NDArray[np.int64]

TRAIN_IMAGES = 2_000
"""Training images of the sample at most: a fixed random choice, in their order."""
TEST_IMAGES = 1_000
"""Test images of the sample at most."""
MAX_BYTES = 2**29
"""Codes or inputs of the sample that need more are not measured."""
CONSTANT_SHARE = 1e-6
"""Codes whose standard deviation is below this share of their largest value are constant: such
differences are rounding errors of float32."""


class NotMeasurable(ValueError):
    """Codes of which nothing can be measured; the message is the reason."""


@dataclass(frozen=True, eq=False)
class LatentSample:
    """Codes of training and test images, with the inputs that were encoded and their classes.

    The codes are standardized together (see `scaled_sample`): centered, and divided by one number,
    so that their mean squared length is 1. Values are not divided by their own deviations, which
    would make the noise of a principal component as large as the signal of another, and the
    results would depend on how a code is rotated.
    """

    train_codes: Floats
    """N x D."""
    test_codes: Floats
    """M x D."""
    train_inputs: Floats | None
    """N x P; None if they are too large (MAX_BYTES)."""
    test_inputs: Floats | None
    """M x P."""
    train_labels: Labels
    """N class numbers."""
    test_labels: Labels
    """M class numbers."""
    variances: Doubles
    """D variances over the test images, of the codes as the encoder returns them."""
    is_constant: bool
    """Whether all codes are equal: the encoder is dead."""

    @cached_property
    def has_classes(self) -> bool:
        """Whether training and test images are of at least two classes each."""
        return len(np.unique(self.train_labels)) > 1 and len(np.unique(self.test_labels)) > 1

    @cached_property
    def test_distances(self) -> Doubles:
        """The Euclidean distances between the codes of the test images, M x M."""
        return own_distances(self.test_codes)


def scaled_sample(
    train_codes: Floats,
    test_codes: Floats,
    train_inputs: Floats | None,
    test_inputs: Floats | None,
    train_labels: Labels,
    test_labels: Labels,
    variances: Doubles | None = None,
) -> LatentSample:
    """Return the sample with its codes standardized together, in the memory of the arguments.

    Mean and length are those of the training codes. `variances`: see LatentSample; by default
    those of the test images of the sample. Raises NotMeasurable if codes are not finite.
    """
    largest = float(max(train_codes.max(), -train_codes.min(), test_codes.max(), -test_codes.min()))
    total = float(train_codes.sum(dtype=np.float64) + test_codes.sum(dtype=np.float64))
    if not math.isfinite(largest) or not math.isfinite(total):
        raise NotMeasurable("latent codes are not all finite")
    if variances is None:
        variances = test_codes.var(0, dtype=np.float64)
    mean = train_codes.mean(0, dtype=np.float64)
    if largest:
        mean /= largest
    for codes in (train_codes, test_codes):
        if largest:
            codes /= np.float32(largest)  # first of all: squares may be out of range
        codes -= mean.astype(np.float32)
    deviations = [float(column_squares(codes).max()) for codes in (train_codes, test_codes)]
    is_constant = math.sqrt(max(deviations)) <= CONSTANT_SHARE
    length = math.sqrt(float(row_squares(train_codes).mean()))
    if length and not is_constant:
        train_codes /= np.float32(length)
        test_codes /= np.float32(length)
    return LatentSample(
        train_codes=train_codes,
        test_codes=test_codes,
        train_inputs=train_inputs,
        test_inputs=test_inputs,
        train_labels=train_labels,
        test_labels=test_labels,
        variances=variances,
        is_constant=is_constant,
    )


def euclidean(rows: Floats, columns: Floats) -> Doubles:
    """Return the Euclidean distances between two sets of centered codes.

    From their products in float32, which takes a fifth of the time of scikit-learn's distances.
    """
    products = (rows @ columns.T).astype(np.float64)
    squares = row_squares(rows)[:, None] + row_squares(columns) - 2 * products
    distances: Doubles = np.sqrt(np.maximum(squares, 0.0))
    return distances


def own_distances(rows: Floats) -> Doubles:
    """Return the Euclidean distances between centered codes; zero of each from itself."""
    distances = euclidean(rows, rows)
    np.fill_diagonal(distances, 0.0)
    return distances


def row_squares(codes: Floats) -> Doubles:
    """Return the squared length of each code, without a copy of the codes."""
    squares: Floats = np.einsum("ij,ij->i", codes, codes)
    return squares.astype(np.float64)


def column_squares(codes: Floats) -> Doubles:
    """Return the mean square of each value of centered codes."""
    squares: Floats = np.einsum("ij,ij->j", codes, codes)
    return squares.astype(np.float64) / len(codes)
