"""Samples with codes of which the measures are known."""

from __future__ import annotations

import numpy as np

from cae.trial.latent.distances import Floats
from cae.trial.latent.input_summary import summarize_inputs
from cae.trial.latent.sample import Labels, LatentSample, scaled_sample


def sample_of(
    train: Floats,
    test: Floats,
    *,
    inputs: tuple[Floats, Floats] | None = None,
    labels: tuple[Labels, Labels] | None = None,
) -> LatentSample:
    """A sample with these codes; by default the inputs are the codes and there is one class."""
    train_inputs, test_inputs = inputs or (train, test)
    train_labels, test_labels = labels or (
        np.zeros(len(train), np.int64),
        np.zeros(len(test), np.int64),
    )
    return scaled_sample(
        train.astype(np.float32),
        test.astype(np.float32),
        summarize_inputs(train_inputs.astype(np.float32), test_inputs.astype(np.float32)),
        train_labels,
        test_labels,
    )


def clusters(count: int, *, spread: float, width: int = 5, seed: int = 0) -> tuple[Floats, Labels]:
    """Codes around four corners that are 10 apart, with the number of the corner."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    corners = 10 * np.eye(4, width)
    codes = corners[labels] + spread * generator.standard_normal((count, width))
    return codes.astype(np.float32), labels.astype(np.int64)


def separated(spread: float = 0.1, train: int = 80, test: int = 60) -> LatentSample:
    """Codes of four classes, in clusters that do not overlap if `spread` is small."""
    train_codes, train_labels = clusters(train, spread=spread)
    test_codes, test_labels = clusters(test, spread=spread, seed=1)
    return sample_of(train_codes, test_codes, labels=(train_labels, test_labels))
