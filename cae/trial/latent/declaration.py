"""What a measure of the latent code declares."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from cae.trial.latent.sample import TEST_IMAGES, TRAIN_IMAGES, LatentSample
from cae.trial.metrics import Direction, Metric, description

UNITS_TABLE = "latent_units"
"""The table of the units of the latent code."""
MEASURES = "cae.trial.latent.measures"
"""The package whose modules declare the measures."""


class Floor(StrEnum):
    """A code that needs no training, for which the same value is measured."""

    PCA = "pca"
    RANDOM_ENCODER = "random_encoder"
    PIXELS = "pixels"

    @property
    def meaning(self) -> str:
        """What the code is, for the definition of its metrics."""
        match self:
            case Floor.PCA:
                return (
                    "as many principal components of the inputs as the latent code has values "
                    "(at most as many as there are training images in the sample)"
                )
            case Floor.RANDOM_ENCODER:
                return "the latent code of the same network with random weights, before training"
            case Floor.PIXELS:
                return "the inputs themselves"


ALL_FLOORS = (Floor.PCA, Floor.RANDOM_ENCODER, Floor.PIXELS)
CODE_FLOORS = (Floor.PCA, Floor.RANDOM_ENCODER)
"""For measures of which the inputs themselves have the best value by definition."""

Function = Callable[[LatentSample], Mapping[str, float]]
"""Returns the values for the codes of a sample, by the metric's name. What is not defined for them
is left out."""


@dataclass(frozen=True)
class LatentMeasure:
    """A kind of measure of the latent code."""

    metrics: tuple[Metric, ...]
    """What it measures, by names without the split."""
    function: Function
    floors: tuple[Floor, ...]
    needs_classes: bool
    """Whether it compares the codes with the classes of the images."""

    def declared_metrics(self) -> list[Metric]:
        """The metrics, and those of the floors, which describe the data and not the trial."""
        declared: list[Metric] = []
        for metric in self.metrics:
            declared.append(metric)
            for floor in self.floors:
                floor_metric = dataclasses.replace(
                    metric,
                    name=floor_name(metric.name, floor),
                    direction=Direction.NONE,
                    meaning=f"{metric.name} of {floor.meaning}.",
                )
                declared.append(floor_metric)
        return declared


def floor_name(metric: str, floor: Floor) -> str:
    """The name of the metric of a floor, without the split: `probe_accuracy_pca`."""
    return f"{metric}_{floor}"


LOSS_PCA = description(
    floor_name("loss", Floor.PCA),
    "",
    "The task's loss of images restored from as many principal components as the latent code has "
    f"values (at most as many as there are), clipped to [0, 1]. Components of {TRAIN_IMAGES:,} "
    f"training images, loss of {TEST_IMAGES:,} test images (fewer if there are fewer; the same in "
    "all trials), whereas test_loss is that of all test images. Only for tasks whose targets are "
    "the inputs and whose loss has no terms of the network.",
    0.0,
)
"""The only metric of a floor that is none of the latent code: see pca_loss.py."""

_registered: dict[str, LatentMeasure] = {}


def latent_measure(
    *metrics: Metric, floors: tuple[Floor, ...] = ALL_FLOORS, needs_classes: bool = False
) -> Callable[[Function], Function]:
    """Register the decorated function as the measure of these metrics.

    Args:
        metrics: Their declarations.
        floors: The codes beside the trained one for which they are measured too.
        needs_classes: Whether they are defined only for images of at least two classes.
    """

    def register(function: Function) -> Function:
        measure = LatentMeasure(metrics, function, floors, needs_classes)
        for metric in metrics:
            _registered[metric.name] = measure
        return function

    return register


def latent_measures() -> list[LatentMeasure]:
    """All measures, each once."""
    _import_measures()
    return list({id(measure): measure for measure in _registered.values()}.values())


def measured_names() -> list[str]:
    """The names of the metrics of all measures, without the floors and without the split."""
    return [metric.name for measure in latent_measures() for metric in measure.metrics]


def names_with_classes() -> list[str]:
    """The metrics that are defined only for images of at least two classes, and their floors."""
    names: list[str] = []
    for measure in latent_measures():
        if measure.needs_classes:
            names += [metric.name for metric in measure.declared_metrics()]
    return names


def latent_metrics() -> dict[str, Metric]:
    """The declarations of all measures and their floors, by name without the split."""
    metrics = [metric for measure in latent_measures() for metric in measure.declared_metrics()]
    metrics.append(LOSS_PCA)
    return {metric.name: metric for metric in metrics}


@functools.cache
def _import_measures() -> None:
    package = importlib.import_module(MEASURES)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{MEASURES}.{module.name}")
