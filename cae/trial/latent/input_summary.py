"""What measures need of the inputs that were encoded.

It is the same for all trials with the same data: a process computes it once.

N: training images of the sample, M: its test images, P: values of an input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae.trial.latent.distances import Doubles, Floats, own_distances

FIT_IMAGES = 1_000
"""Training images at most to which a linear decoder is fitted."""


@dataclass(frozen=True, eq=False)
class InputSummary:
    """Products, variation and neighbours of inputs. F: training images to which is fitted."""

    products: Floats
    """F x F: of the training inputs, centered at their mean."""
    cross_products: Floats
    """M x F: of the test inputs and the training inputs, centered at the mean of the latter."""
    squares: float
    """Sum of the squares of the test inputs, centered at the mean of those training inputs."""
    variation: float
    """Sum of the squares of the test inputs, centered at their own mean."""
    ranks: NDArray[np.int32]
    """M x M: the rank of each test image among the neighbours of another one, from 0; that of the
    image itself is M - 1."""


def summarize_inputs(train: Floats, test: Floats) -> InputSummary:
    """Return the summary of training inputs, N x P, and test inputs, M x P."""
    fitted = train[:: fit_step(len(train))]
    mean = fitted.mean(0, dtype=np.float64).astype(np.float32)
    fitted = fitted - mean
    test = test - mean
    squares = float(np.einsum("ij,ij->i", test, test).sum(dtype=np.float64))
    products = fitted @ fitted.T
    cross_products = test @ fitted.T
    test -= test.mean(0, dtype=np.float64).astype(np.float32)
    variation = float(np.einsum("ij,ij->i", test, test).sum(dtype=np.float64))
    return InputSummary(products, cross_products, squares, variation, _ranks(own_distances(test)))


def fit_step(images: int) -> int:
    """Every so manieth training image is one to which is fitted.

    Images may be in the order of their classes: every second one, not the first half.
    """
    return math.ceil(images / FIT_IMAGES)


def _ranks(distances: Doubles) -> NDArray[np.int32]:
    np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances, axis=1, kind="stable")
    ranks = np.empty(order.shape, np.int32)
    np.put_along_axis(ranks, order, np.arange(len(order), dtype=np.int32)[None, :], axis=1)
    return ranks
