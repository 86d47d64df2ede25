"""The codes of a sample of images: what a measure of the latent code receives.

The images are the same for all trials with the same data. N: training images of the sample, M: its
test images, D: values of the latent code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cae.trial.latent.distances import (
    Doubles,
    Floats,
    column_squares,
    own_distances,
    row_squares,
)
from cae.trial.latent.input_summary import InputSummary

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
    """Codes of training and test images, with their classes and what is known of their inputs.

    The codes are standardized together (see `scaled_sample`): centered, and divided by one number,
    so that their mean squared length is 1. Values are not divided by their own deviations, which
    would make the noise of a principal component as large as the signal of another, and the
    results would depend on how a code is rotated.
    """

    train_codes: Floats
    """N x D."""
    test_codes: Floats
    """M x D."""
    inputs: InputSummary | None
    """Of the inputs that were encoded; None if they are too large (MAX_BYTES)."""
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
        return own_distances(self.test_codes, self.test_products)

    @cached_property
    def test_products(self) -> Floats:
        """The products of the codes of the test images, M x M."""
        return self.test_codes @ self.test_codes.T

    @cached_property
    def cross_products(self) -> Floats:
        """The products of the codes of test and training images, M x N."""
        return self.test_codes @ self.train_codes.T


def scaled_sample(
    train_codes: Floats,
    test_codes: Floats,
    inputs: InputSummary | None,
    train_labels: Labels,
    test_labels: Labels,
    variances: Doubles | None = None,
) -> LatentSample:
    """Return the sample with its codes standardized together, in the memory of the arguments.

    Mean and length are those of the training codes. `variances`: see LatentSample; by default
    those of the test images of the sample. Raises NotMeasurable if codes are not finite.
    """
    extremes = [train_codes.max(), train_codes.min(), test_codes.max(), test_codes.min()]
    if not np.isfinite(extremes).all():  # NaN if one of the codes is NaN
        raise NotMeasurable("latent codes are not all finite")
    largest = float(np.abs(extremes).max())
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
        inputs=inputs,
        train_labels=train_labels,
        test_labels=test_labels,
        variances=variances,
        is_constant=is_constant,
    )
