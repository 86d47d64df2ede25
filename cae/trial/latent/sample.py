"""The codes of a sample of images: what a measure of the latent code receives.

The images are the same for all trials with the same data. N: training images of the sample, M: its
test images, D: values of the latent code, P: values of an input.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Labels = NDArray[np.int64]

TRAIN_IMAGES = 2_000
"""Training images of the sample at most: a fixed random choice, in their order."""
TEST_IMAGES = 2_000
"""Test images of the sample at most."""
PAIRWISE_IMAGES = 1_000
"""Test images at most where each is compared with each, or groups are searched."""
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

    @property
    def pairwise_codes(self) -> Floats:
        """The codes of the first PAIRWISE_IMAGES test images."""
        return self.test_codes[:PAIRWISE_IMAGES]

    @cached_property
    def pairwise_distances(self) -> Doubles:
        """The Euclidean distances between the codes of these images."""
        return own_distances(self.pairwise_codes)

    @property
    def pairwise_labels(self) -> Labels:
        return self.test_labels[:PAIRWISE_IMAGES]


def scaled_sample(
    train_codes: Floats,
    test_codes: Floats,
    train_inputs: Floats | None,
    test_inputs: Floats | None,
    train_labels: Labels,
    test_labels: Labels,
    variances: Doubles | None = None,
) -> LatentSample:
    """Return the sample with its codes standardized together.

    Mean and length are those of the training codes. `variances`: see LatentSample; by default
    those of the test images of the sample. Raises NotMeasurable if codes are not
    finite.
    """
    if not np.isfinite(train_codes).all() or not np.isfinite(test_codes).all():
        raise NotMeasurable("latent codes are not all finite")
    mean = train_codes.mean(0, dtype=np.float64)
    largest = float(max(np.abs(train_codes).max(), np.abs(test_codes).max()))
    # Divided by the largest value first: its square may be out of range.
    unit = largest or 1.0
    train = (train_codes / np.float32(unit) - (mean / unit).astype(np.float32)).astype(np.float32)
    test = (test_codes / np.float32(unit) - (mean / unit).astype(np.float32)).astype(np.float32)
    deviation = float(np.sqrt(np.square(train, dtype=np.float64).mean(0).max()))
    test_deviation = float(np.sqrt(np.square(test, dtype=np.float64).mean(0).max()))
    is_constant = max(deviation, test_deviation) <= CONSTANT_SHARE
    if not is_constant:
        length = float(np.sqrt(np.square(train, dtype=np.float64).sum(1).mean()))
        scale = length or test_deviation
        train /= np.float32(scale)
        test /= np.float32(scale)
    if variances is None:
        variances = test_codes.var(0, dtype=np.float64)
    return LatentSample(
        train_codes=train,
        test_codes=test,
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
    row_squares = np.square(rows, dtype=np.float64).sum(1)
    column_squares = np.square(columns, dtype=np.float64).sum(1)
    squares = row_squares[:, None] + column_squares - 2 * products
    distances: Doubles = np.sqrt(np.maximum(squares, 0.0))
    return distances


def own_distances(rows: Floats) -> Doubles:
    """Return the Euclidean distances between centered codes; zero of each from itself."""
    distances = euclidean(rows, rows)
    np.fill_diagonal(distances, 0.0)
    return distances
