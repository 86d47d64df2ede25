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
from cae.trial.latent.declaration import LOSS_PCA, Floor, floor_name, latent_measures
from cae.trial.latent.encoding import SampledImages
from cae.trial.latent.pca_loss import pca_loss
from cae.trial.latent.principal_components import PrincipalComponents
from cae.trial.latent.sample import LatentSample, NotMeasurable
from cae.trial.networks.create import build_network, to_device

Values = Mapping[str, float]

_known: dict[tuple[object, ...], Values] = {}
_known_components: dict[tuple[object, ...], PrincipalComponents | None] = {}
"""Of the newest images only."""


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
                losses = tuple(type(term.loss) for term in self._trial.task.losses())
                key: tuple[object, ...] = (self._component_count(latent_size), losses)
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
        if floor == Floor.PCA:
            values |= self._loss_of_components(latent_size)
        _known[key] = values
        return values

    def _sample(self, floor: Floor, latent_size: int) -> LatentSample | None:
        """The codes of a floor; None if there are none."""
        try:
            if floor == Floor.RANDOM_ENCODER:
                network = self._random_network()
                return self._chosen.encode(network, with_variances=False)
            if floor == Floor.PCA:
                count = self._component_count(latent_size)
                if self._components is None or not count:
                    return None
                return self._chosen.sample(*self._components.codes(count))
            inputs = self._chosen.inputs
            if inputs is None:
                return None
            train, test = inputs
            return self._chosen.sample(train.copy(), test.copy())
        except NotMeasurable:
            return None

    def _random_network(self) -> torch.nn.Module:
        """The trial's network with random weights that are the same for all seeds."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(SHARED_SEED, 0, "random encoder"))
            network = build_network(self._trial)
        device = self._images.train.labels.device
        return to_device(network, device).eval().requires_grad_(False)

    @cached_property
    def _components(self) -> PrincipalComponents | None:
        """The principal components of the inputs; None if these are too large."""
        if self._data_key in _known_components and self._images.fingerprint:
            return _known_components[self._data_key]
        components = None
        if self._chosen.inputs is not None:
            components = PrincipalComponents.fit(*self._chosen.inputs)
        _known_components.clear()
        _known_components[self._data_key] = components
        return components

    def _loss_of_components(self, latent_size: int) -> dict[str, float]:
        count = self._component_count(latent_size)
        if self._components is None or not count:
            return {}
        loss = pca_loss(self._chosen, self._components, count, self._images.classes)
        if loss is None or not np.isfinite(loss):
            return {}
        return {LOSS_PCA.name: loss}

    def _component_count(self, latent_size: int) -> int:
        """As many as the latent code has values; at most their number."""
        if self._components is None:
            return 0
        return min(latent_size, self._components.rank)


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
