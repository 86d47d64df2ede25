"""A trial that is resumed with another number of epochs than that of its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cae.trial import checkpoint
from cae.trial.batches import DeviceImages
from cae.trial.training import Epoch, train
from tests.sweep.spec.test_matching import BASE


def trained(
    epochs: int, folder: Path, mode: str = "min", schedule: str = "constant"
) -> list[Epoch]:
    trial = BASE.override({"epochs": epochs, "schedule": schedule})
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


@pytest.mark.parametrize(("schedule", "is_restored"), [("cosine", False), ("constant", True)])
@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 2)])
def test_epochs_of_another_schedule_are_not_used(
    schedule: str, is_restored: bool, before: int, after: int, tmp_path: Path
) -> None:
    """The journal was lost, and the sweep has another number of epochs: the learning rates of a
    cosine are others in all epochs."""
    trained(before, tmp_path / "trial", "max", schedule)
    epochs = trained(after, tmp_path / "trial", "max", schedule)
    undisturbed = trained(after, tmp_path / "undisturbed", "max", schedule)
    assert [epoch.row["lr"] for epoch in epochs] == [epoch.row["lr"] for epoch in undisturbed]
    assert measured(epochs) == measured(undisturbed)
    assert epochs[-1].final == undisturbed[-1].final
    assert epochs[0].restored == is_restored
