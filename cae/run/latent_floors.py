"""Names of metrics of codes without training, beside those of the latent code. Standard library
only."""

from __future__ import annotations

from collections.abc import Collection

LATENT_FLOORS = ("_pca", "_random_encoder", "_pixels")
"""Ends of their names (`Floor` in cae/trial/latent; a test compares them)."""


def is_latent_floor(name: str, names: Collection[str]) -> bool:
    """Whether a metric is one of the latent code's floors, which describe the data.

    `names`: all metrics; without the measured one, `test_loss_pca` for example is no floor.
    """
    return any(
        name.endswith(suffix) and name.removesuffix(suffix) in names for suffix in LATENT_FLOORS
    )
