"""The same measures of codes that need no training.

Those of the inputs and their principal components depend on the images and the task only, those of
the random encoder on the network's architecture too: a process computes each once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch

from cae.trial.batches import DeviceImages, derive_seed
from cae.trial.config import Trial
from cae.trial.evaluation import SHARED_SEED, data_key
from cae.trial.latent.declaration import Floor, floor_name, latent_measures
from cae.trial.latent.encoding import SampledImages
from cae.trial.latent.sample import Floats, LatentSample, NotMeasurable
from cae.trial.networks.create import build_network, to_device

Values = Mapping[str, float]

_known: dict[tuple[object, ...], Values] = {}
_known_axes: dict[tuple[object, ...], Floats] = {}
"""Of the newest images only."""
SMALLEST_EIGENVALUE = 1e-9
"""Directions whose variance is a smaller share of the largest one are not used."""


class Floors:
    """The floors of a trial."""

    def __init__(self, trial: Trial, images: DeviceImages, chosen: SampledImages) -> None:
        self._trial = trial
        self._images = images
        self._chosen = chosen

    @cached_property
    def _data_key(self) -> tuple[object, ...]:
        return data_key(self._trial.task, self._images)

    def measure(self, floor: Floor, latent_size: int) -> Values:
        """The values of a floor by the name of its metric without the split.

        Args:
            floor: Which code.
            latent_size: Values of the trial's latent code.
        """
        match floor:
            case Floor.PCA:
                key: tuple[object, ...] = (latent_size,)
            case Floor.RANDOM_ENCODER:
                arch = self._trial.arch
                key = (type(arch), repr(sorted(arch.parameters().items())))
            case Floor.PIXELS:
                key = ()
        key = (floor, *key, *self._data_key)
        if key in _known and self._images.fingerprint:
            return _known[key]
        values: dict[str, float] = {}
        sample = self._sample(floor, latent_size)
        if sample is not None:
            for name, value in measure_sample(sample, floor).items():
                values[floor_name(name, floor)] = value
        _known[key] = values
        return values

    def _sample(self, floor: Floor, latent_size: int) -> LatentSample | None:
        """The codes of a floor; None if there are none."""
        try:
            if floor == Floor.RANDOM_ENCODER:
                return self._chosen.encode(self._random_network())
            inputs = self._chosen.inputs
            if inputs is None:
                return None
            train, test = inputs
            if floor == Floor.PCA:
                axes = self._principal_axes(train)[:, :latent_size]
                mean = train.mean(0)
                train = (train - mean) @ axes
                test = (test - mean) @ axes
            else:
                train = train.copy()
                test = test.copy()
            if not train.shape[1]:
                return None
            return self._chosen.sample(train, test)
        except NotMeasurable:
            return None

    def _random_network(self) -> torch.nn.Module:
        """The trial's network with random weights that are the same for all seeds."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(SHARED_SEED, 0, "random encoder"))
            network = build_network(self._trial)
        device = self._images.train.labels.device
        return to_device(network, device).eval().requires_grad_(False)

    def _principal_axes(self, inputs: Floats) -> Floats:
        """The principal axes of inputs, P x R, the one with the largest variance first."""
        axes = _known_axes.get(self._data_key)
        if axes is None or not self._images.fingerprint:
            axes = principal_axes(inputs)
            _known_axes.clear()
            _known_axes[self._data_key] = axes
        return axes


def measure_sample(sample: LatentSample, floor: Floor | None = None) -> dict[str, float]:
    """All measures of a sample, by the metric's name; those that have a floor, if it is one."""
    values: dict[str, float] = {}
    for measure in latent_measures():
        if floor is not None and floor not in measure.floors:
            continue
        if measure.needs_classes and not sample.has_classes:
            continue
        for name, value in measure.function(sample).items():
            if np.isfinite(value):
                values[name] = value
    return values


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
