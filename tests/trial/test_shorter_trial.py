"""A trial that is resumed with fewer epochs than its checkpoint has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cae.trial import checkpoint
from cae.trial.batches import DeviceImages
from cae.trial.training import Epoch, train
from tests.sweep.spec.test_matching import BASE


def trained(epochs: int, folder: Path, mode: str = "min") -> list[Epoch]:
    trial = BASE.override({"epochs": epochs})
    images = DeviceImages.load(trial.dataset.load([]), torch.device("cpu"))
    return list(train(trial, images, folder, mode=mode))


def measured(epochs: list[Epoch]) -> list[float]:
    return [epoch.row["val_loss"] for epoch in epochs]


@pytest.mark.parametrize(("mode", "is_restored"), [("max", True), ("min", False)])
def test_it_has_the_results_of_a_trial_that_was_never_longer(
    mode: str, is_restored: bool, tmp_path: Path
) -> None:
    """With `min` the best weights are those of a later epoch: it starts again."""
    trained(3, tmp_path / "longer", mode)
    best = checkpoint.load(tmp_path / "longer" / checkpoint.BEST).epoch
    assert (best <= 2) == is_restored
    shorter = trained(2, tmp_path / "longer", mode)
    undisturbed = trained(2, tmp_path / "undisturbed", mode)
    assert measured(shorter) == measured(undisturbed)
    assert shorter[-1].final == undisturbed[-1].final
    assert [epoch.restored for epoch in shorter] == [is_restored] * 2
