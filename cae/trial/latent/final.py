"""Measuring the latent code of a trained network."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from torch import nn

from cae.trial import torch_compat
from cae.trial.batches import DeviceImages, Pairs
from cae.trial.config import Trial
from cae.trial.latent.declaration import UNITS_TABLE, Floor, latent_measures
from cae.trial.latent.encoding import SampledImages
from cae.trial.latent.floors import Floors, measure_sample
from cae.trial.latent.sample import NotMeasurable
from cae.trial.latent.units import kl_per_unit
from cae.trial.latent_code import NoLatentCode, encoder_of
from cae.trial.tasks.base import Table


@dataclass(frozen=True)
class LatentResult:
    """What is measured of the latent code."""

    metrics: dict[str, float] = field(default_factory=dict)
    """Without the split, with those of the floors."""
    tables: dict[str, Table] = field(default_factory=dict)
    reason: str = ""
    """Why nothing is measured; empty if something is."""


def measure_latent(
    network: nn.Module, trial: Trial, images: DeviceImages, known: Collection[str] = ()
) -> LatentResult:
    """Measure the latent code of a trained network, and the floors beside it.

    The sampled images, their order and the random numbers are the same for all trials with the
    same data; everything but the encoding is computed on the CPU in one thread, so that the same
    codes give the same numbers. A code that cannot be measured is a result with a reason: the
    trial has been trained, and its other metrics are valid.

    Args:
        network: In evaluation mode, with the weights of the best epoch.
        trial: Its trial.
        images: Those of the trial.
        known: Metrics that the task has measured already; they are left out.
    """
    from threadpoolctl import threadpool_limits

    if not trial.task.measures_latent_code:
        return LatentResult(reason=f"the network of task = {trial.task.name!r} has none")
    try:
        encoder_of(network)
    except NoLatentCode as error:
        return LatentResult(reason=str(error))
    with torch.inference_mode(), torch_compat.gpu_numerics(), threadpool_limits(1):
        chosen = SampledImages.choose(trial.task, images)
        try:
            sample = chosen.encode(network)
        except NotMeasurable as error:
            return LatentResult(reason=str(error))
        metrics = measure_sample(sample)
        latent_size = sample.test_codes.shape[1]
        del sample
        floors = Floors(trial, images, chosen)
        for floor in Floor:
            metrics |= floors.measure(floor, latent_size)
        tables: dict[str, Table] = {}
        units = kl_per_unit(network, chosen.test)
        if units:
            tables[UNITS_TABLE] = units
    return LatentResult(
        {name: value for name, value in metrics.items() if name not in known}, tables
    )


def measure_epoch(
    network: nn.Module, trial: Trial, images: DeviceImages, val_pairs: Pairs, name: str
) -> float:
    """Measure one metric of the latent code on validation images; NaN if it is not defined.

    Args:
        network: The network after an epoch; it keeps its mode.
        trial: Its trial.
        images: Those of the trial.
        val_pairs: The validation pairs.
        name: The metric, without the split.
    """
    from threadpoolctl import threadpool_limits

    with torch.inference_mode(), torch_compat.gpu_numerics(), threadpool_limits(1):
        try:
            sample = SampledImages.choose(trial.task, images, val_pairs).encode(network)
        except NotMeasurable:
            return math.nan
        for measure in latent_measures():
            names = [metric.name for metric in measure.metrics]
            if name in names and (sample.has_classes or not measure.needs_classes):
                return measure.function(sample).get(name, math.nan)
    return math.nan
