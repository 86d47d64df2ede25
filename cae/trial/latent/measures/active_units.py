"""How many values of the latent code vary between images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cae.trial.latent.declaration import latent_measure
from cae.trial.latent.sample import LatentSample
from cae.trial.metrics import description

ACTIVE_VARIANCE = 0.01
"""Variance of a latent value over the images, from which it is active (Burda et al. 2016)."""

ACTIVE_UNITS = description(
    "active_units",
    "latent values",
    f"Latent values whose mean has a variance above {ACTIVE_VARIANCE} over the images.",
    0.0,
)


def count_active(variances: NDArray[np.float64]) -> float:
    """The number of latent values with such a variance. `variances`: one per latent value."""
    return float((variances > ACTIVE_VARIANCE).sum())


@latent_measure(ACTIVE_UNITS, floors=())
def active_units(sample: LatentSample) -> dict[str, float]:
    """Of all test images, as the task `vae` measures it for its networks."""
    return {"active_units": count_active(sample.variances)}
