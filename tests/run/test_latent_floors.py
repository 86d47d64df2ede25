from __future__ import annotations

import pytest

from cae.run.latent_floors import is_latent_floor

NAMES = ["test_probe_accuracy", "test_probe_accuracy_pca", "test_loss", "test_of_pixels"]


@pytest.mark.parametrize(
    ("name", "is_floor"),
    [(NAMES[0], False), (NAMES[1], True), (NAMES[2], False), (NAMES[3], False)],
)
def test_floors_are_metrics_beside_the_measured_one(name: str, is_floor: bool) -> None:
    assert is_latent_floor(name, NAMES) == is_floor
